"""The control test helper: an HTTP service that looks at a URL from an uncensored network for those who ask.

helper_protocol   what is asked and answered, in OONI's words
helper_look       the look itself, made of the probes: endpoints here, the rest in
helper_means      what it looks with, and where a name leads
helper_page       the page and its redirects
helper_client     where a client comes from, as it is told itself
rate_limit        how often one client may ask
neutral           the listeners that answer under any name
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from monitor import __version__
from probes.certificate import Authorities
from probes.clock import Clock
from probes.network import Network
from probes.resolvers import Resolvers
from probes.trace import Limits

from .helper_client import CLIENT_HEADER, client_address
from .helper_look import look
from .helper_means import LIMITS, Means
from .helper_protocol import MAX_BODY, BadRequest, encode_reply, parse_request
from .neutral import Neutral
from .rate_limit import RateLimit, client_key

RATE = 10.0  # requests a second of one client, on average
BURST = 60  # requests of one client at once: a round of a hundred targets comes in bursts
MAX_REQUESTS = 64  # looked at at the same time, whoever asks
MAX_CONTACTS = 384  # connections open at once, which leaves room below the usual 1024 file descriptors
_READ_TIMEOUT = 10.0  # seconds to send a request's body
_GRACE = 1.0  # seconds that requests get to end when the helper stops
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, never bound here
_ABOUT = f"Wallwatch {__version__}: a control test helper, which speaks OONI's Web Connectivity protocol.\n"


class Helper:
    """The service from `start` to `stop`.

    `public` is the address that clients reach the neutral listeners at, `silent` one that runs no resolver.
    `rate` and `burst` bound each client (an IPv4 address or an IPv6 /64). `allow_private` lets it dial
    private addresses, for closed networks; loopback never.
    """

    def __init__(
        self, network: Network, authorities: Authorities, *, resolvers: Resolvers, public: str = "",
        silent: str = "", allow_private: bool = False, rate: float = RATE, burst: int = BURST,
        limits: Limits | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        clock = clock or Clock()
        self._means = Means(
            network=network, authorities=authorities, resolvers=resolvers, limits=limits or LIMITS,
            clock=clock, allow_private=allow_private, gate=asyncio.Semaphore(MAX_CONTACTS),
        )  # fmt: skip
        self._public, self._silent = public, silent
        self._limit = RateLimit(rate, burst, clock)
        self._busy = 0
        self._neutral = Neutral()
        self._runner: web.AppRunner | None = None

    def app(self) -> web.Application:
        """The routes, without the neutral listeners."""
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.post("/", self._answer),
                web.get("/", _about),
                web.get("/generate_204", _empty),
                web.get("/healthz", _healthy),
            ]
        )
        return app

    async def start(self, listen: tuple[str, int], neutral: Sequence[tuple[str, int]] = ()) -> None:
        """Open the service and the neutral listeners. Raises OSError, and then nothing is open."""
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=_GRACE)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, *listen).start()
            await self._neutral.start(neutral)
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything; requests under way are cut."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._neutral.stop()

    @property
    def port(self) -> int:
        """The port of the service; the actual one where 0 was asked for. 0 while it is not open."""
        return int(self._runner.addresses[0][1]) if self._runner and self._runner.addresses else 0

    @property
    def neutral_endpoints(self) -> list[dict[str, Any]]:
        """`{"address", "port", "protocol"}` of each neutral listener that clients can be told of."""
        named = [(self._public or host, port) for host, port in self._neutral.bound]
        spoken = self._neutral.protocols
        return [
            {"address": a, "port": port, "protocol": protocol}
            for a, port in named if a not in _WILDCARDS for protocol in spoken
        ]  # fmt: skip

    async def _answer(self, request: web.Request) -> web.Response:
        """POST /: one look."""
        wait = self._limit.take(client_key(request.remote))
        if wait:
            return _error(429, "too many requests", retry_after=wait)
        if self._busy >= MAX_REQUESTS:
            return _error(503, "too many requests at once", retry_after=1)
        self._busy += 1
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                asked = parse_request(await request.read())
        except BadRequest as error:
            return _error(400, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"the request is longer than {MAX_BODY} bytes")
        except TimeoutError:
            return _error(408, "the request did not come in time")
        else:
            seen = await look(self._means, asked)
            ours = {"neutral": self.neutral_endpoints, "silent": self._silent}
            return _json(200, encode_reply(asked, seen, ours=ours))
        finally:
            self._busy -= 1


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")


def _error(status: int, text: str, *, retry_after: float = 0) -> web.Response:
    response = _json(status, {"error": text})
    if retry_after:
        response.headers["Retry-After"] = str(math.ceil(retry_after))
    return response


async def _about(_request: web.Request) -> web.Response:
    return web.Response(text=_ABOUT)


async def _empty(request: web.Request) -> web.Response:
    """An empty page. It tells a client, and only it, the address that it comes from; nobody keeps that."""
    told = {CLIENT_HEADER: client_address(request.remote, request.headers.getall("X-Forwarded-For", []))}
    return web.Response(status=204, headers={"Cache-Control": "no-store", **told})


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")

"""The agent's way to its service: fetches the assignment, hands batches in; what goes wrong is an answer too."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError

from monitor import __version__
from probes.clock import Clock

from . import protocol
from .protocol import Answer, Assignment, ProtocolError

_CONNECT, _SILENCE, _WHOLE = 30.0, 60.0, 300.0  # seconds: to connect, without a byte, and for a request as a whole
_MAX_ASSIGNMENT, _MAX_ANSWER = 32 * 2**20, 4 * 2**20  # bytes
_MAX_RETRY_AFTER = 3600.0  # seconds; a service that asks for more is asked again then
_REASON = 200  # characters
_PROXY = (ProxyConnectionError, ProxyError, ProxyTimeoutError)  # none of them need be an OSError
_NETWORK = (aiohttp.ClientError, *_PROXY, TimeoutError, OSError, ssl.SSLError)

Kind = Literal["denied", "busy", "too_large", "bad", "failed"]
_KINDS: dict[int, Kind] = {401: "denied", 403: "denied", 429: "busy", 503: "busy", 413: "too_large", 400: "bad"}


class Setback(msgspec.Struct, frozen=True):
    """Why a request came to nothing. `denied`: the token is not (or no longer) good; `busy`: later, after `wait`
    seconds where the service says so; `too_large` and `bad`: it does not take this batch; `failed`: anything else."""

    kind: Kind
    reason: str
    wait: float | None = None


class Fetched(msgspec.Struct, frozen=True):
    """An assignment, as it was sent and as it is understood, with its ETag."""

    assignment: Assignment
    body: bytes
    etag: str


class Client:
    """Talks to one service with one token, over verified TLS, through one proxy or none. Use it as a context."""

    def __init__(self, service: str, token: str, *, context: ssl.SSLContext, clock: Clock, proxy: str = "") -> None:
        self._service, self._token = service.rstrip("/"), token
        self._context, self._clock, self._proxy = context, clock, proxy
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_WHOLE, sock_connect=_CONNECT, sock_read=_SILENCE)
        self._session = aiohttp.ClientSession(connector=self._connector(), timeout=timeout, trust_env=False)
        return self

    def _connector(self) -> aiohttp.BaseConnector:
        if urlsplit(self._proxy).scheme == "socks5":  # the service's name is looked up at the far side
            return ProxyConnector.from_url(self._proxy, rdns=True, ssl=self._context)
        return aiohttp.TCPConnector(ssl=self._context)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def assignment(self, etag: str = "", *, spooled: int = 0) -> Fetched | Setback | None:
        """What the agent shall do; None where it is what `etag` stands for."""
        headers = {"If-None-Match": etag} if etag else {}
        got = await self._ask("GET", protocol.ASSIGNMENT_PATH, headers, spooled=spooled, limit=_MAX_ASSIGNMENT)
        if isinstance(got, Setback):
            return got
        status, body, new = got
        if status == 304 and etag:
            return None
        try:
            if status != 200:
                raise ProtocolError(f"status {status}")
            return Fetched(await asyncio.to_thread(protocol.assignment_of, body), body, new)
        except ProtocolError as error:
            return Setback("failed", f"no assignment: {error}")

    async def hand_in(self, lines: Sequence[bytes], *, spooled: int = 0) -> Answer | Setback:
        """Hand measurements in, one JSON line each; what the service says of them."""
        body = await asyncio.to_thread(protocol.packed, lines)
        headers = {"Content-Type": "application/gzip"}
        got = await self._ask(
            "POST", protocol.MEASUREMENTS_PATH, headers, body=body, spooled=spooled, limit=_MAX_ANSWER
        )
        if isinstance(got, Setback):
            return got
        status, answer, _etag = got
        try:
            if status != 200:
                raise ProtocolError(f"status {status}")
            return protocol.answer_of(answer)
        except ProtocolError as error:
            return Setback("failed", f"no answer to a batch: {error}")

    async def _ask(
        self, method: str, path: str, headers: dict[str, str], *, spooled: int, limit: int, body: bytes | None = None
    ) -> tuple[int, bytes, str] | Setback:
        """Status, body and ETag."""
        assert self._session is not None, "the client is a context"
        sent = headers | {
            "Authorization": f"Bearer {self._token}", protocol.TIME: self._clock.now().isoformat(),
            protocol.SPOOLED: str(spooled), protocol.VERSION: __version__,
        }  # fmt: skip
        proxy = self._proxy if urlsplit(self._proxy).scheme == "http" else None
        try:
            async with self._session.request(
                method, self._service + path, data=body, headers=sent, proxy=proxy, allow_redirects=False
            ) as response:
                if kind := _KINDS.get(response.status):
                    return Setback(kind, f"status {response.status}", _retry_after(response.headers))
                content = await _read(response, limit)
                return response.status, content, response.headers.get("ETag", "")
        except _NETWORK as error:
            return Setback("failed", self._told(error))

    def _told(self, error: Exception) -> str:
        """An error in words, without the proxy's password."""
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        secret = urlsplit(self._proxy).password
        return (text.replace(secret, "***") if secret else text)[:_REASON]


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, unpacked. Raises aiohttp.ClientError where it is larger."""
    found = bytearray()
    async for part in response.content.iter_chunked(2**16):
        found += part
        if len(found) > limit:
            raise aiohttp.ClientPayloadError(f"an answer of more than {limit} bytes")
    return bytes(found)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of `Retry-After`, within reason; a date is not understood."""
    text = headers.get("Retry-After", "").strip()
    return min(float(text), _MAX_RETRY_AFTER) if text.isascii() and text.isdigit() and len(text) < 10 else None

"""The service's two addresses for agents: the assignment, and measurements. Whatever is sent, the answer is no 500."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from monitor.collect.vantage import Vantage
from monitor.engine import Engine
from monitor.publish.agent_metrics import REFUSALS
from monitor.store import Store, StoreError

from .assignments import Assignments
from .checks import ForeignVantage
from .door import Denied, Door, contact_of, said
from .intake import Batch, Intake, Kept, Pair
from .keeper import Keeper
from .protocol import ASSIGNMENT_PATH, MAX_SENT, MEASUREMENTS_PATH, ProtocolError, TooLarge

log = logging.getLogger("wallwatch.agent")
T = TypeVar("T")
_READING = 120.0  # seconds in which a batch must have come: 8 MiB over a poor line
_STORING = 20.0  # seconds for which an agent waits for the commit; what is under way then goes on
_AT_ONCE, _OF_ONE = 64, 2  # batches under way: of all agents, of one
_LATER = 5.0  # seconds after which an agent comes again where there is no better guess
_CONTACT = 30.0  # seconds between two notes of the same agent's contact in the store


class Agents:
    """Answers agents until `close`. `engine` gives the present one, `keep` stores pairs and counts them."""

    def __init__(
        self, engine: Callable[[], Engine], store: Store, keeper: Keeper, *,
        keep: Callable[[Sequence[Pair]], Awaitable[Kept]],
    ) -> None:  # fmt: skip
        self._engine, self._store, self._keep = engine, store, keep
        self._clock = engine().setup.clock
        self._door = Door(engine, store, self._clock)
        self._intake = Intake(engine, store, keeper, keep=self._kept)
        self._assignments = Assignments()
        self._under_way: Counter[str] = Counter()
        self._noted: dict[str, float] = {}
        self._writing: set[asyncio.Future[Any]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Both addresses; they say 404 while no vantage is an agent."""
        return [
            web.get(ASSIGNMENT_PATH, self._answering(self._assignment), allow_head=False),
            web.post(MEASUREMENTS_PATH, self._answering(self._measurements)),
        ]

    async def close(self) -> None:
        """Wait for what is being stored."""
        if self._writing:
            await asyncio.wait(self._writing)

    def _answering(
        self, handler: Callable[[web.Request, Vantage], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if not any(v.facts.kind == "agent" for v in self._engine().vantages.values()):
                return _error(404, "this service has no agents")
            try:
                vantage = await self._door.admit(request)
                self._hear(request, vantage.name)
                return await handler(request, vantage)
            except Denied as denied:
                self._count(denied.reason)
                return _error(denied.status, str(denied), retry_after=denied.retry_after)
            except StoreError as error:
                self._count("store")
                log.warning("an agent must wait: %s", error)
                return _error(503, "nothing can be stored at present", retry_after=_LATER)

        return answer

    async def _assignment(self, request: web.Request, vantage: Vantage) -> web.Response:
        told = self._assignments.of(self._engine().setup, vantage)
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
        if told.etag in known:
            return web.Response(status=304, headers={"ETag": told.etag})
        response = web.Response(body=told.body, content_type="application/json", headers={"ETag": told.etag})
        response.enable_compression()
        return response

    async def _measurements(self, request: web.Request, vantage: Vantage) -> web.Response:
        if self._store.failing:
            raise Denied(503, "store", "nothing can be stored at present", retry_after=_LATER)
        self._door.may_send(vantage.name)
        if self._under_way.total() >= _AT_ONCE or self._under_way[vantage.name] >= _OF_ONE:
            raise Denied(503, "busy", "too many batches at once", retry_after=1)
        self._under_way[vantage.name] += 1
        try:
            return await self._take(await self._body(request, vantage.name), vantage)
        finally:
            self._under_way[vantage.name] -= 1

    async def _body(self, request: web.Request, vantage: str) -> bytes:
        """The body, as it was sent. Raises Denied."""
        if (request.content_length or 0) > MAX_SENT:
            raise Denied(413, "too_large", f"more than {MAX_SENT} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(_READING):
                async for part in request.content.iter_any():
                    body += part
                    if len(body) > MAX_SENT:
                        raise Denied(413, "too_large", f"more than {MAX_SENT} bytes")
        except TimeoutError:
            raise Denied(408, "too_slow", "the batch did not come in time") from None
        except (web.PayloadAccessError, OSError, ValueError):
            raise Denied(400, "cut", "the batch did not come whole") from None
        finally:
            self._door.sent(vantage, len(body))
        return bytes(body)

    async def _take(self, body: bytes, vantage: Vantage) -> web.Response:
        try:
            batch: Batch = await self._intake.take(body, vantage.facts)
        except TooLarge as error:
            raise Denied(413, "too_large", str(error)) from None
        except ProtocolError as error:
            raise Denied(400, "batch", str(error)) from None
        except ForeignVantage as error:
            raise Denied(403, "foreign_vantage", str(error)) from None
        except TimeoutError:
            raise Denied(503, "store", "nothing can be stored at present", retry_after=_LATER) from None
        for reason in batch.reasons:
            self._count(reason)
        return web.Response(body=msgspec.json.encode(batch.answer()), content_type="application/json")

    async def _kept(self, pairs: Sequence[Pair]) -> Kept:
        """Store and count, to the end even where the agent does not wait for it. Raises TimeoutError, StoreError."""
        async with asyncio.timeout(_STORING):
            return await asyncio.shield(self._write(_awaited(self._keep(pairs))))

    def _write(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        future = asyncio.ensure_future(work)
        self._writing.add(future)
        future.add_done_callback(self._written)
        return future

    def _written(self, future: asyncio.Future[Any]) -> None:
        self._writing.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.warning("something of an agent's could not be stored: %s", error)

    def _hear(self, request: web.Request, vantage: str) -> None:
        """Note that an agent was heard of: in the metrics at once, in the store now and then."""
        now = self._clock.now()
        told, metrics = said(request, now), self._engine().metrics
        metrics.vantage_contact(vantage, now.timestamp())
        metrics.agents.heard(vantage, skew=told.skew, spooled=told.spooled)
        at = self._clock.monotonic()
        if at - self._noted.get(vantage, -math.inf) >= _CONTACT and not self._store.failing:
            self._noted[vantage] = at
            self._write(self._store.heard(contact_of(vantage, told, now)))

    def _count(self, reason: str) -> None:
        self._engine().metrics.agents.refused(reason if reason in REFUSALS else "value")


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def _error(status: int, text: str, *, retry_after: float = 0.0) -> web.Response:
    content = msgspec.json.encode({"error": text})
    response = web.Response(status=status, body=content, content_type="application/json")
    if retry_after:
        response.headers["Retry-After"] = str(math.ceil(retry_after))
    return response

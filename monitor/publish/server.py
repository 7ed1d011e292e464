"""The HTTP server: metrics, health, pages, JSON. It reads the store and never causes a probe."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from blocklists import Target
from monitor.store import Store
from probes.measurement import VantageFacts

from . import api, pages
from .matrix import Matrix, matrix
from .metrics import Metrics

log = logging.getLogger("wallwatch.publish")
RECENT = 200  # measurements of a pair on its page
_SHA256 = re.compile(r"[0-9a-f]{64}")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def app(
    store: Store,
    metrics: Metrics,
    *,
    targets: Sequence[Target],
    vantages: Sequence[VantageFacts],
    simulated: bool,
    ready: Callable[[], str | None],
    now: Callable[[], datetime] | None = None,
) -> web.Application:
    """The application. `ready` gives the reason why the service is not; `now` the time for ages."""
    site = _Site(store, metrics, targets, [v.name for v in vantages], simulated, ready, now or _utc)
    made = web.Application(middlewares=[_errors_of(simulated)])
    made.on_response_prepare.append(_secure)
    made.add_routes(
        [
            web.get("/", site.matrix),
            web.get("/targets", site.pair),
            web.get("/measurements/{uid}", site.evidence),
            web.get("/measurements/{uid}/body/{sha256}", site.body),
            web.get("/static/wallwatch.css", site.style),
            web.get("/metrics", site.metrics),
            web.get("/healthz", site.health),
            web.get("/readyz", site.readiness),
            web.get("/api/v1/matrix", site.api_matrix),
            web.get("/api/v1/measurements/{uid}", site.api_measurement),
            web.get("/api/v1/events", site.api_events),
        ]
    )
    return made


def _utc() -> datetime:
    return datetime.now(UTC)


class _Site:
    """The handlers, and what they read."""

    def __init__(
        self, store: Store, metrics: Metrics, targets: Sequence[Target], vantages: Sequence[str],
        simulated: bool, ready: Callable[[], str | None], now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._store, self._metrics, self._simulated = store, metrics, simulated
        self._targets, self._vantages, self._ready, self._now = targets, vantages, ready, now

    async def matrix(self, _request: web.Request) -> web.Response:
        found = await self._matrix()
        return _html(await asyncio.to_thread(pages.matrix_page, found, now=self._now(), simulated=self._simulated))

    async def _matrix(self) -> Matrix:
        rows, states = await asyncio.gather(self._store.newest(), self._store.series_states())
        return matrix(rows, states, targets=self._targets, vantages=self._vantages)

    async def pair(self, request: web.Request) -> web.Response:
        target, vantage = request.query.get("target", ""), request.query.get("vantage", "")
        if not target or not vantage:
            raise web.HTTPBadRequest(reason="target and vantage must be given")
        rows = await self._store.recent(target, vantage, RECENT)
        configured = target in {t.name for t in self._targets} and vantage in self._vantages
        if not rows and not configured:
            raise web.HTTPNotFound(reason="this target was never measured at this vantage")
        return _html(pages.pair_page(target, vantage, rows, now=self._now(), simulated=self._simulated))

    async def evidence(self, request: web.Request) -> web.Response:
        found = await self._store.measurement(request.match_info["uid"])
        if found is None:
            raise web.HTTPNotFound(reason="no such measurement")
        return _html(await asyncio.to_thread(pages.evidence_page, *found, simulated=self._simulated))

    async def body(self, request: web.Request) -> web.Response:
        digest = request.match_info["sha256"]
        found = await self._store.measurement(request.match_info["uid"]) if _SHA256.fullmatch(digest) else None
        if found is None or digest not in found[0].bodies:
            raise web.HTTPNotFound(reason="no such body was kept")
        headers = {"Content-Disposition": f'attachment; filename="{digest}.bin"'}
        return web.Response(body=found[0].bodies[digest], content_type="application/octet-stream", headers=headers)

    async def metrics(self, request: web.Request) -> web.Response:
        body, kind = await asyncio.to_thread(self._metrics.render, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    async def health(self, _request: web.Request) -> web.Response:
        return api.respond({"status": "ok"}, simulated=self._simulated)

    async def readiness(self, _request: web.Request) -> web.Response:
        reason = self._ready()
        if reason is None:
            return api.respond({"status": "ready"}, simulated=self._simulated)
        return api.respond({"status": "not ready", "reason": reason}, simulated=self._simulated, status=503)

    async def style(self, _request: web.Request) -> web.Response:
        return web.Response(body=pages.STYLE, content_type="text/css", charset="utf-8")

    async def api_matrix(self, _request: web.Request) -> web.Response:
        return await asyncio.to_thread(api.matrix, await self._matrix(), simulated=self._simulated)

    async def api_measurement(self, request: web.Request) -> web.Response:
        return await api.measurement(self._store, request.match_info["uid"], simulated=self._simulated)

    async def api_events(self, request: web.Request) -> web.Response:
        return await api.events(self._store, dict(request.query), simulated=self._simulated)


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _errors_of(simulated: bool) -> Middleware:
    """Errors as JSON under /api, as a page elsewhere; our own bugs go to the log, not to the reader."""

    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _error(request, error.status, error.reason, simulated, error.headers.get("Allow"))
        except Exception:
            log.exception("%s could not be answered", request.path)
            return _error(request, 500, "this could not be answered; the service's log says why", simulated, None)

    return errors


def _error(request: web.Request, status: int, reason: str, simulated: bool, allow: str | None) -> web.Response:
    if request.path.startswith("/api/"):
        response = api.respond({"error": reason}, simulated=simulated, status=status)
    else:
        response = _html(pages.error_page(status, reason, simulated=simulated))
        response.set_status(status)
    if allow:
        response.headers["Allow"] = allow
    return response

"""The HTTP server: metrics, health, pages, JSON. It reads the store and never causes a probe."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from blocklists import Target, target_of
from blocklists.history import shipped
from monitor.judge.wide import SHARE
from monitor.store import Store
from probes.measurement import VantageFacts

from . import api, pages, probe
from .matrix import Matrix, matrix, newest_wide
from .metrics import Metrics
from .packets import file_name
from .period import BadPeriod
from .target import FILTERS, TargetHistory, as_document, history
from .vantages import Watch, standings, vantage_states

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
    watch: Callable[[], Watch] | None = None,
    share: int = SHARE,
) -> web.Application:
    """The application. `ready` gives the reason why the service is not; `now` the time for ages.

    `watch`: what is looked after at present; without it that is `vantages`. `share`: percent of a vantage's targets
    whose change at once is one event.
    """
    watch = watch or (lambda: Watch(vantages=tuple(vantages)))
    site = _Site(store, metrics, targets, [v.name for v in vantages], simulated, ready, now or _utc, watch, share)
    made = web.Application(middlewares=[_errors_of(simulated)])
    made[_SITE] = site
    made.on_response_prepare.append(_secure)
    made.add_routes(
        [
            web.get("/", site.matrix),
            web.get("/targets", site.target),
            web.get("/vantages", site.vantages),
            web.get("/measurements/{uid}", site.evidence),
            web.get("/measurements/{uid}/body/{sha256}", site.body),
            web.get("/measurements/{uid}/pcap", site.pcap),
            web.get("/static/wallwatch.css", site.style),
            web.get("/metrics", site.metrics),
            web.get("/probe", site.probe),
            web.get("/healthz", site.health),
            web.get("/readyz", site.readiness),
            web.get("/api/v1/matrix", site.api_matrix),
            web.get("/api/v1/targets", site.api_target),
            web.get("/api/v1/vantages", site.api_vantages),
            web.get("/api/v1/measurements/{uid}", site.api_measurement),
            web.get("/api/v1/events", site.api_events),
        ]
    )
    return made


def show(
    application: web.Application, *, targets: Sequence[Target], vantages: Sequence[VantageFacts], share: int = SHARE
) -> None:
    """Let a running application show other targets and vantages."""
    application[_SITE].configure(targets, [v.name for v in vantages], share)


def _utc() -> datetime:
    return datetime.now(UTC)


class _Site:
    """The handlers, and what they read."""

    def __init__(
        self, store: Store, metrics: Metrics, targets: Sequence[Target], vantages: Sequence[str],
        simulated: bool, ready: Callable[[], str | None], now: Callable[[], datetime], watch: Callable[[], Watch],
        share: int,
    ) -> None:  # fmt: skip
        self._store, self._metrics, self._simulated = store, metrics, simulated
        self._ready, self._now, self._watch = ready, now, watch
        self.configure(targets, vantages, share)

    def configure(self, targets: Sequence[Target], vantages: Sequence[str], share: int) -> None:
        self._targets, self._vantages, self._share = targets, vantages, share
        self._names = frozenset(t.name for t in targets)

    async def matrix(self, _request: web.Request) -> web.Response:
        now = self._now()
        found, standing, wide = await asyncio.gather(
            self._matrix(), standings(self._store, self._watch(), now), newest_wide(self._store, self._share, now)
        )
        outside = [v.name for v in self._watch().vantages if v.direction == "outside-in"]
        page = await asyncio.to_thread(
            pages.matrix_page, found, now=now, simulated=self._simulated, standing=standing, outside=outside,
            wide=wide,
        )
        return _html(page)

    async def vantages(self, _request: web.Request) -> web.Response:
        states = await vantage_states(self._store, self._watch(), self._now())
        return _html(await asyncio.to_thread(pages.vantages_page, states, now=self._now(), simulated=self._simulated))

    async def _matrix(self) -> Matrix:
        rows, states = await asyncio.gather(self._store.newest(), self._store.series_states())
        return await asyncio.to_thread(matrix, rows, states, targets=self._targets, vantages=self._vantages)

    async def target(self, request: web.Request) -> web.Response:
        if "vantage" in request.query:
            return await self._pair(request)
        found = await self._history(request)
        return _html(await asyncio.to_thread(pages.target_page, found, now=self._now(), simulated=self._simulated))

    async def _pair(self, request: web.Request) -> web.Response:
        name, vantage = request.query.get("target", ""), request.query["vantage"]
        if not name or not vantage:
            raise web.HTTPBadRequest(reason="target and vantage must be given")
        rows = await self._store.recent(name, vantage, RECENT)
        configured = name in {t.name for t in self._targets} and vantage in self._vantages
        if not rows and not configured:
            raise web.HTTPNotFound(reason="this target was never measured at this vantage")
        found = await self._history(request, vantage)
        page = await asyncio.to_thread(
            pages.pair_page, name, vantage, rows, found=found, now=self._now(), simulated=self._simulated
        )
        return _html(page)

    async def _history(self, request: web.Request, vantage: str | None = None) -> TargetHistory:
        name = request.query.get("target", "")
        if not name:
            raise web.HTTPBadRequest(reason="target must be given")
        configured = next((t for t in self._targets if t.name == name), None)
        try:
            found = await history(
                self._store, configured or _unlisted(name), request.query, documented=shipped(), now=self._now(),
                vantage=vantage, share=self._share,
            )  # fmt: skip
        except BadPeriod as error:
            raise web.HTTPBadRequest(reason=str(error)) from None
        if configured is None and not found.bands:
            raise web.HTTPNotFound(reason="no such target")
        return found

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

    async def pcap(self, request: web.Request) -> web.Response:
        found = await self._store.measurement(request.match_info["uid"])
        if found is None or not found[0].pcap:
            raise web.HTTPNotFound(reason="no packets were kept")
        headers = {"Content-Disposition": f'attachment; filename="{file_name(found[0].uid)}"'}
        return web.Response(body=found[0].pcap, content_type="application/vnd.tcpdump.pcap", headers=headers)

    async def metrics(self, request: web.Request) -> web.Response:
        body, kind = await asyncio.to_thread(self._metrics.render, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    async def probe(self, request: web.Request) -> web.Response:
        return await probe.respond(self._store, request, targets=self._names, vantages=self._vantages, now=self._now())

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

    async def api_target(self, request: web.Request) -> web.Response:
        if request.query.keys() - FILTERS:
            raise web.HTTPBadRequest(reason=f"unknown parameter; there are {', '.join(sorted(FILTERS))}")
        found = await self._history(request)
        return api.respond(await asyncio.to_thread(as_document, found), simulated=self._simulated)

    async def api_vantages(self, _request: web.Request) -> web.Response:
        states = await vantage_states(self._store, self._watch(), self._now())
        return api.vantages(states, simulated=self._simulated)

    async def api_measurement(self, request: web.Request) -> web.Response:
        return await api.measurement(self._store, request.match_info["uid"], simulated=self._simulated)

    async def api_events(self, request: web.Request) -> web.Response:
        return await api.events(
            self._store, dict(request.query), share=self._share, simulated=self._simulated
        )


_SITE = web.AppKey("site", _Site)


def _unlisted(name: str) -> Target:
    """A target that was measured once and is on no list now."""
    try:
        return target_of(name)
    except ValueError:
        return Target(name=name, url="", site="", category="")


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

"""JSON: measurements, the matrix, vantages, events. Every document of a simulated network says so."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from monitor import __version__
from monitor.judge.detect import Event
from monitor.store import Store
from probes.measurement import rfc3339

from . import record
from .matrix import Matrix, as_document
from .vantages import VantageState
from .vantages import as_document as vantage_document

MOST_EVENTS = 10_000
_DEFAULT_EVENTS = 1_000
_FILTERS = frozenset({"target", "vantage", "since", "until", "limit"})


def respond(document: dict[str, Any], *, simulated: bool, status: int = 200) -> web.Response:
    """A JSON response."""
    if simulated:
        document = {**document, "simulated": True}
    return web.Response(body=msgspec.json.encode(document) + b"\n", content_type="application/json", status=status)


async def measurement(store: Store, uid: str, *, simulated: bool) -> web.Response:
    """The document that `measure --format json` prints. Raises HTTPNotFound."""
    found = await store.measurement(uid)
    if found is None:
        raise web.HTTPNotFound(reason="no such measurement")
    return respond(record.document(*found, version=__version__), simulated=simulated)


def matrix(found: Matrix, *, simulated: bool) -> web.Response:
    """The matrix."""
    return respond(as_document(found), simulated=simulated)


def vantages(states: Sequence[VantageState], *, simulated: bool) -> web.Response:
    """Every configured vantage and its state."""
    return respond({"vantages": [vantage_document(one) for one in states]}, simulated=simulated)


async def events(store: Store, query: dict[str, str], *, share: int, simulated: bool) -> web.Response:
    """The newest events in a selection, oldest first; one where `share` percent changed. Raises HTTPBadRequest."""
    if query.keys() - _FILTERS:
        raise web.HTTPBadRequest(reason=f"unknown parameter; there are {', '.join(sorted(_FILTERS))}")
    found = await store.changes(
        share=share, target=query.get("target"), vantage=query.get("vantage"), since=_time(query, "since"),
        until=_time(query, "until"), limit=_limit(query),
    )  # fmt: skip
    return respond({"events": [event_document(event) for event in found]}, simulated=simulated)


def event_document(event: Event) -> dict[str, Any]:
    """One event as `timeline --format json` has it; one of many targets names them."""
    document = {
        "target": event.target, "vantage": event.vantage, "kind": event.kind,
        "after": rfc3339(event.after) if event.after else None, "before": rfc3339(event.before),
        "detected_at": rfc3339(event.detected_at), "technique": event.technique,
        "confidence": event.confidence, "measurements": event.measurements, "witness": list(event.witness),
    }  # fmt: skip
    return {**document, "targets": list(event.targets), "among": event.among} if event.targets else document


def _time(query: dict[str, str], name: str) -> datetime | None:
    """A date or RFC 3339 time; without a zone it is UTC."""
    if name not in query:
        return None
    try:
        found = datetime.fromisoformat(query[name])
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found.timestamp()
    except (ValueError, OverflowError):
        raise web.HTTPBadRequest(reason=f"{name}: must be a time such as 2026-01-31T12:00:00Z") from None
    return found


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", str(_DEFAULT_EVENTS))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_EVENTS):
        raise web.HTTPBadRequest(reason=f"limit: must be from 1 to {MOST_EVENTS}")
    return int(text)

"""One target over time: a band for each vantage, the events, and what others documented."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from blocklists import Change, Target
from blocklists.history import of_site
from monitor.judge.detect import BECOMES, Event
from monitor.judge.wide import SHARE, holds, scope_words
from monitor.store import Store
from monitor.store.daily import Series
from probes.measurement import rfc3339

from . import api
from .band import Band, Piece, band
from .period import Period, asked, cut

MOST_BANDS = 40
FILTERS = frozenset({"target", "since", "until"})


class TargetHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a target in a period. `left_out`: vantages beyond MOST_BANDS. `first`: ever measured.

    `changes`: its events, those of many targets in place of its own (see `judge.wide`); the bands show its own.
    """

    target: str
    site: str
    category: str
    period: Period
    bands: tuple[Band, ...]
    changes: tuple[Event, ...]
    documented: tuple[Change, ...]
    first: datetime | None
    left_out: int

    def events(self) -> list[Event]:
        """The events of all vantages whose interval is in sight, oldest first."""
        found = [event for event in self.changes if self.period.touches(event.after, event.before)]
        return sorted(found, key=lambda event: (event.before, event.vantage))

    def together(self, event: Event) -> str:
        """What to say of one of its own events that is part of one of many; else empty."""
        wide = next((one for one in self.changes if one.targets and holds(one, event)), None)
        return f", at once with others: {scope_words(wide)}" if wide else ""

    def reported(self) -> list[Change]:
        """The documented changes that the period holds."""
        return [change for change in self.documented if self.period.touches(change.after, change.before)]

    def choices(self, now: datetime) -> list[tuple[str, str, bool]]:
        """Periods that end now, as (name, since, whether it is this one)."""
        named = [(f"{days} days", now - timedelta(days=days)) for days in (7, 30)]
        named.append(("1 year", now - timedelta(days=365)))
        found = [(name, f"{since:%Y-%m-%d}") for name, since in named]
        found += [("all", f"{self.first:%Y-%m-%dT%H:%M:%SZ}")] if self.first else []
        shown = f"{self.period.since:%Y-%m-%d}" if self.period.until == now else ""
        current = next((name for name, since in found if since[:10] == shown), None)
        return [(name, since, name == current) for name, since in found]


async def history(
    store: Store, target: Target, query: Mapping[str, str], *, documented: Sequence[Change], now: datetime,
    vantage: str | None = None, share: int = SHARE,
) -> TargetHistory:  # fmt: skip
    """The target over the period of the query, at all vantages or one. Raises BadPeriod."""
    series = [one for one in await store.target_series(target.name) if vantage in (None, one.vantage)]
    first = min((one.first for one in series), default=None)
    period = asked(query, first=first, now=now)
    shown = series[:MOST_BANDS]
    period = cut(
        period, every=max((one.every for one in shown), default=0.0), vantages=len(shown), now=now,
        rows=await store.target_measured(target.name, period.since, period.until),
    )  # fmt: skip
    counts, events, changes = await asyncio.gather(
        store.target_counts(
            target.name, since=period.since, until=period.until, step=period.step,
            vantages=[one.vantage for one in shown],
        ),
        store.events(target=target.name, vantage=vantage),
        store.changes(share=share, target=target.name, vantage=vantage),
    )  # fmt: skip
    bands = await asyncio.to_thread(
        lambda: tuple(
            band(
                one, [event for event in events if event.vantage == one.vantage],
                (count for count in counts if count.vantage == one.vantage), period=period,
            )
            for one in shown
        )
    )  # fmt: skip
    return TargetHistory(
        target=target.name, site=target.site, category=target.category, period=period, bands=bands, first=first,
        changes=tuple(event for event in changes if event.vantage in {one.vantage for one in shown}),
        documented=tuple(of_site(documented, target.site)), left_out=len(series) - len(shown),
    )  # fmt: skip


def since_words(series: Series, events: Sequence[Event]) -> str:
    """Since when the confirmed state holds; of one that never changed only that it was so from the first."""
    state = series.state.state
    if not state or series.began is None:
        return "unknown: no measurement was evidence"
    turns = [event for event in events if event.kind in BECOMES]
    if not turns:
        already = "" if state == "open" else "already "
        known = "when first measured" if series.began[0] <= series.first else "when it could first be told,"
        return f"{already}{state} {known} on {series.began[0]:%Y-%m-%d %H:%M}"
    after, before = turns[-1].after, turns[-1].before
    if after is None:
        return f"{state} since before {before:%Y-%m-%d %H:%M}"
    shape = "%Y-%m-%d %H:%M" if (before - after).total_seconds() >= 60 else "%Y-%m-%d %H:%M:%S"
    return f"{state} since a time between {after:{shape}} and {before:{shape}}"


def stale(series: Series, now: datetime) -> bool:
    """Whether nothing was measured for three times as long as usual: the state may be another by now."""
    return (now - series.last).total_seconds() > 3 * max(series.every, 60.0)


def as_document(found: TargetHistory) -> dict[str, Any]:
    """The page for JSON. A step without measurements is not listed: nothing is known of it."""
    period = found.period
    return {
        "target": found.target, "site": found.site, "category": found.category,
        "since": rfc3339(period.since), "until": rfc3339(period.until), "step_seconds": period.step,
        "vantages": [_band_document(one) for one in found.bands],
        "vantages_left_out": found.left_out,
        "events": [api.event_document(event) for event in found.events()],
        "documented": [_change_document(change) for change in found.documented],
    }  # fmt: skip


def _band_document(one: Band) -> dict[str, Any]:
    state = one.series.state
    return {
        "vantage": one.vantage, "state": state.state or None, "technique": state.technique if state.state else None,
        "since": since_words(one.series, one.events), "first_measured": rfc3339(one.series.first),
        "last_measured": rfc3339(one.series.last), "counts": one.counts,
        "slots": [_piece_document(piece) for piece in one.pieces],
    }  # fmt: skip


def _piece_document(piece: Piece) -> dict[str, Any]:
    start, end = (rfc3339(datetime.fromtimestamp(at, UTC)) for at in (piece.start, piece.end))
    return {
        "start": start, "end": end, "state": piece.kind, "technique": piece.technique, "contrary": piece.contrary,
        "counts": piece.counts,
    }  # fmt: skip


def _change_document(change: Change) -> dict[str, Any]:
    return {
        "site": " ".join(change.sites), "covers": change.covers or None, "country": change.country,
        "kind": change.kind, "after": rfc3339(change.after) if change.after else None,
        "before": rfc3339(change.before), "confidence": change.confidence, "technique": change.technique,
        "note": change.note, "source": change.source, "measured_by_wallwatch": False,
    }  # fmt: skip

"""Which time a page shows: from the address, bounded, cut into steps that are neither too many nor too fine."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

HOUR, DAY = 3600, 86400
DEFAULT = timedelta(days=30)
LONGEST = timedelta(days=40 * 365)
BY_ROWS = 14 * DAY  # seconds; what is shorter is read measurement by measurement, the rest from daily counts
MOST_ROWS = 50_000  # measurements that are read one by one for a page
_CELLS, _PAGE, _FEWEST, _TITLES = 400, 2000, 60, 600  # cells of a band, of all; the fewest of one; pieces with words
# Each divides the next: a stretch of cells that is told in one piece begins and ends with cells.
_LADDER = (1, 5, 15, 60, 300, 900, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 7 * DAY, 28 * DAY, 364 * DAY, 3640 * DAY)
_SPACES = (10, 30, 60, 300, 900, 1800, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 5 * DAY)
_TICKS = 8


class BadPeriod(ValueError):
    """A period that cannot be shown; str() is the reason."""


class Tick(msgspec.Struct, frozen=True):
    """A mark of the time axis: `at` in percent of its length."""

    at: float
    label: str


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """[since, until), counted in steps of `step` seconds; words are given by pieces of at most `piece` seconds."""

    since: datetime
    until: datetime
    step: int = DAY
    piece: int = DAY

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.until - self.since).total_seconds()

    def percent(self, time: datetime | float) -> float:
        """Where a time (Unix seconds, or aware) lies: 0 to 100, cut at both ends."""
        seconds = time.timestamp() if isinstance(time, datetime) else time
        return min(100.0, max(0.0, (seconds - self.since.timestamp()) / self.seconds * 100))

    def touches(self, after: datetime | None, before: datetime) -> bool:
        """Whether some of (after, before] is shown."""
        return before >= self.since and (after or before) < self.until


def asked(query: Mapping[str, str], *, first: datetime | None, now: datetime) -> Period:
    """The period that `since` and `until` ask for; by default the last 30 days, or all where there is less.

    Raises BadPeriod.
    """
    until = _time(query, "until") or now
    since = _time(query, "since")
    if since is None:
        since = until - DEFAULT
        if first is not None and since < first < until:
            since = first
    if since >= until:
        raise BadPeriod("since must be earlier than until")
    if until - since > LONGEST:
        raise BadPeriod(f"since and until may be at most {LONGEST.days // 365} years apart")
    return Period(since=since, until=max(until, since + timedelta(minutes=1)))


def cut(period: Period, *, every: float, vantages: int, rows: int, now: datetime) -> Period:
    """The period with its steps. A step holds one measurement at least where none is missing (`every` seconds one)."""
    most = max(_FEWEST, min(_CELLS, _PAGE // max(1, vantages)))
    least = max(period.seconds / most, every * 1.5)  # jitter moves a measurement across a step's edge
    if period.seconds >= BY_ROWS or rows > MOST_ROWS:
        least = max(least, DAY)
    step = next((step for step in _LADDER if step >= least), _LADDER[-1])
    pieces = period.seconds * max(1, vantages) / _TITLES
    piece = next((piece for piece in _LADDER if piece >= max(step, pieces)), _LADDER[-1])
    since, until = period.since, period.until
    if step >= DAY:  # the counts are those of whole days
        since = _midnight(since)
        until = max(until, min(_midnight(until + timedelta(days=1, microseconds=-1)), now))
    return Period(since=since, until=until, step=step, piece=piece)


def ticks(period: Period) -> list[Tick]:
    """At most eight marks, at round times."""
    space = next((space for space in _SPACES if period.seconds / space <= _TICKS), None)
    if space is None:
        return [
            Tick(period.percent(time), f"{time:%Y}" if time.month == 1 else f"{time:%b}") for time in _months(period)
        ]
    first = (int(period.since.timestamp()) // space + 1) * space
    times = [datetime.fromtimestamp(at, UTC) for at in range(first, int(period.until.timestamp()) + 1, space)]
    return [Tick(period.percent(time), _label(time, space)) for time in times]


def _label(time: datetime, space: int) -> str:
    if time.timestamp() % DAY == 0:
        return f"{time.day} {time:%b}"
    return f"{time:%H:%M:%S}" if space < 60 else f"{time:%H:%M}"


def _months(period: Period) -> list[datetime]:
    """The first days of every n-th month, or of years."""
    months = period.seconds / (30.4 * DAY)
    every = next((n for n in (1, 2, 3, 6, 12, 24, 60) if months / n <= _TICKS), 120)
    start = period.since.year * 12 + period.since.month
    numbers = range(start - start % every, start + int(months) + 2 * every, every)
    times = [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in numbers if number < 9999 * 12]
    return [time for time in times if period.since <= time < period.until]


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    """A date or RFC 3339 time between 1990 and 2200; without a zone it is UTC. None where there is none."""
    if name not in query:
        return None
    try:
        found = datetime.fromisoformat(query[name])
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadPeriod(f"{name}: must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if not 1990 <= found.year < 2200:
        raise BadPeriod(f"{name}: must lie between 1990 and 2200")
    return found

"""A band as numbers and words for the template: places in percent, so that a phone and a wide screen both fit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from blocklists import Change

from .band import Band, Piece
from .period import DAY, HOUR, Period
from .text import printable

LEAST = 0.3  # percent of the width: what is shorter would not be seen
_OVERLAP = 0.04  # percent: where neighbours are rounded apart, the line between them would look like a gap
_LABEL = 5.0  # percent: a technique is written only where it has some room
_KINDS = ("open", "impaired", "blocked", "unsettled", "down", "insufficient")


def by_kind(one: Band) -> list[tuple[str, list[Piece]]]:
    """The pieces of each kind that there is."""
    groups = [(kind, [piece for piece in one.pieces if piece.kind == kind]) for kind in _KINDS]
    return [(kind, pieces) for kind, pieces in groups if pieces]


def drawn(pieces: Sequence[Piece], period: Period) -> Iterator[tuple[str, str, str]]:
    """(x, width, words) of each piece."""
    for piece in pieces:
        left, right = period.percent(piece.start), period.percent(piece.end)
        yield f"{left:.2f}", f"{max(LEAST, right - left + _OVERLAP):.2f}", piece_words(piece)


def extent(start: float, end: float, period: Period) -> str:
    """A width in percent; never so little that it cannot be seen."""
    return f"{max(LEAST, period.percent(end) - period.percent(start)):.2f}"


def labels(one: Band, period: Period) -> Iterator[tuple[str, str, str]]:
    """(x, width, technique) of each stretch in sight that is not open."""
    until = period.until.timestamp()
    for stretch in one.stretches:
        left, right = period.percent(stretch.start), period.percent(min(stretch.end, until))
        if stretch.state != "open" and stretch.technique and right - left >= _LABEL:
            yield f"{left:.2f}", f"{right - left:.2f}", printable(stretch.technique, 60)


def piece_words(piece: Piece) -> str:
    """What a reader sees who points at a piece."""
    technique = f"; {printable(piece.technique, 60)}" if piece.technique else ""
    return f"{interval_words(piece.start, piece.end)}: {counts_words(piece.counts)}{technique}"


def interval_words(start: float, end: float) -> str:
    """`2026-01-31`, `2026-01-31 to 02-03`, `2026-01-31 12:00 to 14:00`."""
    begin, finish = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    if start % DAY == 0 and end % DAY == 0:
        last = datetime.fromtimestamp(end - 1, UTC)
        return f"{begin:%Y-%m-%d}" if last.date() == begin.date() else f"{begin:%Y-%m-%d} to {last:%Y-%m-%d}"
    clock = "%H:%M" if start % 60 == end % 60 == 0 else "%H:%M:%S"
    day = "" if begin.date() == finish.date() else "%Y-%m-%d "
    return f"{begin:%Y-%m-%d {clock}} to {finish:{day}{clock}}"


def counts_words(counts: Mapping[str, int]) -> str:
    """`22 ok, 2 likely blocked`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {printable(outcome, 20).replace('_', ' ')}" for outcome, number in ordered)


def documented_words(change: Change) -> str:
    """The interval of a documented change; days where only days are known."""
    before = _day(change.before)
    return f"by {before}" if change.after is None else f"after {_day(change.after)}, by {before}"


def step_words(step: int) -> str:
    """`1 day`, `2 hours`."""
    for size, word in ((DAY, "day"), (HOUR, "hour"), (60, "minute"), (1, "second")):
        if step % size == 0:
            return f"{step // size} {word}" + "s" * (step != size)
    raise ValueError(step)


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}" if time.timestamp() % DAY == 0 else f"{time:%Y-%m-%d %H:%M}"

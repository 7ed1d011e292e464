"""How resets that known censors put in look: flags, IP ID, payload, number. Data from research, with source and date.

A pattern is never the only evidence: everybody can send such a header, and many middleboxes and servers send the plain
ones. It names what other evidence has found. TTLs are in no row, since a forger chooses them and they have changed.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from probes.packets import Packet

from . import table

HEADER = "name,country,flags,count,df,ip_id,payload,to,source,date,notes"
SHIPPED = Path(__file__).parent / "resets.csv"
FLAGS = frozenset({"R", "RA"})
TO = frozenset({"client", "server", "both"})
_COUNTRY = re.compile(r"[A-Z]{2}")
_COUNT = re.compile(r"[1-9]")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RANGE = re.compile(r"0x([0-9A-Fa-f]{4})(?:-0x([0-9A-Fa-f]{4}))?")
_PAYLOAD = re.compile(r"([0-9a-f]{2}){0,32}")  # `Packet.payload` has no more
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")


class ResetPattern(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of reset. `count`: so many that are the same in all header fields; `ip_id`: ranges, both ends included
    (none: any); `payload` in hexadecimal, the whole of it; `to`: whom it is sent to; `date`: of the observation."""

    name: str
    country: str
    flags: str
    count: int
    df: bool
    ip_id: tuple[tuple[int, int], ...]
    payload: str
    to: str
    source: str
    date: str
    notes: str


def match(resets: Sequence[Packet], patterns: Sequence[ResetPattern] | None = None) -> tuple[ResetPattern, ...]:
    """The patterns, by default the shipped ones, that the resets which came in one connection show, in their order.

    Several kinds may come together. One of them lost on the way makes another count, and so no match. IPv6 has no IP ID
    and so none either.
    """
    groups = Counter((r.flags, r.df, r.ip_id, r.payload, r.length, r.ttl, r.window, r.sequence, r.acknowledged)
                     for r in resets if r.inbound)  # fmt: skip
    return tuple(
        pattern
        for pattern in (shipped() if patterns is None else patterns)
        if any(
            (flags, df, payload, count) == (pattern.flags, pattern.df, pattern.payload, pattern.count)
            and length == len(payload) // 2
            and ip_id is not None
            and (not pattern.ip_id or any(low <= ip_id <= high for low, high in pattern.ip_id))
            for (flags, df, ip_id, payload, length, *_same), count in groups.items()
        )
    )


def load_resets(path: Path) -> tuple[ResetPattern, ...]:
    """The patterns of a list in its order. Raises ListError with every fault that the file has."""
    patterns, faults = read(table.read(path, [HEADER]))
    if faults:
        raise table.ListError(faults)
    return tuple(patterns)


@cache
def shipped() -> tuple[ResetPattern, ...]:
    """The patterns that come with the program. Raises ListError."""
    return load_resets(SHIPPED)


def read(rows: table.Table) -> tuple[list[ResetPattern], list[table.Fault]]:
    """The good patterns among the rows, and a fault for each of the others, in the file's order."""
    patterns: list[ResetPattern] = []
    faults = list(rows.faults)
    first: dict[str, int] = {}
    for row in rows.rows:
        try:
            pattern = _pattern(row.cells)
            if pattern.name in first:
                raise ValueError(f"the name {pattern.name[:40]!r} is that of line {first[pattern.name]}")
        except ValueError as error:
            faults.append(table.Fault(rows.file, row.line, str(error)))
        else:
            first[pattern.name] = row.line
            patterns.append(pattern)
    return patterns, sorted(faults, key=lambda fault: fault.line)


def _pattern(cells: dict[str, str]) -> ResetPattern:
    """One row as a pattern. Raises ValueError with the reason."""
    pattern = ResetPattern(
        name=_matching(cells, "name", _NAME, "name in lower case, digits and hyphens"),
        country=_matching(cells, "country", _COUNTRY, "country code of two letters"),
        flags=_one_of(cells, "flags", FLAGS),
        count=int(_matching(cells, "count", _COUNT, "number from 1 to 9")),
        df=_one_of(cells, "df", frozenset({"0", "1"})) == "1",
        ip_id=_ranges(cells["ip_id"]),
        payload=_matching(cells, "payload", _PAYLOAD, "payload of at most 32 bytes in lower-case hexadecimal"),
        to=_one_of(cells, "to", TO),
        source=cells["source"].strip(),
        date=_matching(cells, "date", _DATE, "YYYY, YYYY-MM or YYYY-MM-DD"),
        notes=cells["notes"].strip(),
    )
    if not pattern.source:
        raise ValueError("the source is empty")
    return pattern


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges apart by spaces, `0x0001` or `0x00A3-0xFE5F`. Raises ValueError."""
    found = []
    for word in text.split():
        parts = _RANGE.fullmatch(word)
        low, high = (int(parts[1], 16), int(parts[2] or parts[1], 16)) if parts else (1, 0)
        if low > high:
            raise ValueError(f"ip_id {word[:40]!r} is no 0xHHHH or range 0xHHHH-0xHHHH")
        found.append((low, high))
    return tuple(found)


def _one_of(cells: dict[str, str], column: str, words: frozenset[str]) -> str:
    if cells[column] not in words:
        raise ValueError(f"{column} {cells[column][:20]!r} is none of {', '.join(sorted(words))}")
    return cells[column]


def _matching(cells: dict[str, str], column: str, shape: re.Pattern[str], what: str) -> str:
    if not shape.fullmatch(cells[column]):
        raise ValueError(f"{column} {cells[column][:40]!r} is no {what}")
    return cells[column]

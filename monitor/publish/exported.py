"""Exported measurements read back: CSV or JSON lines, row by row, each good or a fault that names line and column.

A record is one line: Python's own reader lets one stray quote swallow all that follows it; here a bad line costs
only itself. In JSON a line is a row of the same names, or a document as `measure --format json` prints it.
"""

import csv
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from sys import intern
from typing import BinaryIO

import msgspec

from monitor.judge.verdict import INTERFERED, OUTCOMES

from .lines import Fault, lines
from .text import printable
from .when import time_of

NEEDED = ("time", "target", "vantage", "outcome", "technique")
_MORE = ("uid", "simulated")
_LONGEST = 64 * 1024  # bytes of a record of CSV
_BOM = b"\xef\xbb\xbf"
_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_KNOWN = frozenset(OUTCOMES)


class Row(msgspec.Struct, frozen=True, gc=False):
    """One measurement, as far as a timeline needs it; `technique` and `uid` may be empty."""

    target: str
    vantage: str
    time: datetime
    outcome: str
    technique: str
    uid: str
    simulated: bool


class _Bad(ValueError):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def rows(file: BinaryIO) -> Iterator[tuple[int, Row] | Fault]:
    """(line, row) of a file in its own order; which of the two formats it is, the first line tells."""
    found = lines(file)
    first = next(found, None)
    if first is None:
        yield Fault(1, "", "the file is empty")
    elif isinstance(first, Fault):
        yield first
    else:
        number, line = first[0], first[1].removeprefix(_BOM)
        if line.lstrip().startswith(b"{"):
            yield from _json(chain([(number, line)], found))
        else:
            yield from _csv(number, line, found)


# CSV


def _csv(number: int, header: bytes, found: Iterator[tuple[int, bytes] | Fault]) -> Iterator[tuple[int, Row] | Fault]:
    try:
        names = [name.strip() for name in _cells(header)]
        places = [_place(names, name) for name in (*NEEDED, *_MORE)]
    except _Bad as bad:
        yield Fault(number, bad.column, str(bad))
        return
    missing = [name for name, place in zip(NEEDED, places, strict=False) if place < 0]
    if missing:
        yield from (Fault(number, name, "the column is missing") for name in missing)
        return
    for item in found:
        if isinstance(item, Fault):
            yield item
            continue
        try:
            yield item[0], _row(*_placed(_cells(item[1]), places, len(names)))
        except _Bad as bad:
            yield Fault(item[0], bad.column, str(bad))


def _place(names: list[str], name: str) -> int:
    if names.count(name) > 1:
        raise _Bad(name, "the column is there twice")
    return names.index(name) if name in names else -1


def _placed(cells: list[str], places: list[int], width: int) -> Iterator[str]:
    """The cells that are needed. Raises _Bad."""
    if len(cells) != width:
        raise _Bad("", f"{len(cells)} cells where the header has {width}")
    cells.append("")  # for columns that are not there: their place is -1
    return map(cells.__getitem__, places)


def _cells(line: bytes) -> list[str]:
    """The cells of a record. Raises _Bad."""
    if len(line) > _LONGEST:
        raise _Bad("", f"longer than {_LONGEST} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _Bad("", f"not UTF-8 at byte {error.start + 1}") from None
    if "\0" in text:
        raise _Bad("", "holds a NUL character")
    if '"' not in text:
        return text.split(",")
    try:
        [cells] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        unclosed = "unexpected end of data" in str(error)
        raise _Bad("", "a quoted cell is not closed on its line" if unclosed else f"no CSV: {error}") from None
    return cells


def _row(time: str, target: str, vantage: str, outcome: str, technique: str, uid: str, simulated: str) -> Row:
    """A row of checked cells. Raises _Bad."""
    if outcome not in _KNOWN:
        raise _Bad("outcome", f"{printable(outcome, 60)!r} is none of {', '.join(OUTCOMES)}")
    if not target or not vantage:
        raise _Bad("vantage" if target else "target", "is empty")
    try:
        moment = time_of(time)
    except ValueError as error:
        raise _Bad("time", f"{printable(time, 60)!r} {error}") from None
    if outcome not in INTERFERED:
        technique = ""  # nothing was done to the connection, so there is no way in which it was done
    return Row(  # names once for a million rows
        intern(target), intern(vantage), moment, intern(outcome), intern(technique), uid,
        bool(simulated) and simulated.lower() in ("1", "true"),
    )  # fmt: skip


# JSON


class _Vantage(msgspec.Struct, frozen=True):
    name: str = ""


class _Verdict(msgspec.Struct, frozen=True):
    outcome: str = ""
    technique: str | None = None


class _Document(msgspec.Struct, frozen=True):
    time: str = ""
    target: str = ""
    vantage: str | _Vantage = ""
    outcome: str | None = None
    technique: str | None = None
    verdict: _Verdict | None = None
    uid: str | None = None
    simulated: bool | None = None


_DOCUMENT = msgspec.json.Decoder(_Document)


def _json(found: Iterator[tuple[int, bytes] | Fault]) -> Iterator[tuple[int, Row] | Fault]:
    for item in found:
        if isinstance(item, Fault):
            yield item
            continue
        try:
            yield item[0], _row_of(_document(item[1]))
        except _Bad as bad:
            yield Fault(item[0], bad.column, str(bad))


def _document(line: bytes) -> _Document:
    try:
        return _DOCUMENT.decode(line)
    except msgspec.ValidationError as error:
        if at := _AT.fullmatch(str(error)):
            raise _Bad(printable(at[2], 60), printable(at[1], 120)) from None
        raise _Bad("", printable(str(error), 120)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Bad("", f"no JSON: {printable(str(error), 120)}") from None


def _row_of(document: _Document) -> Row:
    vantage = document.vantage if isinstance(document.vantage, str) else document.vantage.name
    verdict = document.verdict or _Verdict(document.outcome or "", document.technique)
    cells = {
        "time": document.time, "target": document.target, "vantage": vantage, "outcome": verdict.outcome,
        "technique": verdict.technique or "", "uid": document.uid or "",
        "simulated": "true" if document.simulated else "",
    }  # fmt: skip
    for name, cell in cells.items():
        if not cell and name in NEEDED and name != "technique":
            raise _Bad(name, "is missing")
        if "\0" in cell:
            raise _Bad(name, "holds a NUL character")
    return _row(**cells)

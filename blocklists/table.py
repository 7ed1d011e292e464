"""A list file as rows with line numbers, and everything that is wrong with it; not what the rows mean."""

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

MAX_BYTES = 20 * 1024 * 1024
MAX_LINES = 200_000  # five times the sum of all of Citizen Lab's lists
TOLERATED = 0.05  # part of a downloaded list's rows that may be unusable
_log = logging.getLogger("wallwatch.lists")


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a list; line 0 is the file as a whole."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class ListError(ValueError):
    """A list that cannot be used; str() is one line a fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class Row(msgspec.Struct, frozen=True):
    """One record of the file, by column; `line` is the line on which it begins, from 1."""

    line: int
    cells: dict[str, str]


class Table(msgspec.Struct, frozen=True):
    """What could be read of a file; `header` is "" where not even that could, `whole` whether its end was reached."""

    file: str
    header: str
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]
    whole: bool = True


def read(path: Path, headers: Sequence[str]) -> Table:
    """The rows of a CSV file (RFC 4180, UTF-8 with or without BOM) whose header is exactly one of `headers`.

    Never raises for what is in the file or in its place; blank lines are skipped.
    """
    file = str(path)
    try:
        data = _content(path)
    except _Unreadable as error:
        return Table(file, "", (), (Fault(file, error.line, error.reason),), whole=False)
    return parse(file, data, headers)


def parse(file: str, data: bytes, headers: Sequence[str]) -> Table:
    """The same of a file's content; `file` is what its faults call it."""
    try:
        records = _records(_text(data))
        header = next(records, (1, []))[1]
    except _Unreadable as error:
        return Table(file, "", (), (Fault(file, error.line, error.reason),), whole=False)
    if header not in [wanted.split(",") for wanted in headers]:
        wrong = Fault(file, 1, f"the header must be exactly {' or '.join(headers)}")
        return Table(file, "", (), (wrong,), whole=False)
    rows, faults, whole = _rows(records, header, file)
    return Table(file, ",".join(header), tuple(rows), tuple(faults), whole)


def sound(rows: Table, faults: Sequence[Fault], *, downloaded: bool) -> list[Fault]:
    """The faults for which a list must be refused: all of them, but few in a list that somebody else keeps.

    A list that was downloaded is used without its unusable rows, which are told in the log, where it could be read
    to its end and at most `TOLERATED` of its rows are unusable: one slip of theirs must not stop our service.
    """
    if not faults or not downloaded or not tolerable(rows, faults):
        return list(faults)
    first = faults[0]
    _log.warning("%s: %d rows left out, the first: line %d: %s", rows.file, len(faults), first.line, first.reason)
    return []


def tolerable(rows: Table, faults: Sequence[Fault]) -> bool:
    """Whether a list that somebody else keeps can be used in spite of its faults."""
    return rows.whole and len(faults) <= TOLERATED * (len(rows.rows) + len(rows.faults))


class _Unreadable(Exception):
    """Nothing of the file can be used."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def _content(path: Path) -> bytes:
    """The file's bytes, one more than the limit at most."""
    try:
        if path.exists() and not path.is_file():
            raise _Unreadable(0, "is not a file")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _Unreadable(0, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # NUL in the path
        raise _Unreadable(0, f"cannot be read: {error}") from error


def _text(data: bytes) -> str:
    """All of it, within the limits."""
    if len(data) > MAX_BYTES:
        raise _Unreadable(0, f"is larger than {MAX_BYTES // (1024 * 1024)} MB")
    if data.count(b"\n") > MAX_LINES:
        raise _Unreadable(0, f"has more than {MAX_LINES} lines")
    nul = data.find(b"\x00")
    if nul >= 0:
        raise _Unreadable(_line_of(data, nul), "contains a NUL byte")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable(_line_of(data, error.start), "is not UTF-8") from error


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins. Raises _Unreadable where a quotation is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _Unreadable(line, f"no CSV: {error}") from error


def _rows(
    records: Iterator[tuple[int, list[str]]], columns: list[str], file: str
) -> tuple[list[Row], list[Fault], bool]:
    """The records after the header; a broken quotation ends the reading (False), all else is told row by row."""
    rows: list[Row] = []
    faults: list[Fault] = []
    try:
        for line, cells in records:
            if len(cells) == len(columns):
                rows.append(Row(line, dict(zip(columns, cells, strict=True))))
            elif len(cells) > 1 or "".join(cells).strip():
                faults.append(Fault(file, line, f"has {len(cells)} columns instead of {len(columns)}"))
    except _Unreadable as error:
        return rows, [*faults, Fault(file, error.line, error.reason)], False
    return rows, faults, True

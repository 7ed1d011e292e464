"""A local table of networks: which country and AS an address belongs to. Nobody is ever asked over the network.

CSV or TSV by path, in one of three forms; anything that ends in `.mmdb` is MaxMind's format (`mmdb`).
"""

import csv
import socket
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import Protocol, TextIO

from .mmdb import open_mmdb
from .network import Network, network
from .table import Fault, ListError

HEADER = "start,end,country,asn,as_name"  # our own form
_MOST_FAULTS = 20  # of one file: a table of the wrong kind has a fault in each row
_MAX_BYTES = 512 * 1024 * 1024


class Networks(Protocol):
    """A table of networks."""

    def lookup(self, address: str) -> Network | None:
        """The network that holds an address; None where the table has none, or the text is no address."""


def load_networks(path: Path) -> Networks:
    """The table in a file: MMDB, our own CSV, `start,end,asn,name` without a header (@ip-location-db/asn), or
    iptoasn's TSV. Each address family must be in ascending order. Raises ListError.
    """
    if path.suffix == ".mmdb":
        return open_mmdb(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ListError([Fault(str(path), 0, f"is larger than {_MAX_BYTES // 2**20} MB")])
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _read(stream, str(path))
    except OSError as error:
        raise ListError([Fault(str(path), 0, f"cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError:
        raise ListError([Fault(str(path), 0, "is not UTF-8")]) from None


class _Ranges:
    """The ranges of one address family, in ascending order."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.networks = array("L")

    def find(self, number: int) -> int | None:
        at = bisect_right(self.starts, number) - 1
        return self.networks[at] if at >= 0 and number <= self.ends[at] else None


class Table:
    """Networks by ranges of addresses."""

    def __init__(self) -> None:
        self._families = {4: _Ranges(), 16: _Ranges()}  # by the bytes of an address
        self._networks: list[Network] = []
        self._known: dict[tuple[str, str, str], int] = {}

    def lookup(self, address: str) -> Network | None:
        """See `Networks.lookup`."""
        packed = _packed(address.partition("%")[0])
        if packed is None:
            return None
        if packed[:12] == b"\0" * 10 + b"\xff\xff":  # IPv4-mapped
            packed = packed[12:]
        found = self._families[len(packed)].find(int.from_bytes(packed, "big"))
        return None if found is None else self._networks[found]

    def add(self, first: str, last: str, whose: tuple[str, str, str]) -> None:
        """One row: from, to, and (country, AS number, name) as texts. Raises ValueError."""
        start, end = _packed(first), _packed(last)
        if start is None or end is None or len(start) != len(end):
            raise ValueError(f"{first[:50]!r} to {last[:50]!r} is no range of IP addresses")
        ranges, low, high = self._families[len(start)], int.from_bytes(start, "big"), int.from_bytes(end, "big")
        if high < low:
            raise ValueError(f"the range {first} to {last} ends before it begins")
        if ranges.ends and low <= ranges.ends[-1]:
            raise ValueError(f"{first} is not above the range before: rows must ascend and not overlap")
        number = self._known.get(whose)
        if number is None:
            number = self._known[whose] = len(self._networks)
            self._networks.append(network(*whose))
        ranges.starts.append(low)
        ranges.ends.append(high)
        ranges.networks.append(number)

    def __len__(self) -> int:
        return sum(len(ranges.starts) for ranges in self._families.values())


def _read(stream: TextIO, file: str) -> Table:
    table, faults = Table(), list[Fault]()
    head = stream.readline()
    stream.seek(0)
    named, tabs = head.strip() == HEADER, "\t" in head
    reader = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(stream, strict=True)
    row_of = _own if named else _iptoasn if tabs else _bare
    try:
        if named:
            next(reader)
        for cells in reader:
            try:
                if cells:
                    table.add(*row_of(cells))
            except ValueError as error:
                faults.append(Fault(file, reader.line_num, str(error)))
                if len(faults) == _MOST_FAULTS:
                    break
    except csv.Error as error:
        faults.append(Fault(file, reader.line_num, f"no CSV: {error}"))
    if not faults and not len(table):
        faults.append(Fault(file, 0, "holds no network"))
    if faults:
        raise ListError(faults)
    return table


_Row = tuple[str, str, tuple[str, str, str]]


def _own(cells: list[str]) -> _Row:
    """Our own form."""
    start, end, country, asn, name = _counted(cells, 5)
    return start, end, (country, asn, name)


def _iptoasn(cells: list[str]) -> _Row:
    """iptoasn.com: start, end, AS number, country, name."""
    start, end, asn, country, name = _counted(cells, 5)
    return start, end, (country, asn, name)


def _bare(cells: list[str]) -> _Row:
    """@ip-location-db/asn: start, end, AS number, name."""
    start, end, asn, name = _counted(cells, 4)
    return start, end, ("", asn, name)


def _counted(cells: list[str], wanted: int) -> list[str]:
    if len(cells) != wanted:
        raise ValueError(f"has {len(cells)} columns instead of {wanted}; with five the header must be {HEADER}")
    return cells


def _packed(address: str) -> bytes | None:
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):  # ValueError: a NUL
        return None


__all__ = ["HEADER", "Network", "Networks", "Table", "load_networks"]

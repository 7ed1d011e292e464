"""Addresses in a network that remote methods contact: silent ones, resolvers, web and echo servers, one's own sink.

The list is the operator's own; none is shipped. docs/ethics.md says whom not to put on it.
"""

from pathlib import Path

import msgspec

from probes.address import kind

from . import table

HEADER = "address,port,protocol,country,asn"
PROTOCOLS = {"dns": 53, "http": 80, "https": 443, "echo": 7}  # and their usual ports
_NOBODYS = ("invalid", "loopback", "unspecified", "multicast", "reserved", "link_local")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One address and port. `protocol`: `dns`, `http`, `https` or `echo`; `country` and `asn` where they are known."""

    address: str
    port: int
    protocol: str
    country: str = ""
    asn: int = 0


def load_places(path: Path) -> list[Place]:
    """The places of a list in its order; an empty port is the protocol's usual one. Raises ListError."""
    places, faults = read(table.read(path, [HEADER]))
    if faults:
        raise table.ListError(faults)
    return places


def read(rows: table.Table) -> tuple[list[Place], list[table.Fault]]:
    """The good places among the rows, and a fault for each of the others, in the file's order."""
    places: list[Place] = []
    faults = list(rows.faults)
    for row in rows.rows:
        try:
            place = _place(row.cells)
            if any((p.address, p.port) == (place.address, place.port) for p in places):
                raise ValueError(f"{place.address} port {place.port} is there twice")
            places.append(place)
        except ValueError as error:
            faults.append(table.Fault(rows.file, row.line, str(error)))
    return places, sorted(faults, key=lambda fault: fault.line)


def _place(cells: dict[str, str]) -> Place:
    address, protocol, country = cells["address"].strip(), cells["protocol"].strip(), cells["country"].strip()
    if kind(address) in _NOBODYS:
        raise ValueError(f"{address!r} is no IP address of a host")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    if country and not (len(country) == 2 and country.isascii() and country.isupper()):
        raise ValueError(f"country: {country!r} is not two capital letters (ISO 3166)")
    return Place(
        address=address, protocol=protocol, country=country,
        port=_number(cells["port"], "port", 65535) or PROTOCOLS[protocol],
        asn=_number(cells["asn"].removeprefix("AS"), "asn", 2**32 - 1),
    )  # fmt: skip


def _number(text: str, name: str, most: int) -> int:
    text = text.strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise ValueError(f"{name}: {text!r} is no number up to {most}")
    return int(text)

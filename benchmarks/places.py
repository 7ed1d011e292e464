"""Names and public-looking addresses of the sites, and the network that leads all of them to loopback."""

import socket
from collections.abc import Sequence
from ipaddress import IPv6Address

import msgspec

from probes.network import DirectNetwork

ZONE = "bench.example"
RESOLVER = "8.8.8.8"
DOH_NAME, DOH_ADDRESS = "dns.example", "9.9.9.9"
RESOLVERS = ("system", f"udp://{RESOLVER}:53", f"https://{DOH_NAME}/dns-query?bootstrap={DOH_ADDRESS}")
SITE, SILENT, CONTROL = "s", "q", "c"  # first letter of a name: a good site, a silent one, a control name
_BLOCKS = {SITE: 184, SILENT: 185, CONTROL: 186}  # second byte of the IPv4 address
_SYSTEM = "192.0.2.53"


class Ports(msgspec.Struct, frozen=True):
    """Where the servers listen on loopback."""

    dns: int
    tls: int
    silent: int
    flood: int


def host(kind: str, number: int) -> str:
    """The name of a site, 0 to 65535."""
    return f"{kind}{number}.{ZONE}"


def addresses(name: str) -> tuple[str, str] | None:
    """The IPv4 and IPv6 address of a name; None where it does not exist."""
    label, _, zone = name.lower().partition(".")
    block = _BLOCKS.get(label[:1])
    if zone != ZONE or block is None or not label[1:].isdigit():
        return None
    number = int(label[1:])
    four = f"93.{block}.{number >> 8 & 255}.{number & 255}"
    return four, str(IPv6Address(f"2606:2800:{block:x}::{number + 1:x}"))


class MappedNetwork:
    """A `Network` whose every address is a server on loopback."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._direct = DirectNetwork()

    async def connect(self, address: str, port: int) -> socket.socket:
        """See `Network.connect`."""
        return await self._direct.connect("127.0.0.1", self.port_of(address))

    async def open_udp(self, address: str, port: int) -> socket.socket:
        """See `Network.open_udp`."""
        return await self._direct.open_udp("127.0.0.1", self._ports.dns)

    async def getaddrinfo(self, name: str) -> list[str]:
        """See `Network.getaddrinfo`."""
        found = addresses(name)
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, name)
        return list(found)

    blind: frozenset[str] = frozenset()

    def nameservers(self) -> Sequence[tuple[str, int]]:
        """See `Network.nameservers`."""
        return [(_SYSTEM, 53)]

    def capture(self) -> None:
        """See `Network.capture`."""

    def port_of(self, address: str) -> int:
        """The server behind an address."""
        quiet = f"93.{_BLOCKS[SILENT]}.", f"2606:2800:{_BLOCKS[SILENT]:x}:"
        return self._ports.silent if address.startswith(quiet) else self._ports.tls

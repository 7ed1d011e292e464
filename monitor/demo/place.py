"""Where a client sits: the world, the censor in its path, and the trouble on its line."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_network

import msgspec

from probes.address import is_ipv6, parse

from . import trouble as troubles
from .censor import Censor
from .trouble import Trouble
from .world import World


class Place(msgspec.Struct, kw_only=True):
    """What the parts of a client's path share; `trouble` may be replaced while it runs."""

    world: World
    client: str
    censor: Censor
    trouble: Trouble = troubles.NONE
    chance: random.Random = msgspec.field(default_factory=lambda: random.Random(0))
    fakes: list[str] = msgspec.field(default_factory=list)  # the names that have an address of 198.18/15

    def loses(self) -> bool:
        """Whether a packet that matters is lost."""
        return self.trouble.loss > 0 and self.chance.random() < self.trouble.loss

    def fake(self, name: str) -> str:
        """The local proxy's address for a name."""
        if name not in self.fakes:
            self.fakes.append(name)
        number = self.fakes.index(name) + 1
        return f"198.18.{number // 256 % 256}.{number % 256}"

    def destination(self, address: str) -> str:
        """Where a connection really goes: behind a fake address, or through NAT64."""
        if self.trouble.fake_addresses and address.startswith("198.18."):
            return self._behind_fake(address)
        return behind_nat64(self.trouble.nat64, address)

    def _behind_fake(self, address: str) -> str:
        high, low = (int(part) for part in address.split(".")[2:])
        number = high * 256 + low - 1
        site = self.world.site(self.fakes[number], self.client) if 0 <= number < len(self.fakes) else None
        return next((a for a in site.addresses if not is_ipv6(a)), address) if site else address


def in_nat64(prefix: str, address: str) -> str:
    """The address of a /96 prefix that stands for an IPv4 address (RFC 6052)."""
    return str(IPv6Address(int(ip_network(prefix).network_address) | int(IPv4Address(address))))


def behind_nat64(prefix: str, address: str) -> str:
    """The IPv4 address in one of the /96 prefix, else the address itself."""
    parsed = parse(address)
    if prefix and parsed is not None and parsed.version == 6 and parsed in ip_network(prefix):
        return str(IPv4Address(int(parsed) & 0xFFFFFFFF))
    return address

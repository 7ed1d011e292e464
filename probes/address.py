"""What kind of address an IP address is; written out, since Python's `is_private` mixes the classes up."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

# First match wins. Sources: RFC 6890 and its updates; RFC 6598 (shared), RFC 6052 (NAT64),
# RFC 4380 (Teredo), RFC 2544 (benchmarking: in practice the pool of local fake-address proxies).
_CLASSES = tuple(
    (ip_network(block), kind)
    for block, kind in (
        ("127.0.0.0/8", "loopback"),
        ("::1/128", "loopback"),
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("fc00::/7", "private"),
        ("169.254.0.0/16", "link_local"),
        ("fe80::/10", "link_local"),
        ("100.64.0.0/10", "shared"),
        ("240.0.0.0/4", "reserved"),
        ("198.18.0.0/15", "fake"),
        ("64:ff9b::/96", "nat64"),
        ("2001::/32", "teredo"),
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
    )
)
_LONGEST = 64  # characters of a text that is remembered: an address has at most 45, and a zone
_BOGON = frozenset({"loopback", "unspecified", "private", "link_local", "shared", "reserved", "multicast"})


@lru_cache(maxsize=65536)
def kind(address: str) -> str:
    """The class of an IP address: `global`, or the first class above that holds it; `invalid` if it is none."""
    parsed = parse(address)
    if parsed is None:
        return "invalid"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    for block, name in _CLASSES:
        if parsed.version == block.version and parsed in block:
            return name
    return "global"


def parse(address: str) -> IPv4Address | IPv6Address | None:
    """The address as an object, or None where the text is no IP address."""
    return _remembered(address) if len(address) <= _LONGEST else _parse(address)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None


_remembered = lru_cache(maxsize=65536)(_parse)


def is_bogon(address: str) -> bool:
    """Whether no site of the public Internet can be at the address (Teredo, NAT64 and 198.18/15 do not count)."""
    return kind(address) in _BOGON


def is_name(address: str) -> bool:
    """Whether the place of a contact is a host name, which the far side of a proxy resolves."""
    return bool(address) and parse(address) is None


def is_ipv6(address: str) -> bool:
    """Whether the text is written as an IPv6 address."""
    return ":" in address


def embedded_ipv4(address: str, prefixes: tuple[str, ...] = ()) -> str:
    """The IPv4 address inside a NAT64 address (RFC 6052, /96 prefixes only), else the address itself.

    `prefixes` are the network's own NAT64 prefixes, found by `ipv4only.arpa` (RFC 7050).
    """
    if not is_ipv6(address):  # the most are not, and reading them costs
        return address
    parsed = parse(address)
    if not isinstance(parsed, IPv6Address):
        return address
    for prefix in ("64:ff9b::/96", *prefixes):
        if parsed in _network(prefix):
            return str(IPv4Address(int(parsed) & 0xFFFFFFFF))
    return address


@lru_cache(maxsize=256)
def _network(block: str) -> IPv4Network | IPv6Network:
    return ip_network(block)


def endpoint(address: str, port: int) -> str:
    """`1.2.3.4:443` or `[2001:db8::1]:443`."""
    return f"[{address}]:{port}" if is_ipv6(address) else f"{address}:{port}"


def split_endpoint(text: str) -> tuple[str, int]:
    """The reverse of `endpoint`; raises ValueError for anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if parse(host) is None:
        raise ValueError(f"{text!r} is no ADDRESS:PORT")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is no port")
    return host, int(port)

"""Where a client of the helper's comes from: told to itself, so that a vantage learns where its own way out ends."""

from collections.abc import Sequence
from ipaddress import IPv6Address

from probes.address import kind, parse

CLIENT_HEADER = "X-Wallwatch-Client"
_OURS = ("loopback", "private")  # from there only the operator's own TLS proxy asks


def client_address(remote: str | None, forwarded: Sequence[str]) -> str:
    """The address of the peer, or the last one in `X-Forwarded-For` where the peer is a proxy in front of us.

    Anybody else's `X-Forwarded-For` is ignored. Empty where nobody knows. IPv4-mapped addresses are told as IPv4.
    """
    peer = _clean(remote or "")
    if forwarded and kind(peer) in _OURS:
        return _clean(forwarded[-1].rpartition(",")[2].strip()) or peer
    return peer


def _clean(text: str) -> str:
    address = parse(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address) if address else ""

"""The own address taken out of a packet, so that a capture can be published without telling who measured.

Checksums would give the address away again: what a reader knows of a packet, and the checksum over all of it, leave few
possibilities. So a right one is made right for the new packet, a wrong one becomes `WRONG`, and one that cannot be
checked (not computed yet because the network card does that, or the packet was cut) becomes `UNKNOWN`. None at all in
UDP (0) stays so.
"""

import re
from functools import lru_cache
from ipaddress import ip_address

from . import ip
from .ip import Header

STAND_IN = {4: ip_address("192.0.2.1").packed, 16: ip_address("2001:db8::1").packed}  # RFC 5737, RFC 3849
UNKNOWN = 0xFFFF  # no sender computes this one for TCP or ICMP
WRONG = 0xBAAD
_AT = {ip.TCP: 16, ip.UDP: 6, ip.ICMP: 2, ip.ICMPV6: 2}  # where the checksum is in the transport's header


def mask(data: bytes, header: Header, own: bytes, *, inbound: bool, ready: bool = True) -> bytes:
    """The packet with the own address replaced wherever it is found, as bytes or as text.

    `data` may be cut at its end; `ready` False says that the transport's checksum was not computed yet.
    """
    after, size = bytearray(data), len(own)
    first = (12 if size == 4 else 8) + (size if inbound else 0)
    after[first : first + size] = STAND_IN[size]
    fixed = 20 if size == 4 else 40
    after[fixed:] = _without(bytes(after[fixed:]), own)
    quote = ip.quoted(data, header)
    if quote is not None:
        after[header.start + 8 :] = _quote(quote, own)
    _transport_checksum(data, after, header, ready=ready)
    if size == 4:
        _ipv4_checksum(data, after)
    return bytes(after)


def _quote(quote: bytes, own: bytes) -> bytes:
    """Our own packet inside somebody's ICMP error. Its source is us, also where a translator forgot to say so."""
    header = ip.read(quote)
    if header is None:
        return _without(quote, own)
    after = bytearray(mask(quote, header, header.source, inbound=False, ready=False))
    fixed = 20 if len(header.source) == 4 else 40
    after[fixed:] = _without(bytes(after[fixed:]), own)
    return bytes(after)


def _transport_checksum(before: bytes, after: bytearray, header: Header, *, ready: bool) -> None:
    at = header.start + _AT.get(header.protocol, 0)
    if header.protocol not in _AT or len(after) < at + 2:
        return
    told = int.from_bytes(before[at : at + 2], "big")
    if header.protocol == ip.UDP and told == 0:
        return
    value = UNKNOWN
    if ready and not header.fragment and header.end <= len(before):
        right = _sum(_pseudo(before, header) + before[header.start : header.end]) == 0
        after[at : at + 2] = b"\0\0"
        value = (-_sum(_pseudo(bytes(after), header) + bytes(after[header.start : header.end]))) % 0xFFFF
        if header.protocol == ip.UDP:
            value = value or 0xFFFF
        if not right:
            value = WRONG + (value == WRONG)
    after[at : at + 2] = value.to_bytes(2, "big")


def _pseudo(data: bytes, header: Header) -> bytes:
    """What the transport's checksum covers besides (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    if header.protocol == ip.ICMP:
        return b""
    addresses = data[12:20] if len(header.source) == 4 else data[8:40]
    return addresses + (header.end - header.start).to_bytes(4, "big") + header.protocol.to_bytes(4, "big")


def _ipv4_checksum(before: bytes, after: bytearray) -> None:
    length = 4 * (before[0] & 15)
    whole = 20 <= length <= len(before)
    right = whole and _sum(before[:length]) == 0
    after[10:12] = b"\0\0"
    value = -_sum(bytes(after[: length if whole else 20])) % 0xFFFF
    after[10:12] = (value if right else WRONG + (value == WRONG)).to_bytes(2, "big")


def _sum(data: bytes) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), where 0xFFFF counts as 0."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 0xFFFF


def _without(data: bytes, own: bytes) -> bytes:
    """The bytes with the address replaced: as it is on the wire, and by x as it is written."""
    if own in data:
        data = data.replace(own, STAND_IN[len(own)])
    return _written(own).sub(lambda found: b"x" * len(found[0]), data)


@lru_cache(maxsize=256)
def _written(own: bytes) -> re.Pattern[bytes]:
    address = ip_address(own)
    return re.compile(b"|".join(re.escape(text.encode()) for text in (str(address), address.exploded)), re.IGNORECASE)

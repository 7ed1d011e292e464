"""One IP packet as bytes: where its headers are and what they say. Everything in it may be a lie.

Reading never raises: what cannot be read is None. Sources: RFC 791, RFC 8200, RFC 9293, RFC 792, RFC 4443.
"""

import struct

import msgspec

from .packets import Packet

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_EXTENSIONS = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options: length in units of 8 bytes
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_EXTENSIONS = 8
_FLAGS = "FSRPAUECN"  # from the lowest bit on, as tools for packets write them
_ERRORS = {ICMP: frozenset({3, 11}), ICMPV6: frozenset({1, 2, 3})}
_LONGEST_PAYLOAD = 32  # bytes of a reset's


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`start` is where the transport's header begins and `end` where the packet ends, as far as it says.

    `protocol` is -1 where no transport's header is here: a later fragment, or what cannot be read.
    """

    source: bytes
    destination: bytes
    protocol: int
    start: int
    end: int
    ttl: int
    ip_id: int | None
    df: bool = False
    fragment: bool = False


def read(data: bytes) -> Header | None:
    """The IP header of a packet; None where not even its fixed part can be read."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        return _ipv4(data)
    if version == 6 and len(data) >= 40:
        return _ipv6(data)
    return None


def _ipv4(data: bytes) -> Header:
    start, total = 4 * (data[0] & 15), int.from_bytes(data[2:4], "big")
    identification, offset = struct.unpack_from("!HH", data, 4)
    sound = 20 <= start <= min(total, len(data)) and not offset & 0x1FFF
    return Header(
        source=data[12:16], destination=data[16:20], protocol=data[9] if sound else -1, start=max(20, start),
        end=max(20, total), ttl=data[8], ip_id=identification, df=bool(offset & 0x4000), fragment=bool(offset & 0x3FFF),
    )  # fmt: skip


def _ipv6(data: bytes) -> Header:
    end = 40 + int.from_bytes(data[4:6], "big")
    protocol, start, fragment = _transport(data)
    sound = start <= min(end, len(data))
    return Header(
        source=data[8:24], destination=data[24:40], protocol=protocol if sound else -1, start=start, end=end,
        ttl=data[7], ip_id=None, fragment=fragment,
    )  # fmt: skip


def _transport(data: bytes) -> tuple[int, int, bool]:
    """The transport's protocol (-1: not here) behind the extension headers, where it begins, and whether in parts."""
    kind, start, fragment = data[6], 40, False
    for _ in range(_MOST_EXTENSIONS):
        if kind not in _EXTENSIONS and kind not in (_FRAGMENT, _AUTHENTICATION):
            return kind, start, fragment
        if len(data) < start + 8:
            break
        following, length = data[start], data[start + 1]
        if kind == _FRAGMENT:
            fragment = True
            if int.from_bytes(data[start + 2 : start + 4], "big") & 0xFFF8:
                break  # not the first part
            start += 8
        else:
            start += 4 * (length + 2) if kind == _AUTHENTICATION else 8 * (length + 1)
        kind = following
    return -1, start, fragment


def ports(data: bytes, header: Header) -> tuple[int, int] | None:
    """The source's and the destination's port, where they are in the packet."""
    if header.protocol not in (TCP, UDP) or len(data) < header.start + 4:
        return None
    return int.from_bytes(data[header.start : header.start + 2], "big"), int.from_bytes(
        data[header.start + 2 : header.start + 4], "big"
    )


def quoted(data: bytes, header: Header) -> bytes | None:
    """The packet that an ICMP error is about, as far as it is quoted; None for everything else."""
    known = _ERRORS.get(header.protocol)
    if known is None or len(data) <= header.start + 8 or data[header.start] not in known:
        return None
    return data[header.start + 8 :]


def tcp_flags(data: bytes, header: Header) -> str | None:
    """The flags of a TCP packet by their letters; None where there is no whole TCP header."""
    start = header.start
    if header.protocol != TCP or len(data) < start + 20 or header.end < start + 4 * (data[start + 12] >> 4):
        return None
    if data[start + 12] >> 4 < 5:
        return None
    bits = data[start + 13] | (data[start + 12] & 1) << 8
    return "".join(letter for number, letter in enumerate(_FLAGS) if bits >> number & 1)


def tcp_packet(data: bytes, header: Header, *, at: float, inbound: bool) -> Packet | None:
    """The packet as the record that is kept; None where there is no whole TCP header."""
    flags = tcp_flags(data, header)
    if flags is None:
        return None
    _source, _destination, sequence, acknowledged, word, window = struct.unpack_from("!HHIIHH", data, header.start)
    body = header.start + 4 * (word >> 12)
    payload = data[body : min(header.end, body + _LONGEST_PAYLOAD)] if "R" in flags else b""
    return Packet(
        at=at, inbound=inbound, ttl=header.ttl, flags=flags, window=window, ip_id=header.ip_id, df=header.df,
        sequence=sequence, acknowledged=acknowledged, length=header.end - body, payload=payload.hex(),
    )  # fmt: skip

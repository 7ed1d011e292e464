"""IP packets read and made: TCP, UDP and ICMP in IPv4 and IPv6, with right checksums."""

import socket
import struct
from typing import NamedTuple

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_IPV6_HEADER, _IPV4_HEADER = 40, 20


class Packet(NamedTuple):
    """What the censor looks at. `start` is where the transport header begins; `payload` is without headers."""

    data: bytes
    version: int
    protocol: int
    source: str
    destination: str
    ttl: int
    start: int
    sport: int = 0
    dport: int = 0
    sequence: int = 0
    acknowledged: int = 0
    flags: int = 0
    payload: bytes = b""

    @property
    def flow(self) -> tuple[str, int, str, int]:
        """Source and destination."""
        return self.source, self.sport, self.destination, self.dport


def read(data: bytes) -> Packet | None:
    """A packet from a TUN device; None for what is no IP or is cut short. IPv6 extension headers are not followed."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= _IPV4_HEADER:
        start, protocol, ttl = 4 * (data[0] & 15), data[9], data[8]
        source, destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    elif version == 6 and len(data) >= _IPV6_HEADER:
        start, protocol, ttl = _IPV6_HEADER, data[6], data[7]
        source = socket.inet_ntop(socket.AF_INET6, data[8:24])
        destination = socket.inet_ntop(socket.AF_INET6, data[24:40])
    else:
        return None
    packet = Packet(data, version, protocol, source, destination, ttl, start)
    if protocol == TCP and len(data) >= start + 20:
        sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", data, start)
        payload = data[start + 4 * (offset >> 4) :]
        return packet._replace(
            sport=sport, dport=dport, sequence=seq, acknowledged=ack, flags=flags & 31, payload=payload
        )
    if protocol == UDP and len(data) >= start + 8:
        sport, dport = struct.unpack_from("!HH", data, start)
        return packet._replace(sport=sport, dport=dport, payload=data[start + 8 :])
    return packet


class Header(NamedTuple):
    """The fields of an IP header that tell one censor from another."""

    ttl: int = 64
    ip_id: int = 0
    df: bool = True


USUAL = Header()


def tcp(
    flow: tuple[str, int, str, int], *, sequence: int, acknowledged: int, flags: int, window: int = 0,
    payload: bytes = b"", header: Header = USUAL,
) -> bytes:  # fmt: skip
    """A TCP segment without options."""
    source, sport, destination, dport = flow
    segment = struct.pack(
        "!HHIIBBHHH", sport, dport, sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 0x50, flags, window, 0, 0
    )
    return _ip(source, destination, TCP, segment + payload, header, checksum_at=16)


def udp(flow: tuple[str, int, str, int], payload: bytes, header: Header = USUAL) -> bytes:
    """A UDP datagram."""
    source, sport, destination, dport = flow
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    return _ip(source, destination, UDP, datagram, header, checksum_at=6)


def unreachable(of: Packet, router: str) -> bytes:
    """ICMP "administratively prohibited" from a router, about a packet."""
    if of.version == 4:
        body = struct.pack("!BBHI", 3, 13, 0, 0) + of.data[: of.start + 8]
        return _ip(router, of.source, ICMP, body, Header(ttl=63, df=False), checksum_at=2)
    body = struct.pack("!BBHI", 1, 1, 0, 0) + of.data[:400]
    return _ip(router, of.source, ICMP6, body, Header(ttl=63), checksum_at=2)


def _ip(source: str, destination: str, protocol: int, body: bytes, header: Header, *, checksum_at: int) -> bytes:
    six = ":" in source
    family = socket.AF_INET6 if six else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    pseudo = b"" if protocol == ICMP else ends + struct.pack("!IHBB", len(body), 0, 0, protocol)
    checksum = _checksum(pseudo + body) or (0xFFFF if protocol == UDP else 0)
    body = body[:checksum_at] + checksum.to_bytes(2, "big") + body[checksum_at + 2 :]
    if six:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, header.ttl) + ends + body
    head = struct.pack(
        "!BBHHHBBH", 0x45, 0, 20 + len(body), header.ip_id, 0x4000 if header.df else 0, header.ttl, protocol, 0
    )
    summed = _checksum(head + ends)
    return head[:10] + summed.to_bytes(2, "big") + ends + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

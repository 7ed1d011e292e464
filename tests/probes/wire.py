"""Packets made by hand, as right or as wrong as a test wants them."""

import struct
from ipaddress import ip_address

CLIENT, SERVER, ROUTER = "10.7.1.2", "203.0.113.7", "10.7.1.1"
CLIENT6, SERVER6, ROUTER6 = "fd00:7:1::2", "2001:db8:2::7", "fd00:7:1::1"
_FLAGS = "FSRPAUECN"


def packed(address: str) -> bytes:
    return bytes(ip_address(address).packed)


def checksum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    if ":" in source:
        return packed(source) + packed(destination) + struct.pack("!IHBB", length, 0, 0, protocol)
    return packed(source) + packed(destination) + struct.pack("!BBH", 0, protocol, length)


def tcp(
    source: str, destination: str, ports: tuple[int, int], flags: str, *, seq: int = 0, ack: int = 0,
    payload: bytes = b"", window: int = 64, options: bytes = b"",
) -> bytes:  # fmt: skip
    bits = sum(1 << _FLAGS.index(letter) for letter in flags)
    word = (5 + len(options) // 4) << 12 | bits
    head = struct.pack("!HHIIHHHH", *ports, seq, ack, word, window, 0, 0) + options
    summed = checksum(pseudo(source, destination, 6, len(head) + len(payload)) + head + payload)
    return head[:16] + struct.pack("!H", summed) + head[18:] + payload


def udp(source: str, destination: str, ports: tuple[int, int], payload: bytes) -> bytes:
    head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    summed = checksum(pseudo(source, destination, 17, len(head) + len(payload)) + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", summed) + payload


def icmp(kind: int, code: int, quote: bytes, *, between: tuple[str, str] | None = None) -> bytes:
    """An error; `between` its addresses for ICMPv6."""
    body = struct.pack("!BBHI", kind, code, 0, 0) + quote
    before = pseudo(*between, 58, len(body)) if between else b""
    return body[:2] + struct.pack("!H", checksum(before + body)) + body[4:]


def ipv4(
    source: str, destination: str, body: bytes, *, protocol: int = 6, ttl: int = 63, ip_id: int = 7, df: bool = True,
    offset: int = 0, more: bool = False, options: bytes = b"",
) -> bytes:  # fmt: skip
    words = df << 14 | more << 13 | offset // 8
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), ip_id, words, ttl, protocol, 0,
        packed(source), packed(destination),
    ) + options  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ipv6(source: str, destination: str, body: bytes, *, following: int = 6, hops: int = 63) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(body), following, hops) + packed(source) + packed(destination) + body

"""A capture file without what could lead to the vantage. Its own address was replaced when the packets were kept.

A checksum over what is not there any more would tell what it was, given the rest: it is made unknown.
"""

import re
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from probes import ip
from probes.ip import Header
from probes.masking import STAND_IN, UNKNOWN

_FILE, _PACKET = struct.Struct("<IHHiIII"), struct.Struct("<IIII")
_MAGIC, _RAW = 0xA1B23C4D, 101  # as `probes.pcap` writes them: nanoseconds, LINKTYPE_RAW
_CHECKSUM = {ip.TCP: 16, ip.UDP: 6, ip.ICMP: 2, ip.ICMPV6: 2}
_COOKIE = re.compile(rb"(?i)(?<=cookie:)[^\r\n]+")
_About = tuple[int, int, int, int]  # seconds, nanoseconds, bytes here and on the wire


def redact(pcap: bytes, *, known: Callable[[str], bool], mask: Callable[[str], str]) -> bytes:
    """The file with only those packets whose other end is `known`, and with `mask` applied to what they carry.

    `mask` gives text of the same length. Empty where nothing is left, or where it is no file of ours.
    """
    if len(pcap) < _FILE.size:
        return b""
    magic, *_more, kind = _FILE.unpack_from(pcap)
    if (magic, kind) != (_MAGIC, _RAW):
        return b""
    found = b""
    for about, data in _packets(pcap):
        if packet := _packet(about, data, known, mask):
            found += _PACKET.pack(*about) + packet
    return pcap[: _FILE.size] + found if found else b""


def _packets(pcap: bytes) -> Iterator[tuple[_About, bytes]]:
    """Each packet. Ends where the file is damaged."""
    at = _FILE.size
    while at + _PACKET.size <= len(pcap):
        seconds, nanoseconds, here, wire = _PACKET.unpack_from(pcap, at)
        at += _PACKET.size
        if here > len(pcap) - at:
            return
        yield (seconds, nanoseconds, here, wire), pcap[at : at + here]
        at += here


def _packet(about: _About, data: bytes, known: Callable[[str], bool], mask: Callable[[str], str]) -> bytes:
    """The packet as it may be published; empty where it may not."""
    header = ip.read(data)
    if header is None or header.protocol not in _CHECKSUM:
        return b""
    ends = (header.source, header.destination)
    if not all(end == STAND_IN[len(end)] or known(str(ip_address(end))) for end in ends):
        return b""
    begin = _payload(data, header)
    carried = _COOKIE.sub(lambda found: b"x" * len(found[0]), data[begin:])
    carried = mask(carried.decode("latin-1")).encode("latin-1")
    made = bytearray(data[:begin] + carried)
    place = header.start + _CHECKSUM[header.protocol]
    if (made != data or about[2] < about[3]) and place + 2 <= len(made):
        made[place : place + 2] = UNKNOWN.to_bytes(2, "big")
    return bytes(made)


def _payload(data: bytes, header: Header) -> int:
    """Where the transport's header ends."""
    if header.protocol == ip.TCP and len(data) > header.start + 12:
        return header.start + max(20, 4 * (data[header.start + 12] >> 4))
    return header.start + 8

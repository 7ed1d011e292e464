"""A capture file of raw IP packets, as tshark and tcpdump read it (draft-ietf-opsawg-pcap)."""

import struct
from collections.abc import Iterable

_NANOSECONDS = 0xA1B23C4D  # magic number of files with nanoseconds
_RAW = 101  # LINKTYPE_RAW: begins with the IP header, so no Ethernet address is in it
_VERSION = (2, 4)


def file(packets: Iterable[tuple[int, bytes, int]], *, snaplen: int) -> bytes:
    """The file with these packets: nanoseconds since 1970, the bytes that were kept, and the length on the wire."""
    parts = [struct.pack("<IHHiIII", _NANOSECONDS, *_VERSION, 0, 0, snaplen, _RAW)]
    for nanoseconds, data, length in packets:
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        parts += (struct.pack("<IIII", seconds & 0xFFFFFFFF, rest, len(data), max(length, len(data))), data)
    return b"".join(parts)

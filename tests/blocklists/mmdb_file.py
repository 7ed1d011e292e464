"""Makes small MMDB files (version 2.0 of MaxMind's format, records of 32 bits)."""

import struct
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

_STRING, _UINT32, _MAP, _ARRAY = 2, 6, 7, 11
_MARK = b"\xab\xcd\xefMaxMind.com"


def mmdb(records: Mapping[IPv4Network | IPv6Network, Any]) -> bytes:
    """A file that holds these networks; IPv4 is at ::/96 of the tree, as the format has it."""
    data, nodes = b"", [[-1, -1]]
    places: list[tuple[str, int]] = []
    for network, record in records.items():
        places.append((_bits(network), len(data)))
        data += _encoded(record)
    leaves: dict[tuple[int, int], int] = {}
    for bits, offset in places:
        node = 0
        for bit in map(int, bits[:-1]):
            if nodes[node][bit] < 0:
                nodes[node][bit] = len(nodes)
                nodes.append([-1, -1])
            node = nodes[node][bit]
        leaves[node, int(bits[-1])] = offset
    count = len(nodes)
    tree = b""
    for number, node in enumerate(nodes):
        for bit in (0, 1):
            leaf = leaves.get((number, bit))
            value = count + 16 + leaf if leaf is not None else node[bit] if node[bit] >= 0 else count
            tree += struct.pack(">I", value)
    about = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "database_type": "Test",
        "description": {"en": "test"}, "ip_version": 6, "languages": [], "node_count": count, "record_size": 32,
    }  # fmt: skip
    return tree + b"\0" * 16 + data + _MARK + _encoded(about)


def _bits(network: IPv4Network | IPv6Network) -> str:
    long = "0" * 96 if network.version == 4 else ""
    width = network.max_prefixlen
    return long + f"{int(network.network_address):0{width}b}"[: network.prefixlen]


def _encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return _control(_MAP, len(value)) + b"".join(_encoded(k) + _encoded(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encoded, value))
    if isinstance(value, int):
        packed = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return _control(_UINT32, len(packed)) + packed
    content = value.encode()
    return _control(_STRING, len(content)) + content


def _control(kind: int, size: int) -> bytes:
    assert size < 285
    length, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    if kind > 7:
        return bytes([length, kind - 7]) + more
    return bytes([kind << 5 | length]) + more

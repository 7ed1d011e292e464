"""The kernel's filter, run step by step here; that the kernel takes it is shown by the tests of `capture`."""

import struct

import pytest

from probes import bpf
from probes.capture import MOST_PEERS

from .wire import CLIENT, CLIENT6, ROUTER, ROUTER6, SERVER, SERVER6, icmp, ipv4, ipv6, packed, tcp, udp

PEERS = [packed(SERVER), packed(SERVER6)]
OTHER, OTHER6 = "203.0.113.8", "2001:db8:2::8"
_NEIGHBOURS = [packed(f"2001:db8:9::{n:x}") for n in range(1, MOST_PEERS - 1)]


def passes(data: bytes, peers: list[bytes] = PEERS, kind: int | None = None) -> int:
    """What the program returns, as linux/filter.h defines its steps."""
    steps = list(struct.iter_unpack("@HBBI", bpf.program(peers)))
    kind = kind or (0x0800 if data[0] >> 4 == 4 else 0x86DD)
    a = x = at = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        size = {0x20: 4, 0x28: 2, 0x30: 1, 0x40: 4, 0x50: 1}.get(code)
        if code == 0x28 and value == 0xFFFFF000:
            a = kind
        elif size:
            offset = value + (x if code in (0x40, 0x50) else 0)
            if offset + size > len(data):
                return 0
            a = int.from_bytes(data[offset : offset + size], "big")
        elif code == 0xB1:
            x = 4 * (data[value] & 15)
        elif code == 0x07:
            x = a
        elif code == 0xAC:
            a ^= x
        elif code == 0x05:
            at += value
        elif code == 0x15:
            at += if_true if a == value else if_false
        else:
            assert code == 0x06
            return int(value)


def error(about: str, kind: int = 11, sender: str = ROUTER, options: bytes = b"") -> bytes:
    asked = ipv4(CLIENT, about, tcp(CLIENT, about, (9, 443), "S"))[:28]
    return ipv4(sender, CLIENT, icmp(kind, 0, asked), protocol=1, options=options)


def error6(about: str, kind: int) -> bytes:
    asked = ipv6(CLIENT6, about, tcp(CLIENT6, about, (9, 443), "S"))
    return ipv6(ROUTER6, CLIENT6, icmp(kind, 0, asked, between=(ROUTER6, CLIENT6)), following=58)


WANTED = [
    ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, (443, 9), "R")),
    ipv4(CLIENT, SERVER, tcp(CLIENT, SERVER, (9, 443), "S"), options=b"\1" * 40),
    ipv4(SERVER, CLIENT, udp(SERVER, CLIENT, (53, 9), b""), protocol=17),
    ipv4(SERVER, CLIENT, b"a later fragment", offset=8),
    error(SERVER),
    error(SERVER, 3, options=b"\1" * 8),
    error(SERVER, 3, SERVER),
    ipv6(SERVER6, CLIENT6, tcp(SERVER6, CLIENT6, (443, 9), "R")),
    ipv6(CLIENT6, SERVER6, udp(CLIENT6, SERVER6, (9, 53), b""), following=17),
    ipv6(SERVER6, CLIENT6, b"\x06\0" + bytes(6) + tcp(SERVER6, CLIENT6, (443, 9), "R"), following=0),
    *(error6(SERVER6, kind) for kind in (1, 2, 3)),
]
UNWANTED = [
    ipv4(OTHER, CLIENT, tcp(OTHER, CLIENT, (443, 9), "R")),
    ipv4(CLIENT, OTHER, tcp(CLIENT, OTHER, (9, 443), "S")),
    ipv4(SERVER, CLIENT, b"\0" * 20, protocol=47),
    ipv4(SERVER, CLIENT, icmp(8, 0, b"an echo"), protocol=1),
    ipv4(SERVER, CLIENT, b"", protocol=1),
    error(OTHER),
    error(SERVER, 5),
    ipv6(OTHER6, CLIENT6, tcp(OTHER6, CLIENT6, (443, 9), "R")),
    ipv6(SERVER6, CLIENT6, b"\x88" + bytes(60), following=58),  # a neighbour's advertisement
    error6(OTHER6, 3),
    error6(SERVER6, 128),
]


@pytest.mark.parametrize("peers", [PEERS, [*_NEIGHBOURS, *PEERS], [*PEERS, *_NEIGHBOURS]])
def test_what_concerns_the_addresses_passes_and_nothing_else(peers: list[bytes]) -> None:
    for data in WANTED:
        assert passes(data, peers) == bpf.SNAPLEN, data.hex()
    for data in UNWANTED:
        assert passes(data, peers) == 0, data.hex()


def test_without_addresses_nothing_passes() -> None:
    assert not any(passes(data, []) for data in WANTED)
    assert not any(passes(data, PEERS, 0x0806) for data in WANTED)
    assert not any(passes(data[:length]) for data in WANTED for length in (1, 9, 15))


def test_the_longest_program_is_one_that_every_kernel_takes() -> None:
    longest = bpf.program([*_NEIGHBOURS, *_NEIGHBOURS[:2]])
    assert len(longest) // 8 < 4096  # BPF_MAXINSNS
    assert 2 * len(longest) < 20480  # net.core.optmem_max of older kernels, the old and the new program together

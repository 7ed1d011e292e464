"""IP packets as bytes: what is read of good ones, and that nothing else does harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import ip
from probes.masking import mask
from probes.packets import Packet

from .wire import CLIENT, CLIENT6, ROUTER, ROUTER6, SERVER, SERVER6, icmp, ipv4, ipv6, packed, tcp, udp

PORTS = (443, 40000)
SEGMENT = tcp(SERVER, CLIENT, PORTS, "RA", seq=5, ack=9, payload=b"\1\2", window=79, options=b"\1\1\1\0")
SEGMENT6 = tcp(SERVER6, CLIENT6, PORTS, "RA", seq=5, ack=9, payload=b"\1\2", window=79)
READ = Packet(at=1.5, inbound=True, ttl=200, flags="RA", window=79, ip_id=0xA3, df=False, sequence=5,
              acknowledged=9, length=2, payload="0102")  # fmt: skip
READ6 = Packet(at=1.5, inbound=True, ttl=200, flags="RA", window=79, sequence=5, acknowledged=9, length=2,
               payload="0102")  # fmt: skip
OPTIONS = b"\x06\0" + bytes(6), b"\x06\1" + bytes(14)
GOOD = [
    ipv4(SERVER, CLIENT, SEGMENT),
    ipv4(SERVER, CLIENT, udp(SERVER, CLIENT, (53, 4000), b"answer"), protocol=17),
    ipv4(ROUTER, CLIENT, icmp(11, 0, ipv4(CLIENT, SERVER, tcp(CLIENT, SERVER, (40000, 443), "S"))), protocol=1),
    ipv6(SERVER6, CLIENT6, SEGMENT6),
    ipv6(SERVER6, CLIENT6, OPTIONS[1] + SEGMENT6, following=0),
]


def read(data: bytes) -> Packet | None:
    header = ip.read(data)
    assert header is not None
    return ip.tcp_packet(data, header, at=1.5, inbound=True)


def test_ipv4_with_options_of_ip_and_of_tcp() -> None:
    data = ipv4(SERVER, CLIENT, SEGMENT, ttl=200, ip_id=0xA3, df=False, options=b"\1" * 8)
    header = ip.read(data)
    assert header is not None
    assert (header.source, header.destination, header.start) == (packed(SERVER), packed(CLIENT), 28)
    assert ip.ports(data, header) == PORTS
    assert read(data) == READ
    assert read(data + b"padding of a short frame") == READ


@pytest.mark.parametrize(
    ("following", "extensions"),
    [
        (6, b""),
        (0, OPTIONS[0]),
        (60, OPTIONS[1]),
        (51, b"\x06\4" + bytes(22)),
        (44, b"\x06\0\0\1\0\0\0\7"),  # the first of several fragments
        (0, b"\x2b\0" + bytes(6) + OPTIONS[0]),
    ],
)
def test_ipv6_behind_extension_headers(following: int, extensions: bytes) -> None:
    data = ipv6(SERVER6, CLIENT6, extensions + SEGMENT6, following=following, hops=200)
    assert read(data) == READ6
    header = ip.read(data)
    assert header is not None
    assert header.fragment == (following == 44)


@pytest.mark.parametrize(
    "data",
    [
        ipv4(SERVER, CLIENT, SEGMENT, offset=8),
        ipv4(SERVER, CLIENT, SEGMENT[:13]),
        ipv4(SERVER, CLIENT, SEGMENT)[:39],
        ipv4(SERVER, CLIENT, SEGMENT[:12] + b"\x40" + SEGMENT[13:]),  # a TCP header of 16 bytes
        ipv4(SERVER, CLIENT, SEGMENT[:12] + b"\xf0" + SEGMENT[13:]),  # one that is longer than the packet
        b"\x44" + ipv4(SERVER, CLIENT, SEGMENT)[1:],
        b"\x4f" + ipv4(SERVER, CLIENT, SEGMENT)[1:],
        ipv4(SERVER, CLIENT, SEGMENT)[:2] + b"\0\0" + ipv4(SERVER, CLIENT, SEGMENT)[4:],
        ipv6(SERVER6, CLIENT6, SEGMENT6, following=59),
        ipv6(SERVER6, CLIENT6, b"\x06\0\0\x08\0\0\0\7" + SEGMENT6, following=44),  # a later fragment
        ipv6(SERVER6, CLIENT6, b"\x06\xff" + bytes(6) + SEGMENT6, following=0),
        ipv6(SERVER6, CLIENT6, (b"\x3c\0" + bytes(6)) * 9 + SEGMENT6, following=60),
        ipv6(SERVER6, CLIENT6, b"", following=0),
    ],
)
def test_what_has_no_whole_tcp_header_is_no_packet_of_a_connection(data: bytes) -> None:
    assert read(data) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x45", ipv4(SERVER, CLIENT, b"")[:19], ipv6(SERVER6, CLIENT6, b"")[:39], b"\x75" * 60]
)
def test_what_has_no_ip_header_is_nothing(data: bytes) -> None:
    assert ip.read(data) is None


@pytest.mark.parametrize(
    ("flags", "expected"), [("", ""), ("S", "S"), ("AS", "SA"), ("RA", "RA"), ("FSRPAUECN", "FSRPAUECN"), ("PA", "PA")]
)
def test_flags_by_their_letters(flags: str, expected: str) -> None:
    found = read(ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, PORTS, flags)))
    assert found is not None
    assert found.flags == expected


def test_only_a_resets_payload_is_kept_and_only_its_beginning() -> None:
    for flags, expected in (("PA", ""), ("RA", "ab" * 32)):
        found = read(ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, PORTS, flags, payload=b"\xab" * 50)))
        assert found is not None
        assert (found.length, found.payload) == (50, expected)


def test_an_icmp_error_quotes_and_nothing_else_does() -> None:
    asked = ipv4(CLIENT, SERVER, tcp(CLIENT, SERVER, (40000, 443), "S"))
    asked6 = ipv6(CLIENT6, SERVER6, tcp(CLIENT6, SERVER6, (40000, 443), "S"))
    for kind, expected in ((11, asked), (3, asked), (8, None), (5, None)):
        data = ipv4(ROUTER, CLIENT, icmp(kind, 0, asked), protocol=1)
        header = ip.read(data)
        assert header is not None
        assert ip.quoted(data, header) == expected
    for kind, expected in ((1, asked6), (2, asked6), (3, asked6), (128, None)):
        data = ipv6(ROUTER6, CLIENT6, icmp(kind, 0, asked6, between=(ROUTER6, CLIENT6)), following=58)
        header = ip.read(data)
        assert header is not None
        assert ip.quoted(data, header) == expected


def everything(data: bytes) -> None:
    header = ip.read(data)
    if header is None:
        return
    ip.ports(data, header)
    ip.quoted(data, header)
    found = ip.tcp_packet(data, header, at=0, inbound=True)
    assert found is None or (0 <= found.length < 65536 and len(found.payload) <= 64)
    for inbound in (True, False):
        own = header.destination if inbound else header.source
        assert len(mask(data, header, own, inbound=inbound)) == len(data)


@given(st.binary(max_size=256))
def test_no_bytes_do_harm(data: bytes) -> None:
    everything(data)


@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=6),
    st.integers(0, 256),
)
def test_no_damaged_packet_does_harm(good: bytes, damage: list[tuple[int, int]], end: int) -> None:
    data = bytearray(good)
    for at, value in damage:
        data[at % len(data)] = value
    everything(bytes(data[:end]))

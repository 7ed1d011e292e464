"""The own address leaves a packet, and what its checksums said stays without telling more."""

import struct

import pytest

from probes import ip
from probes.masking import UNKNOWN, WRONG, mask

from .wire import (
    CLIENT,
    CLIENT6,
    ROUTER,
    ROUTER6,
    SERVER,
    SERVER6,
    checksum,
    icmp,
    ipv4,
    ipv6,
    packed,
    pseudo,
    tcp,
    udp,
)  # fmt: skip

STAND_IN, STAND_IN6 = "192.0.2.1", "2001:db8::1"


def masked(data: bytes, own: str = CLIENT, *, inbound: bool = True, ready: bool = True) -> bytes:
    header = ip.read(data)
    assert header is not None
    after = mask(data, header, packed(own), inbound=inbound, ready=ready)
    assert packed(own) not in after
    assert own.encode() not in after
    return after


def word(data: bytes, at: int) -> int:
    return int(struct.unpack_from("!H", data, at)[0])


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
def test_right_checksums_are_right_again(payload: bytes) -> None:
    before = ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, (443, 9), "PA", payload=payload), options=b"\1" * 4)
    assert masked(before) == ipv4(
        SERVER, STAND_IN, tcp(SERVER, STAND_IN, (443, 9), "PA", payload=payload), options=b"\1" * 4
    )
    before = ipv4(CLIENT, SERVER, udp(CLIENT, SERVER, (9, 53), payload), protocol=17)
    assert masked(before, inbound=False) == ipv4(STAND_IN, SERVER, udp(STAND_IN, SERVER, (9, 53), payload), protocol=17)
    before = ipv6(CLIENT6, SERVER6, tcp(CLIENT6, SERVER6, (9, 443), "PA", payload=payload))
    assert masked(before, CLIENT6, inbound=False) == ipv6(
        STAND_IN6, SERVER6, tcp(STAND_IN6, SERVER6, (9, 443), "PA", payload=payload)
    )


def test_wrong_ones_are_wrong_in_a_way_that_tells_nothing() -> None:
    segment = bytearray(tcp(SERVER, CLIENT, (443, 9), "R"))
    segment[16:18] = b"\x12\x34"
    before = bytearray(ipv4(SERVER, CLIENT, bytes(segment)))
    before[10:12] = b"\x56\x78"
    after = masked(bytes(before))
    assert (word(after, 10), word(after, 36)) == (WRONG, WRONG)
    for own in ("10.7.1.2", "10.7.1.3"):  # whoever measured, it is the same packet
        other = bytearray(before)
        other[16:20] = packed(own)
        assert masked(bytes(other), own) == after


def test_what_is_not_computed_or_cannot_be_checked_is_marked() -> None:
    whole = ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, (443, 9), "PA", payload=b"x" * 100))
    for data, ready in ((whole, False), (whole[:100], True)):
        after = masked(data, ready=ready)
        assert word(after, 36) == UNKNOWN
        assert checksum(after[:20]) == 0
    part = ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, (443, 9), "PA"), more=True)
    assert word(masked(part), 36) == UNKNOWN
    assert masked(whole[:37])[36:] == whole[36:37]


def test_udp_without_a_checksum_stays_so() -> None:
    wire = udp(SERVER, CLIENT, (53, 9), b"answer")
    after = masked(ipv4(SERVER, CLIENT, wire[:6] + b"\0\0" + wire[8:], protocol=17))
    assert word(after, 26) == 0


@pytest.mark.parametrize("kind", [3, 11])
def test_the_packet_that_an_error_quotes_is_ours_too(kind: int) -> None:
    asked = ipv4(CLIENT, SERVER, tcp(CLIENT, SERVER, (9, 443), "S", options=b"\1" * 4), ttl=1)
    after = masked(ipv4(ROUTER, CLIENT, icmp(kind, 0, asked), protocol=1))
    assert after[12:20] == packed(ROUTER) + packed(STAND_IN)
    assert after[40:48] == packed(STAND_IN) + packed(SERVER)
    assert checksum(after[:20]) == checksum(after[20:]) == checksum(after[28:48]) == 0
    assert word(after, 48 + 16) == UNKNOWN


def test_a_translator_that_forgot_the_quote_tells_nothing_either() -> None:
    public = "198.51.100.99"
    asked = ipv4(public, SERVER, tcp(public, SERVER, (9, 443), "S"))[:28]
    after = masked(ipv4(ROUTER, CLIENT, icmp(11, 0, asked), protocol=1))
    assert packed(public) not in after


def test_the_same_for_ipv6() -> None:
    asked = ipv6(CLIENT6, SERVER6, tcp(CLIENT6, SERVER6, (9, 443), "S"), hops=1)
    before = ipv6(ROUTER6, CLIENT6, icmp(3, 0, asked, between=(ROUTER6, CLIENT6)), following=58)
    after = masked(before, CLIENT6)
    assert after[48 + 8 : 48 + 24] == packed(STAND_IN6)
    assert checksum(pseudo(ROUTER6, STAND_IN6, 58, len(after) - 40) + after[40:]) == 0


@pytest.mark.parametrize("own", ["10.7.1.2", "1.2.3.4", "198.51.100.123"])
def test_the_address_in_a_page_or_in_an_option_goes_too(own: str) -> None:
    page = f"Location: http://block.example/?ip={own}\r\n".encode() + packed(own)
    data = ipv4(
        SERVER, own, tcp(SERVER, own, (80, 9), "PA", payload=page), options=b"\x07\x07\x08" + packed(own) + b"\0"
    )
    after = masked(data, own)
    assert b"x" * len(own) + b"\r\n" + packed(STAND_IN) in after
    assert after[23:27] == packed(STAND_IN)
    assert len(after) == len(data)


def test_ipv6_as_it_may_be_written() -> None:
    own = "2001:DB8:77:0:0:0:0:AB"
    texts = b"2001:db8:77::ab 2001:DB8:77::AB 2001:0db8:0077:0000:0000:0000:0000:00ab"
    after = masked(ipv6(SERVER6, own, tcp(SERVER6, own, (80, 9), "PA", payload=texts)), own)
    assert set(after[60:]) == set(b"x ")

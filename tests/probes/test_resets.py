"""What a connection's packets say about a reset; the numbers are those that connections between hosts gave."""

import pytest

from probes import resets
from probes.packets import Flow, Packet


def packet(
    at: float, flags: str, *, inbound: bool = True, ttl: int = 55, seq: int = 0, ack: int = 0, length: int = 0
) -> Packet:
    return Packet(
        at=at, inbound=inbound, ttl=ttl, flags=flags, window=64, sequence=seq, acknowledged=ack, length=length
    )


def flow(*packets: Packet) -> Flow:
    return Flow(address="203.0.113.7", port=443, local_port=40000, packets=packets)


SYN = packet(0.0, "S", inbound=False, seq=99)
SYN_ACK = packet(0.2, "SA", seq=999, ack=100)
HELLO = packet(0.21, "PA", inbound=False, seq=100, ack=1000, length=500)
ACK = packet(0.4, "A", seq=1000, ack=600)
RESET = packet(0.23, "RA", ttl=112, seq=1000, ack=600)
ANSWER = packet(0.45, "PA", seq=1000, ack=600, length=1400)
FORGED = flow(SYN, SYN_ACK, HELLO, RESET, RESET, RESET, ACK, ANSWER)
GENUINE = flow(SYN, SYN_ACK, HELLO, ACK, packet(0.45, "RA", seq=1000, ack=600))


def test_the_round_trip_is_the_handshakes() -> None:
    assert resets.round_trip(FORGED) == 0.2
    assert resets.round_trip(flow(SYN)) is None
    assert resets.round_trip(flow(SYN, packet(1.0, "S", inbound=False, seq=99), SYN_ACK)) is None
    assert resets.round_trip(flow(SYN_ACK)) is None
    assert resets.round_trip(flow(SYN, packet(0.01, "RA"))) is None
    ecn = flow(packet(0.0, "SEC", inbound=False), packet(0.3, "SAE"))
    assert resets.round_trip(ecn) == 0.3


def test_the_servers_ttls_are_those_before_the_first_reset() -> None:
    assert resets.server_ttls(FORGED) == (55,)
    assert resets.server_ttls(GENUINE) == (55,)
    assert resets.server_ttls(flow(SYN, RESET, SYN_ACK)) == ()
    other = packet(0.3, "PA", ttl=54, length=9)
    assert resets.server_ttls(flow(SYN, SYN_ACK, other, packet(0.31, "A", ttl=9), RESET)) == (55, 54)


def test_each_resets_ttl_beside_the_nearest_of_the_servers() -> None:
    assert resets.ttl_differences(FORGED) == (57, 57, 57)
    assert resets.ttl_differences(GENUINE) == (0,)
    assert resets.ttl_differences(flow(SYN, RESET)) == (None,)
    assert resets.ttl_differences(flow(SYN, SYN_ACK)) == ()
    other = packet(0.3, "PA", ttl=110, length=9)
    assert resets.ttl_differences(flow(SYN, SYN_ACK, other, RESET, packet(0.4, "R", ttl=50))) == (2, -5)


def test_how_soon_after_our_data() -> None:
    assert resets.after_last_data(FORGED) == 0.02
    assert resets.after_last_data(GENUINE) == 0.24
    assert resets.after_last_data(flow(SYN, SYN_ACK, RESET)) is None
    assert resets.after_last_data(flow(SYN, SYN_ACK, HELLO, ACK)) is None
    ours = packet(0.22, "R", inbound=False)
    assert resets.after_last_data(flow(SYN, SYN_ACK, HELLO, ours)) is None


def test_who_went_on_after_a_reset() -> None:
    assert resets.spoken_after_reset(FORGED) == (ACK, ANSWER)
    assert resets.spoken_after_reset(flow(SYN, RESET, SYN_ACK)) == (SYN_ACK,)
    fin = packet(0.5, "FA", seq=1000, ack=600)
    assert resets.spoken_after_reset(flow(SYN, SYN_ACK, HELLO, ACK, RESET, fin)) == (fin,)


@pytest.mark.parametrize(
    "late", [ACK, packet(0.5, "A", seq=1000, ack=100), packet(0.5, "R"), packet(0.5, "RA", length=9)]
)
def test_what_says_nothing_new_is_no_speech(late: Packet) -> None:
    assert resets.spoken_after_reset(flow(SYN, SYN_ACK, HELLO, ACK, RESET, late)) == ()
    assert resets.spoken_after_reset(GENUINE) == ()


def test_sequence_numbers_wrap() -> None:
    before, after = packet(0.3, "A", ack=2**32 - 5), packet(0.5, "A", ack=3)
    assert resets.spoken_after_reset(flow(before, RESET, after)) == (after,)
    assert resets.spoken_after_reset(flow(after, RESET, before)) == ()

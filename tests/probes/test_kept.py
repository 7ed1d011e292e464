"""The bounds of a capture."""

from probes.bpf import SNAPLEN
from probes.kept import FIRST_OF_A_FLOW, MOST_BYTES, MOST_OF_A_FLOW, MOST_PACKETS, MOST_UNASKED, Room


def test_of_a_flow_the_first_and_then_its_beginnings_and_ends() -> None:
    room = Room()
    taken = [room.take("flow", 40, inbound=False, marking=False) for _ in range(50)]
    assert taken == [True] * FIRST_OF_A_FLOW + [False] * 10
    taken = [room.take("flow", 40, inbound=True, marking=True) for _ in range(50)]
    assert taken == [True] * (MOST_OF_A_FLOW - FIRST_OF_A_FLOW) + [False] * 26
    assert room.refused == 36
    assert room.take("another", 40, inbound=False, marking=False)


def test_no_more_packets_and_no_more_bytes() -> None:
    for size, most in ((40, MOST_PACKETS), (SNAPLEN, MOST_BYTES // SNAPLEN)):
        room = Room()
        taken = sum(room.take(number, size, inbound=False, marking=True) for number in range(5000))
        assert taken == most
        assert room.full


def test_what_nobody_asked_for_takes_no_others_room() -> None:
    room = Room()
    assert sum(room.take(number, 40, inbound=True, marking=True) for number in range(5000)) == MOST_UNASKED
    assert room.take("ours", 40, inbound=False, marking=True)
    assert room.take("ours", 40, inbound=True, marking=True)
    assert not room.full

"""What the packets of one connection say about a reset in it: times, TTLs, and who went on speaking. No conclusion.

A reset that somebody put in on the path comes from another place than the server: often by another TTL, sooner than the
server could have answered, and while the server, who knows nothing of it, goes on.
"""

from .packets import Flow, Packet

_HALF = 1 << 31  # sequence numbers wrap; RFC 9293 section 3.4


def round_trip(flow: Flow) -> float | None:
    """Seconds from our SYN to the SYN-ACK: the way to the server and back.

    None where there is none, or where the SYN was repeated: then nobody knows which of them was answered (Karn).
    """
    asked: list[Packet] = []
    for packet in flow.packets:
        if packet.inbound and _is(packet, "SA"):
            return round(packet.at - asked[0].at, 6) if len(asked) == 1 else None
        if not packet.inbound and "S" in packet.flags and "A" not in packet.flags:
            asked.append(packet)
    return None


def server_ttls(flow: Flow) -> tuple[int, ...]:
    """The TTLs of the packets that are taken for the server's own, each once, in their order.

    These are the SYN-ACK, and what came with payload before the first reset.
    """
    found: dict[int, None] = {}
    for packet in flow.packets:
        if packet.inbound and "R" in packet.flags:
            break
        if packet.inbound and (_is(packet, "SA") or packet.length > 0):
            found[packet.ttl] = None
    return tuple(found)


def ttl_differences(flow: Flow) -> tuple[int | None, ...]:
    """For each reset that came to us: its TTL less the nearest of the server's own. None where these are not known."""
    own = server_ttls(flow)
    return tuple(min((reset.ttl - ttl for ttl in own), key=abs, default=None) for reset in flow.resets)


def after_last_data(flow: Flow) -> float | None:
    """Seconds from the last packet with payload that we sent before the first reset, to this reset.

    None without a reset, or where we had sent nothing. Less than a `round_trip`: no answer of the server's.
    """
    sent: float | None = None
    for packet in flow.packets:
        if packet.inbound and "R" in packet.flags:
            return None if sent is None else round(packet.at - sent, 6)
        if not packet.inbound and packet.length > 0:
            sent = packet.at
    return None


def spoken_after_reset(flow: Flow) -> tuple[Packet, ...]:
    """What came from the server's address after the first reset and is none: with payload, the end, or a new ACK.

    Packets of a server that did send the reset can come in a wrong order, within milliseconds of it and below its
    sequence number.
    """
    reset_seen, acknowledged, found = False, None, []
    for packet in flow.packets:
        if not packet.inbound:
            continue
        if "R" in packet.flags:
            reset_seen = True
            continue
        newer = "A" in packet.flags and (acknowledged is None or _later(packet.acknowledged, acknowledged))
        if reset_seen and (packet.length > 0 or "F" in packet.flags or "S" in packet.flags or newer):
            found.append(packet)
        if newer:
            acknowledged = packet.acknowledged
    return tuple(found)


def _later(one: int, other: int) -> bool:
    """Whether a sequence number lies after another."""
    return 0 < (one - other) % (2 * _HALF) < _HALF


def _is(packet: Packet, flags: str) -> bool:
    """Whether it has these flags, and no reset."""
    return all(letter in packet.flags for letter in flags) and "R" not in packet.flags

"""The packets of suspicious connections in words: each reset beside the server's own SYN-ACK. Facts, no conclusion."""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from blocklists.resets import match
from probes.measurement import Measurement
from probes.packets import Flow, Packet
from probes.resets import round_trip, spoken_after_reset

from .evidence import Socket
from .text import printable, seconds

HEAD = ("packet", "at", "after ours", "TTL", "IP ID", "DF", "window", "payload")
MOST, _RESETS = 32, 16  # connections, and resets of each
_FLAGS = frozenset("FSRPAUECN")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # also safe in a header, in a folder and in SHA256SUMS


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One connection: a row of `HEAD` for the SYN-ACK and for each reset, and what the packets say besides."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    said: tuple[str, ...]


def seen(measurement: Measurement, numbers: Mapping[Socket, int]) -> list[Seen]:
    """The connections in the order of their first packets; `numbers` are those of the steps that made them."""
    return [_flow(flow, numbers) for flow in sorted(measurement.flows, key=_began)[:MOST]]


def left_out(measurement: Measurement) -> int:
    """Connections above `MOST`."""
    return max(0, len(measurement.flows) - MOST)


def file_name(uid: str) -> str:
    """What a measurement's packets are called as a file; a uid from elsewhere may be any text."""
    return f"{uid if _PLAIN.fullmatch(uid) else hashlib.sha256(uid.encode()).hexdigest()[:32]}.pcap"


def _began(flow: Flow) -> float:
    return flow.packets[0].at if flow.packets else 0.0


def _flow(flow: Flow, numbers: Mapping[Socket, int]) -> Seen:
    number = numbers.get((flow.address, flow.port, flow.local_port))
    step = f" (step {number})" if number is not None else ""
    title = f"{printable(flow.address, 64)} port {flow.port}, from our port {flow.local_port}{step}"
    answer = next((p for p in flow.packets if p.inbound and "S" in p.flags and "A" in p.flags), None)
    shown = ([answer] if answer is not None else []) + list(flow.resets[:_RESETS])
    rows = tuple(_row(flow, packet) for packet in shown)
    return Seen(title=title, rows=rows, said=tuple(_said(flow, answered=answer is not None)))


def _row(flow: Flow, packet: Packet) -> tuple[str, ...]:
    flags = "".join(letter for letter in packet.flags[:9] if letter in _FLAGS)
    name = f"reset {flags}" if "R" in packet.flags else "SYN-ACK"
    return (
        name, printable(f"+{packet.at:.3f} s", 14), _after_ours(flow, packet), _number(packet.ttl),
        _number(packet.ip_id), "yes" if packet.df else "no", _number(packet.window),
        printable(packet.payload, 64) or "none",
    )  # fmt: skip


def _number(value: int | None) -> str:
    """A field of a header; a record from elsewhere may hold a number of any length."""
    return "none" if value is None else printable(str(value), 10)


def _after_ours(flow: Flow, packet: Packet) -> str:
    """Since the last packet of ours before it that asks for an answer: a SYN, or one with payload."""
    asked = None
    for other in flow.packets:
        if other is packet:
            break
        if not other.inbound and (other.length > 0 or "S" in other.flags):
            asked = other.at
    return "nothing sent" if asked is None else printable(seconds(packet.at - asked), 14)


def _said(flow: Flow, *, answered: bool) -> list[str]:
    ours = sum(not packet.inbound for packet in flow.packets)
    found = [f"packets kept: {ours} of ours, {len(flow.packets) - ours} from there"]
    if not answered:
        found.append("no SYN-ACK is among them")
    trip = round_trip(flow)
    if trip is not None:
        found.append(f"from our SYN to the SYN-ACK: {seconds(trip)}")
    if not flow.resets:
        return [*found, "no reset came"]
    if len(flow.resets) > _RESETS:
        found.append(f"and {len(flow.resets) - _RESETS} more resets")
    found += [
        f"the resets look like {pattern.name} ({pattern.source}, {pattern.date}), which alone proves nothing"
        for pattern in match(flow.resets)
    ]
    later = spoken_after_reset(flow)
    if not later:
        return [*found, "after the first reset this address said nothing more"]
    payload = sum(packet.length for packet in later)
    words = f"{len(later)} more packet{'' if len(later) == 1 else 's'}, {payload} bytes of payload"
    return [*found, f"after the first reset this address went on: {words}"]

"""A measurement as steps in order of time: what the vantage saw, and beside each what the control saw.

Facts in words, no conclusions. Every text is already safe to print (`text.printable`).
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from probes.dns import DNSLookup
from probes.experiment import AnyOperation
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from . import operations, replies
from .certificate import Described, describe
from .operations import Line
from .text import printable

Socket = tuple[str, int, int]
MOST = 400  # steps; a recorded measurement from elsewhere may have any number


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One lookup, or all that happened on one connection. `at`: seconds since the measurement began.

    `sockets`: the addresses, ports and local ports of its TCP connects, which link it with its packets.
    """

    number: int
    at: float
    attempt: int
    hop: int
    what: str
    vantage: tuple[Line, ...]
    control: tuple[Line, ...]
    certificates: tuple[Described, ...] = ()
    bodies: tuple[str, ...] = ()  # SHA-256 of those that were kept
    sockets: tuple[Socket, ...] = ()

    @property
    def brief(self) -> str:
        """The vantage's part on one line."""
        return f"{self.what}: " + "; ".join(line.text for line in self.vantage)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one try at one hop of its redirects."""

    title: str
    attempt: int
    steps: tuple[Step, ...]


def parts(measurement: Measurement) -> list[Part]:
    """All steps: the first look hop by hop, then the further tries. At most `MOST` steps."""
    grouped = sorted(_connections(measurement.operations), key=lambda ops: (ops[0].attempt, ops[0].hop, ops[0].started))
    steps = [_step(measurement, number, ops) for number, ops in enumerate(grouped[:MOST], 1)]
    found = []
    for (attempt, hop), members in groupby(steps, key=lambda step: (step.attempt, step.hop)):
        title = _title(measurement, attempt, hop)
        found.append(Part(title=title, attempt=attempt, steps=tuple(_without_repeats(list(members)))))
    return found


def left_out(measurement: Measurement) -> int:
    """Steps above `MOST`."""
    return max(0, len(_connections(measurement.operations)) - MOST)


def _connections(found: Sequence[AnyOperation]) -> list[list[AnyOperation]]:
    """Operations of one TCP connection together, each lookup and each QUIC handshake alone."""
    flows: dict[object, list[AnyOperation]] = {}
    for number, op in enumerate(found):
        flow = 0 if isinstance(op, (DNSLookup, QUICHandshake)) else op.flow
        flows.setdefault((op.attempt, op.hop, flow) if flow else number, []).append(op)
    return [sorted(ops, key=lambda op: op.started) for ops in flows.values()]


def _title(measurement: Measurement, attempt: int, hop: int) -> str:
    title = f"Try {attempt}" if attempt else "First look"
    if not hop:
        return title
    before = (
        op.location for op in measurement.operations
        if isinstance(op, HTTPRoundTrip) and (op.attempt, op.hop) == (attempt, hop - 1) and op.location
    )  # fmt: skip
    return f"{title}, redirect {hop} to {printable(next(before, 'another address'), 160)}"


def _step(measurement: Measurement, number: int, ops: list[AnyOperation]) -> Step:
    first = ops[0]
    control = replies.of(measurement, hop=first.hop, attempt=first.attempt)
    if isinstance(first, DNSLookup):
        what, beside = operations.question(first), replies.dns(control, first.query_type)
    elif isinstance(first, QUICHandshake):
        what, beside = quic_contact(first), []  # controls speak TCP only
    else:
        what, beside = _contact(ops), replies.contact(control, first.address, first.port)
    return Step(
        number=number, at=first.started, attempt=first.attempt, hop=first.hop, what=what,
        vantage=tuple(line for op in ops for line in operations.lines(op)), control=tuple(beside),
        certificates=tuple(
            describe(digest, measurement.certificates.get(digest))
            for op in ops if isinstance(op, (TLSHandshake, QUICHandshake)) for digest in op.chain[:8]
        ),
        sockets=sockets(ops),
        bodies=tuple(
            op.body_sha256 for op in ops
            if isinstance(op, HTTPRoundTrip) and op.body_sha256 in measurement.bodies
        ),
    )  # fmt: skip


def sockets(ops: Sequence[AnyOperation]) -> tuple[Socket, ...]:
    """Where TCP connects went, and from which of our ports."""
    return tuple((op.address, op.port, op.local_port) for op in ops if isinstance(op, TCPConnect) and op.local_port)


def quic_contact(op: QUICHandshake) -> str:
    """Whom a QUIC handshake was made with."""
    return f"contact {printable(op.address, 64)} port {op.port} over QUIC as {printable(op.server_name, 80)}"


def _contact(ops: list[AnyOperation]) -> str:
    first = next((op for op in ops if isinstance(op, (TCPConnect, TLSHandshake, HTTPRoundTrip))), None)
    if first is None or not first.address:
        return "no connection"
    name = next((op.server_name for op in ops if isinstance(op, TLSHandshake)), "")
    asked = f" as {printable(name, 80)}" if name else ""
    return f"contact {printable(first.address, 64)} port {first.port}{asked}"


def _without_repeats(steps: list[Step]) -> list[Step]:
    """The control's words about DNS once, not beside each of several resolvers."""
    shown: list[Step] = []
    told: set[tuple[Line, ...]] = set()
    for step in steps:
        if step.control and step.control in told:
            shown.append(msgspec.structs.replace(step, control=(Line("as above"),)))
        else:
            told.add(step.control)
            shown.append(step)
    return shown

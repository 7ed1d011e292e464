"""The way of a plain client's first look through a measurement: each URL's lookups, and the connection that it took."""

from collections.abc import Sequence

import msgspec

from blocklists import Fingerprints
from monitor.judge.observation import Observation
from monitor.judge.observe import Case
from probes.dns import DNSLookup
from probes.experiment import AnyOperation
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

_NO_FINGERPRINTS = Fingerprints([])


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One URL of the plain client's way: its lookups, and the connection that it took, as far as it came."""

    lookups: tuple[DNSLookup, ...]
    connect: TCPConnect | None = None
    handshake: TLSHandshake | None = None
    page: HTTPRoundTrip | None = None

    @property
    def resolve(self) -> float | None:
        """Seconds until all its lookups had ended; None where it asked nobody."""
        return span(self.lookups)

    @property
    def was_left(self) -> bool:
        """Whether nothing was dialled though there was an address: that is our doing, and says nothing."""
        return self.connect is None and (not self.lookups or any(op.addresses() for op in self.lookups))

    @property
    def response(self) -> HTTPRoundTrip | None:
        """The response that a client accepts: not one that came behind a bad certificate."""
        trusted = self.handshake is None or self.handshake.valid
        return self.page if self.page is not None and self.page.status > 0 and trusted else None


def walked(measurement: Measurement) -> list[Hop]:
    """The plain client's first look, URL after URL; a redirect that leads nowhere is no URL."""
    case = Case(measurement, _NO_FINGERPRINTS)
    plain = [op for op in measurement.operations if op.attempt == 0 and not isinstance(op, QUICHandshake)]
    first = [op for op in plain if isinstance(op, DNSLookup) or op.address]
    return [_hop(case, [op for op in first if op.hop == hop], hop) for hop in sorted({op.hop for op in first})]


def _hop(case: Case, operations: Sequence[AnyOperation], hop: int) -> Hop:
    lookups, seen = _plain_lookups(operations), _taken(case, hop)
    connect = next((op for op in operations if isinstance(op, TCPConnect) and _is_of(op, seen)), None)
    if connect is None:
        return Hop(lookups=lookups)
    flow = [op for op in operations if not isinstance(op, (DNSLookup, QUICHandshake)) and op.flow == connect.flow]
    return Hop(
        lookups=lookups, connect=connect,
        handshake=next((op for op in flow if isinstance(op, TLSHandshake)), None),
        page=next((op for op in flow if isinstance(op, HTTPRoundTrip)), None),
    )  # fmt: skip


def _taken(case: Case, hop: int) -> Observation | None:
    """The contact that a plain client takes: the one that brought the page, or at the end the furthest."""
    if hop == case.first.hop and case.first.layer != "none":
        return case.first.seen
    return next((o for o in case.contacts(hop, attempt=0) if o.plain and o.got_page), None)


def _is_of(connect: TCPConnect, seen: Observation | None) -> bool:
    return seen is not None and (connect.address, connect.port, connect.started) == (
        seen.address, seen.port, seen.started,
    )  # fmt: skip


def _plain_lookups(operations: Sequence[AnyOperation]) -> tuple[DNSLookup, ...]:
    """The system's own lookups of addresses; getaddrinfo's where there are none."""
    system = [op for op in operations if isinstance(op, DNSLookup) and op.resolver == "system"]
    own = [op for op in system if op.query_type in ("A", "AAAA") and not op.checking_disabled]
    return tuple(own or [op for op in system if op.query_type == "ANY"])


def span(operations: Sequence[AnyOperation]) -> float | None:
    """Seconds from the first begin to the last end; None of none."""
    if not operations:
        return None
    return max(0.0, max(op.finished for op in operations) - min(op.started for op in operations))

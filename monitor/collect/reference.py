"""The reference vantage as a control: it opens the same page itself, and its operations become a reply."""

from collections.abc import Sequence

from probes.certificate import Authorities
from probes.clock import Clock
from probes.dns import DNSLookup
from probes.http import HTTPRoundTrip
from probes.measurement import ControlEndpoint, ControlPage, ControlReply
from probes.names import names_seen
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.trace import Limits, Trace
from probes.url import URL
from probes.web import Plan, open_page

from .vantage import Vantage


class Referee:
    """Asks the reference vantage."""

    def __init__(self, vantage: Vantage, *, authorities: Authorities, limits: Limits, clock: Clock) -> None:
        self._vantage = vantage
        self._authorities = authorities
        self._limits = limits
        self._clock = clock

    @property
    def source(self) -> str:
        """How its replies are signed."""
        return f"vantage:{self._vantage.name}"

    async def ask(self, url: URL, addresses: Sequence[str]) -> ControlReply:
        """Open the page and contact every given address; what failed is in the reply."""
        trace = Trace(self._vantage.network, self._clock, self._limits)
        plan = Plan(
            resolvers=self._vantage.resolvers, authorities=self._authorities, vouched=frozenset(addresses),
            again=tuple(addresses), quic=False,
        )  # fmt: skip
        await open_page(trace, url, plan)
        trace.close()
        return reply_of(trace, source=self.source, url=url)


def reply_of(trace: Trace, *, source: str, url: URL) -> ControlReply:
    """The reply that a trace of the page amounts to."""
    lookups = [op for op in trace.operations if isinstance(op, DNSLookup) and op.hop == 0 and op.resolver == "system"]
    own = [op for op in lookups if op.query_type in ("A", "AAAA")]
    addresses = tuple(dict.fromkeys(a for op in own for a in op.addresses()))
    failures = [op.failure for op in own if op.query_type == "A"]
    return ControlReply(
        source=source, url=str(url), dns_known=bool(own), addresses=addresses,
        dns_failure=None if addresses or not failures else failures[0],
        endpoints=tuple(_endpoints(trace)), page=_page(trace),
    )  # fmt: skip


def _endpoints(trace: Trace) -> list[ControlEndpoint]:
    handshakes = {op.flow: op for op in trace.operations if isinstance(op, TLSHandshake)}
    found = []
    for op in trace.operations:
        if isinstance(op, TCPConnect) and op.hop == 0:
            tls = handshakes.get(op.flow)
            failure = (tls.failure or tls.certificate_failure) if tls else None
            found.append(
                ControlEndpoint(
                    address=op.address, port=op.port, tcp_failure=op.failure,
                    server_name=tls.server_name if tls else "",
                    tls=failure is None if tls else None, tls_failure=failure,
                    names=names_seen(trace, tls) if tls else (),
                )
            )  # fmt: skip
    return found


def _page(trace: Trace) -> ControlPage:
    pages = [op for op in trace.operations if isinstance(op, HTTPRoundTrip)]
    if not pages:
        steps = [op for op in trace.operations if op.failure]
        return ControlPage(failure=steps[-1].failure if steps else "unknown_failure")
    last = max(pages, key=lambda op: (op.hop, op.failure is None))
    return ControlPage(
        failure=last.failure, status=last.status, title=last.title, headers=last.headers,
        body_length=last.body_length, body_sha256=last.body_sha256,
    )  # fmt: skip

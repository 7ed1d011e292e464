"""Rules for the packets themselves: a reset that the server cannot have sent (CONTRACT.md section 2, artefacts)."""

from collections.abc import Iterable

from probes.packets import Flow
from probes.resets import after_last_data, round_trip, spoken_after_reset, ttl_differences
from probes.tcp import TCPConnect

from .finding import Finding
from .observation import Observation
from .observe import Case

HEADER = 3.0  # log10 likelihood ratio: a header, and what the server did besides
HOPS = 3  # a change of route moves the TTL of one server by a hop or two
FLOWS = 2  # one connection may be an accident
_STEPS = {"tcp": "tcp.reset", "tls": "tls.reset", "http": "http.reset"}


def not_the_servers(case: Case) -> list[Finding]:
    """Resets with another TTL than the server's own packets, which came too early or while the server spoke on."""
    if not case.measurement.flows:
        return []
    cut = [(seen, flow) for seen, flow in _reset_contacts(case) if _cannot_be_the_servers(flow)]
    if len(cut) < FLOWS:
        return []
    seen, flow = cut[0]
    own, theirs = _ttl_of_synack(flow), flow.resets[0].ttl
    return [
        Finding(
            technique=_STEPS[seen.layer], weight=HEADER, hop=seen.hop, address=seen.address, failures=len(cut),
            text=f"the reset from {seen.address} in {len(cut)} connections for {seen.name} is not the server's: it "
            f"came with TTL {theirs} and the server's packets with {own}, and {_besides(flow)}",
        )
    ]  # fmt: skip


def _reset_contacts(case: Case) -> Iterable[tuple[Observation, Flow]]:
    """The contacts that were reset, with their packets; only our own connections, told by their local ports."""
    flows = {(f.address, f.port, f.local_port): f for f in case.measurement.flows}
    ports = {op.flow: op.local_port for op in case.measurement.operations if isinstance(op, TCPConnect)}
    for seen in case.observations:
        flow = flows.get((seen.address, seen.port, ports.get(seen.flow, 0)))
        if flow is not None and seen.failure == "connection_reset" and flow.resets:
            yield seen, flow


def _cannot_be_the_servers(flow: Flow) -> bool:
    differences = ttl_differences(flow)
    if not differences or any(d is None or abs(d) < HOPS for d in differences):
        return False
    return bool(spoken_after_reset(flow)) or _too_early(flow)


def _too_early(flow: Flow) -> bool:
    """Half a round trip is the least that anything at the server's end needs."""
    there_and_back, took = round_trip(flow), after_last_data(flow)
    return there_and_back is not None and took is not None and took < there_and_back / 2


def _besides(flow: Flow) -> str:
    if spoken_after_reset(flow):
        return "the server went on speaking after it"
    took, whole = after_last_data(flow) or 0.0, round_trip(flow) or 0.0
    return f"it came {took * 1000:.1f} ms after our packet, where the way there and back takes {whole * 1000:.1f} ms"


def _ttl_of_synack(flow: Flow) -> int:
    return next((p.ttl for p in flow.packets if p.inbound and "S" in p.flags), 0)

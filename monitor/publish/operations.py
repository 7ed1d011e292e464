"""One recorded operation in words."""

import msgspec

from probes.dns import DNSLookup, Response
from probes.experiment import AnyOperation
from probes.http import HTTPRoundTrip
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from .text import printable, seconds

_RECORDS = 12  # of one answer
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_CUT = {"limit": "cut at the limit", "deadline": "still coming at the deadline"}


class Line(msgspec.Struct, frozen=True):
    """One thing that was seen. `tone`: `good` for what succeeded, `bad` for what failed, else empty."""

    text: str
    tone: str = ""


def question(op: DNSLookup) -> str:
    """What was asked, and of whom."""
    if op.engine == "getaddrinfo":
        return f"getaddrinfo for {printable(op.name, 120)}"
    unchecked = ", unchecked (CD)" if op.checking_disabled else ""
    asked = f"DNS {printable(op.query_type, 10)} for {printable(op.name, 120)}"
    return f"{asked}, asked of {printable(op.resolver, 80)}{unchecked}"


def lines(op: AnyOperation) -> list[Line]:
    """What was seen."""
    if isinstance(op, DNSLookup):
        return _dns(op)
    if isinstance(op, TCPConnect):
        return [_step("TCP", "connected", op)]
    if isinstance(op, TLSHandshake):
        return _tls(op)
    return _quic(op) if isinstance(op, QUICHandshake) else _http(op)


def _step(layer: str, success: str, op: AnyOperation) -> Line:
    took = seconds(op.finished - op.started)
    if op.failure is None:
        return Line(f"{layer}: {success} in {took}", "good")
    if op.failure.startswith("not_tried"):
        return Line(f"{layer}: {printable(op.failure, 80)}")
    return Line(f"{layer}: {printable(op.failure, 80)} after {took}", "bad")


def _dns(op: DNSLookup) -> list[Line]:
    if not op.responses:
        return [_step("no answer", "nothing said", op)]
    answers = [Line(answer(response)) for response in op.responses[:16]]
    if op.failure is not None:
        answers.append(Line(printable(op.failure, 80), "bad"))
    if len(op.responses) > 1:
        answers.append(Line(f"{len(op.responses)} answers to one query", "bad"))
    return answers


def answer(response: Response, *, always_rcode: bool = False) -> str:
    """One answer: when, what, and the IP TTL that was left of it; a rcode of 0 only where it is asked for."""
    if response.malformed:
        said = "an answer that cannot be read"
    else:
        records = [f"{printable(r.type, 10)} {printable(r.value, 120)}" for r in response.records[:_RECORDS]]
        if len(response.records) > _RECORDS:
            records.append(f"and {len(response.records) - _RECORDS} more")
        if response.rcode or always_rcode or not records:
            records = [_RCODES.get(response.rcode, f"rcode {response.rcode}"), *(records or ["no records"])]
        said = ", ".join(records)
    left = f" (IP TTL {response.hops})" if response.hops is not None else ""
    return f"after {response.at * 1000:.1f} ms: {said}{left}"


def _tls(op: TLSHandshake) -> list[Line]:
    found = [_step("TLS", printable(op.version, 20) or "completed", op)]
    if op.failure is not None:
        alert = f", alert {printable(op.alert, 60)}" if op.alert else ""
        return [*found, Line(f"{op.received} bytes came before that{alert}")]
    return found + _certificate(op)


def _certificate(op: TLSHandshake | QUICHandshake) -> list[Line]:
    if op.certificate_failure is None:
        found = [Line(f"certificate: good for {printable(op.server_name, 80)}", "good")]
    else:
        found = [Line(f"certificate: {printable(op.certificate_failure, 80)}", "bad")]
    if op.chain:
        found.append(Line("chain: " + ", ".join(printable(digest, 16) for digest in op.chain[:8])))
    return found


def _quic(op: QUICHandshake) -> list[Line]:
    """The handshake, and whether what we sent after it arrived."""
    how = " ".join(printable(word, 20) for word in (op.version, op.alpn) if word)
    found = [_step("QUIC", f"{how or 'completed'} and acknowledged", op)]
    if op.failure is None:
        return found + _certificate(op)
    if op.failure.startswith("not_tried"):
        return found
    alert = f", alert {printable(op.alert, 60)}" if op.alert else ""
    came = "the handshake was complete" if op.completed else f"{op.received} bytes came before that"
    found.append(Line(f"{came}{alert}"))
    return found + _certificate(op) if op.chain else found


def _http(op: HTTPRoundTrip) -> list[Line]:
    found = [_step("HTTP", f"status {op.status}" if op.status else "no status", op)]
    if op.status:
        got = f"{op.body_length} bytes" + (f", {_CUT.get(op.cut, printable(op.cut, 40))}" if op.cut else "")
        status = f"status {op.status}, " if op.failure is not None else ""
        found.append(Line(f"page: {status}{got}"))
    if op.title:
        found.append(Line(f"title: “{printable(op.title)}”"))
    if op.location:
        found.append(Line(f"redirect to {printable(op.location, 160)}"))
    if op.expected is not None:
        is_in, tone = ("is", "good") if op.expected else ("is not", "bad")
        found.append(Line(f"the target's own text {is_in} in it", tone))
    return found

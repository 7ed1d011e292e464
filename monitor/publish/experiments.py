"""The experiments of a measurement in words: what was asked, each try in order, and how many ended how.

Facts only; what they prove is the rules' business. Every text is already safe to print (`text.printable`).
"""

import msgspec

from probes.dns import DNSLookup
from probes.experiment import AnyOperation, Attempt, Experiment
from probes.followup.path import heard
from probes.measurement import Measurement

from . import operations
from .counts import count
from .evidence import Socket, sockets
from .operations import Line
from .text import printable, seconds

MOST, MOST_TRIES = 24, 240  # experiments and tries; a record from elsewhere may have any number
_LINES = 40  # of one try
_PLACES = {
    "own": "the site's own address",
    "neutral": "neutral listener",
    "silent": "address that runs no resolver",
    "platform": "the platform's public page",
    "remote": "somebody's in the network",
}
_PROTOCOLS = {
    "sni": "TLS", "host": "HTTP", "phrase": "HTTP", "injection": "DNS", "quic": "QUIC", "search": "HTTP",
    "resolver": "DNS", "certificate": "TLS",
}  # fmt: skip
_OF_DNS = frozenset({"injection", "resolver"})
_QUESTIONS = {
    ("sni", "neutral"): "Does the same listener complete TLS with an innocuous name?",
    ("sni", "own"): "Does the site's own address complete TLS with an innocuous name?",
    ("host", "neutral"): "Does the same listener answer plain HTTP with an innocuous Host?",
    ("host", "own"): "Does the site's own address answer plain HTTP with an innocuous Host?",
    ("phrase", "neutral"): "Does the same listener answer a request without the phrase?",
    ("injection", "silent"): "Does anybody answer where there is nobody, and is an innocuous name answered, too?",
    ("injection", "remote"): "Does anybody answer where there is nobody, and is an innocuous name answered, too?",
    ("resolver", "remote"): "Does a resolver there lead to the site, and does it answer rightly for innocuous names?",
    ("certificate", "remote"): "Is there a certificate for the name, seen from here, at what was given for it?",
    ("quic", "neutral"): "Does the same listener complete QUIC with an innocuous name?",
    ("quic", "own"): "Does the site's own address complete QUIC with an innocuous name?",
    ("search", "platform"): "What does the platform itself give for the phrase, and what for an innocuous one?",
}
_ANYWHERE = {
    "throughput": "Do the same bytes come as fast under an innocuous name?",
    "path": "At which hop of the path does somebody react to what is sent?",
}
_SENT = {
    "sni": "TLS as {}", "host": "HTTP with the Host {}", "phrase": "HTTP with {}", "injection": "DNS for {}",
    "resolver": "DNS for {}", "certificate": "TLS as {}",
    "quic": "QUIC as {}", "throughput": "download as {}", "search": "search for {}",
}  # fmt: skip


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One contact. `at`: seconds since the measurement began; `answers`: its lines are answers to queries."""

    number: int
    at: float
    sent: str
    where: str
    innocuous: bool
    ended: Line
    lines: tuple[Line, ...] = ()
    answers: bool = False
    ttl: int = 0
    router: str = ""
    sockets: tuple[Socket, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment. `hops`: its tries are rows of a table, by TTL; `more`: tries that are not shown."""

    question: str
    at: float
    tries: tuple[Try, ...]
    count: str = ""
    left_out: str = ""
    hops: bool = False
    more: int = 0


def told(measurement: Measurement, *, begin: int) -> list[Told]:
    """The experiments in the order of their beginning, the tries numbered from `begin` on."""
    found, number = [], begin
    for experiment in sorted(measurement.experiments, key=lambda e: e.started)[:MOST]:
        room = max(0, MOST_TRIES - (number - begin))
        one = _told(measurement, experiment, number, room)
        found.append(one)
        number += len(one.tries)
    return found


def left_out(measurement: Measurement) -> int:
    """Experiments above `MOST`."""
    return max(0, len(measurement.experiments) - MOST)


def _told(measurement: Measurement, experiment: Experiment, number: int, room: int) -> Told:
    shown = sorted(experiment.tries, key=lambda t: t.started)[:room]
    tries = [_try(experiment, n, attempt) for n, attempt in enumerate(shown, number)]
    if experiment.kind == "path":
        tries.sort(key=lambda t: t.ttl)
    return Told(
        question=_question(experiment), at=experiment.started, tries=tuple(tries),
        count=count(measurement, experiment), left_out=printable(experiment.left_out, 160),
        hops=experiment.kind == "path", more=len(experiment.tries) - len(shown),
    )  # fmt: skip


def _question(experiment: Experiment) -> str:
    kind, place = experiment.kind, experiment.place
    question = _QUESTIONS.get((kind, place.partition(":")[0])) or _ANYWHERE.get(kind) or f"{printable(kind, 40)}:"
    where = [*_place(place), _PROTOCOLS.get(kind, "")]
    return f"{question} ({', '.join(word for word in where if word)})"


def _place(place: str) -> list[str]:
    """In words; a platform has a name after a colon."""
    kind, _, name = place.partition(":")
    return [_PLACES.get(kind, printable(kind, 40)), printable(name, 60)]


def _try(experiment: Experiment, number: int, attempt: Attempt) -> Try:
    where = f"{printable(attempt.address, 64)} port {attempt.port}" if attempt.address else "no address"
    found = [line for op in attempt.operations if _tells(experiment, op) for line in _seen(op)][:_LINES]
    if attempt.matched:
        found.append(Line("found in the page: " + ", ".join(printable(word, 40) for word in attempt.matched[:16])))
    if attempt.failure is None:  # a self-signed certificate of a listener's is no fault in a try that passed
        found = [msgspec.structs.replace(line, tone="") if line.tone == "bad" else line for line in found]
    return Try(
        number=number, at=attempt.started, innocuous=attempt.innocuous, where=where, ttl=attempt.ttl,
        sent=_sent(experiment, attempt),
        ended=_ended(experiment, attempt), lines=tuple(found), router=printable(attempt.router, 64),
        answers=experiment.kind in _OF_DNS, sockets=sockets(attempt.operations),
    )  # fmt: skip


def _sent(experiment: Experiment, attempt: Attempt) -> str:
    if experiment.kind == "path" and not attempt.sent:
        return "a datagram to a port where nobody listens"
    return _SENT.get(experiment.kind, "{}").format(f"“{printable(attempt.sent, 120)}”")


def _tells(experiment: Experiment, op: AnyOperation) -> bool:
    """In a table of hops only answers stand beside how it ended."""
    return experiment.kind != "path" or (isinstance(op, DNSLookup) and bool(op.responses))


def _seen(op: AnyOperation) -> list[Line]:
    if isinstance(op, DNSLookup):
        kind = printable(op.query_type, 10)
        answers = [Line(f"{kind} {operations.answer(r, always_rcode=True)}") for r in op.responses[:16]]
        return answers or [Line(f"{kind}: {printable(op.failure or 'no answer', 80)}")]
    return operations.lines(op)


def _ended(experiment: Experiment, attempt: Attempt) -> Line:
    took = seconds(attempt.finished - attempt.started)
    failure = attempt.failure
    if failure is not None and failure.startswith("not_tried"):
        return Line(printable(failure, 80))
    if experiment.kind == "path" and (attempt.router or not heard(attempt)):
        return Line("it ran out there" if attempt.router else f"nothing came: {printable(failure or 'no reason', 80)}")
    if experiment.kind == "injection":
        return Line("was answered", "bad") if failure is None else Line(f"was not answered: {printable(failure, 80)}")
    if experiment.kind == "resolver":
        return Line("was answered" if failure is None else f"was not answered well: {printable(failure, 80)}")
    if failure is None:
        return Line(f"passed in {took}", "good")
    return Line(f"{printable(failure, 80)} after {took}", "bad")

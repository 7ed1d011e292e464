"""Rules for what web and echo servers in the network show from outside.

The servers belong to others and may have their own mind about a name. So where there is only one it must fail in every
try with it, of several most must fail repeatedly, and a page or a certificate that is merely another one needs two that
show the same.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from probes.experiment import Attempt, Experiment
from probes.failure import EOF, RESET, TIMEOUT
from probes.http import HTTPRoundTrip
from probes.remote.likeness import Answer, answer_of, came_through, page_of, usual_of
from probes.tls import TLSHandshake

from .artefacts import PROOF, self_signed
from .experiments import OWN
from .finding import Finding
from .innocent import SAME
from .observe import Case
from .pages import REFUSALS, proving

TRIES, FAILURES, SERVERS = 5, 2, 2  # with the name at one server; of these must fail at each of two; that must agree
DIFFERENT = 1.5  # log10 likelihood ratio of what an innocent server could do too, though not two alike
_HOW = {RESET: "reset", EOF: "eof", TIMEOUT: "timeout", "timed_out": "timeout"}
STEPS = {
    "sni": ("tls.{}.sni", TLSHandshake, "the TLS handshake"),
    "host": ("http.{}.host", HTTPRoundTrip, "the HTTP request"),
    "echo": ("http.{}.host", HTTPRoundTrip, "the HTTP request to an echo service"),
}


class Server:
    """One server as the rules see it."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.usual: Answer | None = usual_of(experiment.tries)
        self.named = [t for t in experiment.tries if not t.innocuous]
        self.controls = [t for t in experiment.tries if t.innocuous]
        self.address = experiment.tries[0].address

    @cached_property
    def passed(self) -> int:
        """Tries with the name that the server itself answered."""
        return sum(self.is_good(t) for t in self.named)

    @cached_property
    def cut(self) -> list[Attempt]:
        """Tries with the name that got as far as sending it and ended in a known way."""
        _technique, step, _words = STEPS[self.experiment.kind]
        return [t for t in self.named if t.failure in _HOW and t.operations and isinstance(t.operations[-1], step)]

    @cached_property
    def steady(self) -> bool:
        """Every control name got the usual answer, in between too, and as many as the name was tried."""
        good = [self.is_good(t) for t in self.controls]
        return all(good) and len(good) >= len(self.named)

    @cached_property
    def others(self) -> list[Answer]:
        """Whole answers to the name that are not the server's own."""
        return [a for t in self.named if not self.is_good(t) and (a := answer_of(t)) is not None]

    def is_good(self, attempt: Attempt) -> bool:
        """Whether the server itself answered."""
        return self.usual is not None and came_through(attempt, self.usual)

    def differs(self, *, fewest: int) -> bool:
        """A differential. Silence is weaker than an end, since packets get lost: then every try must have failed."""
        ended = sum(_HOW[t.failure or ""] != "timeout" for t in self.cut)
        all_cut = len(self.cut) == len(self.named) >= TRIES
        return self.steady and (fewest <= ended or all_cut) and len(self.named) <= TRIES + 1


def servers(case: Case) -> list[Server]:
    """The servers that were fit and were asked for the name."""
    made = (e for e in case.measurement.experiments if e.place == "remote" and e.kind in STEPS)
    found = (Server(e) for e in made if e.tries and not e.left_out)
    return [s for s in found if s.usual is not None and s.named]


def only_with_the_name(case: Case) -> list[Finding]:
    """Most of several servers in the network, at least two, fail again and again with this name, and answer control
    names in between."""
    asked = servers(case)
    shown = [s for s in asked if s.differs(fewest=FAILURES)]
    if len(shown) < SERVERS or len(shown) * 2 <= len(asked):
        return []
    return _cut_off(shown, f"so it is at {len(shown)} of {len(asked)} servers", PROOF)


def only_at_one(case: Case) -> list[Finding]:
    """The only server in the network that could be asked fails in every try with this name, and answers control names
    in between."""
    asked = servers(case)
    if len(asked) != 1 or not asked[0].differs(fewest=TRIES):
        return []
    return _cut_off(asked, "no other server was asked, and this one may have a filter of its own", OWN)


def _cut_off(shown: list[Server], share: str, weight: float) -> list[Finding]:
    found = []
    for (kind, how), some in _by_failure(shown).items():
        technique, _step, words = STEPS[kind]
        one = some[0]
        found.append(
            Finding(
                technique=technique.format(how), weight=weight,
                failures=sum(len(s.cut) for s in some), passes=sum(s.passed for s in some),
                text=f"{words} failed with {one.named[0].sent} in {len(one.cut)} of {len(one.named)} tries "
                f"({one.cut[0].failure}) and passed with {_names(one)} in {len(one.controls)} of {len(one.controls)} "
                f"in between, at {one.address}, which answers alike to every name; {share}",
            )
        )  # fmt: skip
    return found


def _by_failure(some: Iterable[Server]) -> dict[tuple[str, str], list[Server]]:
    """The servers by kind of experiment and by how most tries with the name ended there."""
    found: dict[tuple[str, str], list[Server]] = {}
    for server in some:
        how = Counter(_HOW[t.failure or ""] for t in server.cut)
        most = max(how, key=lambda h: (how[h], h))
        found.setdefault((server.experiment.kind, most), []).append(server)
    return found


def _names(server: Server) -> str:
    return " and ".join(dict.fromkeys(t.sent for t in server.controls))


def lasts(case: Case) -> list[Finding]:
    """Two servers in the network fail in every try with this name, then for control names too, and recover."""
    asked = servers(case)
    some = [s for s in asked if _recovers(s)]
    if len(some) < SERVERS or len(some) * 2 < len(asked):
        return []
    (kind, how), most = max(_by_failure(some).items(), key=lambda item: len(item[1]))
    technique, _step, words = STEPS[kind]
    return [
        Finding(
            technique=technique.format(how).rpartition(".")[0], weight=DIFFERENT * len(some),
            failures=sum(len(s.named) for s in some),
            text=f"{words} failed with {most[0].named[0].sent} in every try at {len(some)} of {len(asked)} servers, "
            f"after which control names failed there too and passed again two minutes later: somebody goes on blocking "
            "for a while",
        )
    ]  # fmt: skip


def _recovers(server: Server) -> bool:
    """The name failed in every try, control names in between, and the last control name got the usual answer."""
    in_vain = len(server.named) >= TRIES and all(t.failure is not None for t in server.named)
    return in_vain and bool(server.cut) and not server.steady and server.is_good(server.controls[-1])


def known_block_page(case: Case) -> list[Finding]:
    """A server in the network shows a page that is known as this country's block page, for this name only."""
    for server in servers(case):
        if any(_documented(case, t) for t in server.controls):
            continue
        for attempt in (t for t in server.named if not server.is_good(t)):
            page, known = page_of(attempt), _documented(case, attempt)
            if page is not None and known:
                text = (
                    f"{server.address}, which answers alike to every name, was answered for with the known block page "
                    f"{known} when asked for {attempt.sent}"
                )
                technique = "http.redirect" if page.location else "http.blockpage"
                return [Finding(technique=technique, weight=PROOF, failures=len(server.others), text=text)]
    return []


def _documented(case: Case, attempt: Attempt) -> str:
    """The name of a fingerprint in what came that proves a block in this country; empty where there is none."""
    page = page_of(attempt)
    if page is None:
        return ""
    body = case.measurement.bodies.get(page.body_sha256, b"")
    known = proving(case, case.fingerprints.match_page(page.headers, body))
    return known[0].name if known else ""


def other_answer(case: Case) -> list[Finding]:
    """Two servers in the network, each with an answer of its own, give one and the same other answer for this name."""
    asked = servers(case)
    found: dict[tuple[str, str], list[Server]] = {}
    for server in asked:
        for mark in {m for a in server.others if (m := _mark(case, server, a)) is not None}:
            if len(server.others) >= FAILURES and not server.passed and server.steady:
                found.setdefault(mark, []).append(server)
    for (what, _same), some in found.items():
        if len(some) >= SERVERS and len(some) * 2 >= len(asked):
            seen = "certificate" if what == "certificate" else "answer"
            return [
                Finding(
                    technique=_mitm(case, some[0]) if what == "certificate" else "http.diff",
                    weight=DIFFERENT * len(some), failures=sum(len(s.others) for s in some),
                    text=f"{len(some)} of {len(asked)} servers that answer differently from each other, and each alike "
                    f"to control names, gave one and the same other {seen} for {some[0].named[0].sent}",
                )
            ]  # fmt: skip
    return []


def _mark(case: Case, server: Server, answer: Answer) -> tuple[str, str] | None:
    """By what an answer is recognised at another server; None where the server may have made it itself."""
    assert server.usual is not None
    if answer.leaf and answer.leaf != server.usual.leaf:
        return "certificate", answer.leaf
    if answer.status in REFUSALS or answer.status >= 500:
        return None
    for page in case.reference.at(0).pages:
        if answer.digest == page.body_sha256 or (answer.title and answer.title == page.title):
            return None
    if answer.where:
        return "page", answer.where
    return ("page", answer.digest) if answer.digest else None


def _mitm(case: Case, server: Server) -> str:
    usual = server.usual.leaf if server.usual else ""
    leaf = next(a.leaf for a in server.others if a.leaf and a.leaf != usual)
    signed = {True: "tls.mitm.self_signed", False: "tls.mitm.ca_signed", None: "tls.mitm"}
    return signed[self_signed(case, (leaf,))]


def nothing_seen(case: Case) -> list[Finding]:
    """The name got the usual answer at every server that was fit."""
    asked = servers(case)
    if not asked or any(s.passed < len(s.named) for s in asked):
        return []
    text = f"{len(asked)} servers in the network answered to {asked[0].named[0].sent} as to any other name"
    return [Finding(weight=SAME, text=f"{text}; looked at from outside only")]


def in_doubt(case: Case) -> list[Finding]:
    """No server was fit, or what they show is too little to conclude anything."""
    made = [e for e in case.measurement.experiments if e.place == "remote" and e.kind in STEPS]
    asked = servers(case)
    if not made:
        return []
    if not asked:
        reasons = Counter(e.left_out or "a control name fails there" for e in made)
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        return [Finding(cause="not_measurable", text=f"no server in the network could be asked: {why}")]
    odd = [s for s in asked if s.passed < len(s.named)]
    if not odd:
        return []
    how = sorted({t.failure or "another answer" for s in odd for t in s.named if not s.is_good(t)})
    return [
        Finding(
            cause="ambiguous",
            text=f"at {len(odd)} of {len(asked)} servers {asked[0].named[0].sent} went otherwise than control names "
            f"({', '.join(how)}), too seldom or too unevenly to conclude anything",
        )
    ]  # fmt: skip

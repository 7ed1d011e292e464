"""Rules for differentials: the same contact fails with the name and passes without it (CONTRACT.md, artefacts)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from probes.dns import DNSLookup, Response
from probes.experiment import Attempt, Experiment
from probes.failure import EOF, RESET, TIMEOUT
from probes.followup.search import withheld
from probes.followup.tally import Tally, tally
from probes.http import HTTPRoundTrip
from probes.quic import QUICHandshake
from probes.tls import TLSHandshake

from . import outside
from .artefacts import PROOF, fails, kind_of_forgery, self_signed
from .blind import ended, named
from .finding import Finding
from .observation import Observation
from .observe import Case

OWN = 3.0  # log10 likelihood ratio at the site's own address, where the server may have its own mind about names
PROMPT = 2.0  # seconds to the control's first byte; the vantage waits 10
_SNI = {RESET: "tls.reset.sni", TIMEOUT: "tls.timeout.sni", "timed_out": "tls.timeout.sni", EOF: "tls.eof.sni"}
_HOST = {RESET: "http.reset.host", TIMEOUT: "http.timeout.host", "timed_out": "http.timeout.host", EOF: "http.eof.host"}
_PHRASE = {RESET: "http.reset.keyword", TIMEOUT: "http.timeout", "timed_out": "http.timeout", EOF: "http.eof"}
_QUIC = {TIMEOUT: "quic.timeout.sni"}
_ELSEWHERE = frozenset({"remote", "sink"})  # judged by `remote_servers` and `remote_sink`, which ask for more
_WHERE = {"neutral": "at a listener that answers to every name", "own": "at the site's own address"}


def server_name(case: Case) -> list[Finding]:
    """TLS fails with this server name and passes with another, at the site's address or at a neutral listener."""
    return _differences(case, "sni", _SNI, TLSHandshake, "the TLS handshake")


def host_name(case: Case) -> list[Finding]:
    """Plain HTTP fails with this Host and passes with another."""
    return _differences(case, "host", _HOST, HTTPRoundTrip, "the HTTP request")


def phrase(case: Case) -> list[Finding]:
    """A request with the phrase in its path and query fails, one without it passes."""
    return _differences(case, "phrase", _PHRASE, HTTPRoundTrip, "the HTTP request")


def quic_name(case: Case) -> list[Finding]:
    """QUIC is dropped for this server name and not for another (row 18)."""
    return _differences(case, "quic", _QUIC, QUICHandshake, "the QUIC handshake")


def _differences(
    case: Case, kind: str, techniques: dict[str, str], step: type, words: str
) -> list[Finding]:  # fmt: skip
    found = []
    for experiment in of_kind(case, kind):
        if experiment.place in _ELSEWHERE:
            continue
        tries = counted(case, experiment, techniques, step)
        count = tally(tries)
        if not count.differs or not _stands(case, experiment):
            continue
        failed = [t.failure for t in tries if t.failure and not t.innocuous]
        names = Counter(named(case, techniques[f], f) for f in failed)
        technique = max(names, key=lambda name: (names[name], name))
        failure = max(f for f in failed if named(case, techniques[f], f) == technique)
        found.append(
            Finding(
                technique=technique, weight=PROOF if experiment.place == "neutral" else OWN,
                failures=count.failed, passes=count.passed, hop=case.first.hop,
                text=_told(case, experiment, tries, words, failure),
            )
        )  # fmt: skip
    return found


def _told(case: Case, experiment: Experiment, tries: Sequence[Attempt], words: str, failure: str) -> str:
    with_name = next(t.sent for t in tries if not t.innocuous)
    without = next(t.sent for t in tries if t.innocuous)
    count, hop = tally(tries), case.first.hop
    how = ended(case, failure)
    return (
        f"{words}{f' at redirect {hop}' if hop else ''} failed with {with_name} in {count.failed} of "
        f"{count.failed + count.passed} tries ({how}) and passed with {without} in {count.innocuous_passed} of "
        f"{count.innocuous_passed} in between, {_WHERE.get(experiment.place, experiment.place)}"
    )


def _sent(experiment: Experiment) -> str:
    return next(t.sent for t in experiment.tries if not t.innocuous)


def of_kind(case: Case, kind: str) -> Iterable[Experiment]:
    """The experiments of a kind."""
    return (e for e in case.measurement.experiments if e.kind == kind)


def counted(case: Case, experiment: Experiment, techniques: dict[str, str], step: type) -> list[Attempt]:
    """The tries that count: those that got as far as the step in question and ended there in a known way.

    At the site's own address the plain client's further tries are those with the name, and an innocuous one went
    before each. Its first look does not count: that it failed is why there were further ones.
    """
    found = [t for t in experiment.tries if _reached_step(t, techniques, step)]
    if experiment.place == "own":
        found += _plain_tries(case, experiment, techniques, step)
    return sorted(found, key=lambda t: t.started)


def own_tally(case: Case, experiment: Experiment) -> Tally:
    """The count at one of the site's own endpoints, the plain client's further tries among it."""
    techniques, step = (_SNI, TLSHandshake) if experiment.kind == "sni" else (_HOST, HTTPRoundTrip)
    return tally(counted(case, experiment, techniques, step))


def _reached_step(attempt: Attempt, techniques: dict[str, str], step: type) -> bool:
    last = attempt.operations[-1] if attempt.operations else None
    return attempt.failure is None or (isinstance(last, step) and (attempt.innocuous or attempt.failure in techniques))


def _plain_tries(case: Case, experiment: Experiment, techniques: dict[str, str], step: type) -> list[Attempt]:
    """The plain contacts at the experiment's endpoint, as tries with the name."""
    endpoints = {(t.address, t.port) for t in experiment.tries}
    wanted = {t.sent for t in experiment.tries if not t.innocuous} or {case.first.name}
    found = []
    for op in case.measurement.operations:
        if isinstance(op, DNSLookup) or not isinstance(op, step) or (op.address, op.port) not in endpoints:
            continue
        name = getattr(op, "server_name", "") or case.host_of(getattr(op, "url", ""))
        if op.attempt and name in wanted and (op.failure is None or op.failure in techniques):
            found.append(
                Attempt(sent=name, started=op.started, finished=op.finished, address=op.address, port=op.port,
                        failure=op.failure)
            )  # fmt: skip
    return found


def _stands(case: Case, experiment: Experiment) -> bool:
    """At the site's own address the server may treat names differently: the control must complete this one (row 14)."""
    if experiment.place != "own":
        return True
    endpoints = {(t.address, t.port) for t in experiment.tries}
    seen = [o for o in case.observations if (o.address, o.port) in endpoints and o.failure]
    if any(o.layer == "http" for o in seen):
        return _answers_at_once(case, seen)
    return bool(seen) and all(o.control_tls == "ok" for o in seen if o.layer == "tls")


def _answers_at_once(case: Case, seen: Sequence[Observation]) -> bool:
    """The control got a page; where silence is the failure, at once: a slow page is no dropped request."""
    pages = case.reference.at(seen[0].hop).pages
    if not any(o.failure in (TIMEOUT, "timed_out") for o in seen):
        return bool(pages)
    return any(p.ttfb is not None and p.ttfb < PROMPT for p in pages)


def other_page(case: Case) -> list[Finding]:
    """A neutral listener's page comes for every Host but this one: somebody on the path answers in its place."""
    found = []
    for experiment in of_kind(case, "host"):
        if experiment.place != "neutral":
            continue
        usual = {page.body_sha256 for page in _pages(experiment, innocuous=True)}
        others = [page for page in _pages(experiment, innocuous=False) if page.body_sha256 not in usual]
        if len(usual) == 1 and len(others) >= 2:
            found.append(
                Finding(
                    technique="http.redirect" if others[0].location else "http.blockpage", weight=PROOF,
                    failures=len(others), hop=case.first.hop,
                    text=f"a listener that serves one page to every name was answered for with another "
                    f"(status {others[0].status}) in {len(others)} tries with {_sent(experiment)} as Host",
                )
            )  # fmt: skip
    return found


def _pages(experiment: Experiment, *, innocuous: bool) -> list[HTTPRoundTrip]:
    steps = (t.operations[-1] for t in experiment.tries if t.innocuous == innocuous and t.failure is None)
    return [step for step in steps if isinstance(step, HTTPRoundTrip)]


def other_certificate(case: Case) -> list[Finding]:
    """A neutral listener shows one certificate to every name but this one: somebody on the path took its place."""
    found = []
    for experiment in of_kind(case, "sni"):
        if experiment.place != "neutral":
            continue
        usual = {c for t in experiment.tries if t.innocuous for c in _leaf(t)}
        others = [c for t in experiment.tries if not t.innocuous for c in _leaf(t) if c not in usual]
        by_address = {t.address for t in experiment.tries}
        if len(usual) == len(by_address) and len(others) >= 2:
            signed = {True: "tls.mitm.self_signed", False: "tls.mitm.ca_signed", None: "tls.mitm"}
            found.append(
                Finding(
                    technique=signed[self_signed(case, (others[0],))], weight=PROOF, failures=len(others),
                    hop=case.first.hop,
                    text=f"a listener that shows one certificate to every name showed another in {len(others)} tries "
                    f"with {_sent(experiment)}",
                )
            )  # fmt: skip
    return found


def _leaf(attempt: Attempt) -> list[str]:
    return [op.chain[0] for op in attempt.operations if isinstance(op, TLSHandshake) and op.chain]


def answer_from_nowhere(case: Case) -> list[Finding]:
    """An address that runs no resolver answers for this name and not for a control name, or answers it wrongly."""
    found = []
    for experiment in of_kind(case, "injection"):
        answers = _answered(experiment, innocuous=False)
        intercepted = bool(_answered(experiment, innocuous=True))  # somebody answers for everything (row 28)
        false = [r for r in answers if _put_in(case, experiment, r, intercepted)]
        if not false:
            continue
        told = max(false, key=lambda r: bool(r.addresses()))
        what = ", ".join(told.addresses()[:3]) or "no address"
        other = "a control name was answered rightly there" if intercepted else "a control name got no answer there"
        found.append(
            Finding(
                technique=kind_of_forgery(case, told), weight=PROOF, hop=case.first.hop, failures=len(false),
                text=f"{experiment.tries[0].address}, which runs no resolver, answered a query for "
                f"{case.first.name or case.host} with {what}, while {other}",
            )
        )  # fmt: skip
    return found


def _put_in(case: Case, experiment: Experiment, response: Response, intercepted: bool) -> bool:
    """Of our own silent address we know that it is silent. One of an operator's list may have become a resolver: then
    only what is shown to be false counts, and nothing that is right."""
    if experiment.place != "remote":
        return not intercepted or fails(case, case.first.hop, response)
    if intercepted:
        return outside.is_false(case, response)
    known = bool(case.reference.at(0).given)
    return not outside.is_right(case, response) and (known or bool(response.addresses()))


def _answered(experiment: Experiment, *, innocuous: bool) -> list[Response]:
    steps = (op for t in experiment.tries if t.innocuous == innocuous for op in t.operations)
    return [r for op in steps for r in getattr(op, "responses", ()) if not r.malformed]


def withheld_by_platform(case: Case) -> list[Finding]:
    """A platform's own search shows a notice for the phrase in every page, and none for a neutral phrase."""
    found = []
    for experiment in of_kind(case, "search"):
        count = withheld(experiment)
        if count.differs:
            found.append(
                Finding(
                    technique="content.withheld", weight=OWN, failures=count.notices,
                    text=f"{experiment.place.removeprefix('platform:')} showed its notice for the phrase in "
                    f"{count.notices} of {count.pages} pages and in none of {count.neutral_pages} for a neutral phrase",
                )
            )  # fmt: skip
    return found


def differs(case: Case) -> bool:
    """A differential shows that this name (or phrase) is cut off."""
    rules: tuple[Callable[[Case], list[Finding]], ...] = (
        server_name, host_name, phrase, other_page, other_certificate,
    )  # fmt: skip
    return any(rule(case) for rule in rules)


def mostly_cut(case: Case) -> bool:
    """At least half of the tries with the name failed, over the plain client's and those of the experiments."""
    tries = [t for kind in ("sni", "host", "phrase") for e in of_kind(case, kind) for t in e.tries if not t.innocuous]
    failed = sum(t.failure is not None for t in tries) + sum(not t.reached for t in case.tries)
    return failed * 2 >= len(tries) + len(case.tries) > 0


def phrase_passes(case: Case) -> list[Finding]:
    """A phrase came through to the listeners in every try."""
    if not case.is_phrase:
        return []
    count = tally([t for e in of_kind(case, "phrase") for t in e.tries])
    if count.failed or count.innocuous_failed or count.passed < 3:
        return []
    return [
        Finding(weight=-1.0, text=f"a request with the phrase came through in {count.passed} of {count.passed} tries")
    ]

"""Rules for what DNS shows from outside: addresses that run no resolver, and resolvers in the network."""

from collections import Counter
from itertools import combinations

from probes.dns import DNSLookup, Response
from probes.experiment import Attempt, Experiment

from .artefacts import PROOF, contradict, is_usable, kind_of_forgery, said
from .differences import DNS_FAILURE, STRANGER
from .finding import Finding
from .innocent import SAME
from .observe import Case
from .outside import FALSE, RIGHT, fit, is_false, is_from_outside, is_right, made, responses, told

_OF_DNS = frozenset({"injection", "resolver", "certificate"})
FEWEST = 2  # resolvers that must agree before a difference is concluded; and more than half of those asked


def block_address(case: Case) -> list[Finding]:
    """A resolver gives a documented block page's address; or such as no site can have, and is not outvoted."""
    if not is_from_outside(case):
        return []
    said_so, found = told(case), []
    for one in said_so:
        kind = one.technique if one.what == FALSE else ""
        alike = sum(o.technique == kind for o in said_so)
        if kind == "dns.injection.blockpage" or (kind == "dns.injection.bogon" and alike * 2 >= len(said_so)):
            what = "the address of a known block page" if kind.endswith("blockpage") else "an address of no public site"
            found.append(
                Finding(
                    technique=kind, weight=PROOF, failures=one.tries,
                    text=f"{one.resolver}, a resolver in the network, gave {one.words} for {case.host}, {what}; "
                    "it answered control names rightly, and the control was given another",
                )
            )  # fmt: skip
    return found


def two_answers(case: Case) -> list[Finding]:
    """A query to a resolver in the network is answered twice, and one of the answers is false."""
    found = []
    for experiment in fit(case) if is_from_outside(case) else ():
        if any(_contradiction(case, t, liar=False) for t in experiment.tries if t.innocuous):
            continue  # it asks several others itself, and passes on what each says
        for attempt in (t for t in experiment.tries if not t.innocuous):
            pair = _contradiction(case, attempt, liar=True)
            if pair is not None:
                false, other = pair
                found.append(
                    Finding(
                        technique=kind_of_forgery(case, false), weight=PROOF,
                        text=f"one query for {case.host} to {attempt.address}, a resolver in the network, was answered "
                        f"twice: {said(false)} after {false.at * 1000:.0f} ms and {said(other)} after "
                        f"{other.at * 1000:.0f} ms",
                    )
                )  # fmt: skip
                break
    return found


def _contradiction(case: Case, attempt: Attempt, *, liar: bool) -> tuple[Response, Response] | None:
    """Two answers that contradict, a false one first; with `liar` only where one is false."""
    for op in attempt.operations:
        usable = [r for r in op.responses if is_usable(r)] if isinstance(op, DNSLookup) else []
        for one, other in combinations(usable, 2):
            if not contradict(one, other):
                continue
            false = [r for r in (one, other) if _lies(case, r, one if r is other else other)]
            if false or not liar:
                return (one, other) if not false or false[0] is one else (other, one)
    return None


def _lies(case: Case, response: Response, other: Response) -> bool:
    """It is false; or the other is right, and this says that there is nothing, or leads where no certificate is."""
    if is_false(case, response) or not is_right(case, other):
        return is_false(case, response)
    looked = {t.address for e in made(case, "certificate") for t in e.tries if not t.innocuous}
    return not is_right(case, response) and looked >= set(response.addresses()[:1])


def differs(case: Case) -> list[Finding]:
    """Most resolvers in the network, and at least two, fail for this name only or lead elsewhere."""
    said_so = told(case) if is_from_outside(case) else []
    false = [one for one in said_so if one.what == FALSE]
    if len(false) < FEWEST or len(false) * 2 <= len(said_so):
        return []
    found = []
    for technique, count in Counter(one.technique for one in false).items():
        some = [one for one in false if one.technique == technique]
        addresses = technique.startswith("dns.injection")
        found.append(
            Finding(
                technique=technique, weight=STRANGER if addresses else DNS_FAILURE,
                failures=max(one.tries for one in some),
                text=f"{count} of {len(said_so)} resolvers in the network that answer control names rightly "
                + (f"send {case.host} to {some[0].words}, where somebody else's certificate is shown"
                   if addresses else f"fail for {case.host} ({some[0].words})")
                + ", and the control resolves it",
            )
        )  # fmt: skip
    return found


def nothing_seen(case: Case) -> list[Finding]:
    """Nothing was put in, or every resolver that is fit led to the site; and the control resolves the name."""
    if not is_from_outside(case) or not case.reference.at(0).given:
        return []
    silent = [e for e in made(case, "injection") if e.tries and not e.left_out]
    if silent and not any(_answered(e) for e in silent):
        return [_clear(f"no query to {len(silent)} addresses that run no resolver was answered")]
    said_so = told(case)
    if said_so and all(one.what == RIGHT for one in said_so):
        return [_clear(f"{len(said_so)} resolvers in the network gave the site's addresses")]
    return []


def _clear(text: str) -> Finding:
    return Finding(weight=SAME, text=f"{text}; looked at from outside only")


def _answered(experiment: Experiment) -> bool:
    return any(True for t in experiment.tries for _response in responses(t))


def in_doubt(case: Case) -> list[Finding]:
    """Nobody could be asked, or what they say does not settle it."""
    if not is_from_outside(case) or any(e.kind not in _OF_DNS for e in case.measurement.experiments):
        return []
    if not _asked(case):
        return [Finding(cause="not_measurable", text=_why_not(case))]
    if not case.reference.at(0).given:
        return [Finding(cause="ambiguous", text=f"the control does not resolve {case.host}: nothing can be compared")]
    answered = sum(_answered(e) for e in made(case, "injection"))
    if answered:
        text = (
            f"{answered} addresses that should run no resolver answered, and nothing shows that they answered falsely"
        )
        return [Finding(cause="ambiguous", text=text)]
    said_so = told(case)
    odd = [one for one in said_so if one.what != RIGHT]
    if not odd:
        return []
    what = ", ".join(sorted({one.words for one in odd if one.words}))
    return [
        Finding(
            cause="ambiguous",
            text=f"{len(odd)} of {len(said_so)} resolvers in the network said something else of {case.host} ({what}); "
            "that is too little, or too easily innocent, to conclude anything",
        )
    ]  # fmt: skip


def _asked(case: Case) -> bool:
    """At least one place could be asked, and said something that counts (or, where nobody should, said nothing)."""
    return bool(fit(case)) or any(
        e.kind == "injection" and e.tries and not e.left_out for e in case.measurement.experiments
    )


def _why_not(case: Case) -> str:
    reasons = Counter(e.left_out for e in case.measurement.experiments if e.left_out)
    if reasons:
        told_so = ", ".join(f"{why} ({count})" for why, count in reasons.most_common(3))
        return f"no place in the network could be asked: {told_so}"
    what = "a phrase" if case.is_phrase else "a bare address" if case.host else "this target"
    return f"this method says nothing about {what}"

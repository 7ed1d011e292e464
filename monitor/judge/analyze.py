"""From a case to a verdict, in the contract's order of decision."""

import msgspec

from blocklists import Fingerprints
from probes.address import is_ipv6
from probes.measurement import Measurement

from . import differences, experiments
from .blind import told
from .observe import Case, observe
from .pages import is_blockpage, reached_site
from .rules import VERSION, Fired, fire
from .techniques import ordered, rank
from .verdict import Verdict

ENOUGH = 3  # tries without which a difference proves nothing
PRIOR = -1.04  # log10 odds: 8.4 % of OONI's web measurements are of blocked sites
REPEAT = 0.5  # log10 likelihood ratio of each further failing try


def analyze(measurement: Measurement, fingerprints: Fingerprints) -> Verdict:
    """The verdict on one measurement; pure."""
    return judge(observe(measurement, fingerprints))


def judge(case: Case) -> Verdict:
    """The verdict on a case; its reason ends with what could not be measured from there."""
    verdict = _judge(case)
    return msgspec.structs.replace(verdict, reason=verdict.reason + told(case)) if told(case) else verdict


def _judge(case: Case) -> Verdict:
    unusable = fire(case, "unusable")
    if unusable:
        return _innocent("insufficient", unusable)
    proofs, suspicions = fire(case, "artefact"), fire(case, "difference")
    if proofs:
        return _proved(case, proofs, suspicions)
    down = fire(case, "down")
    if down:
        return _innocent("down", down)
    return _unproved(case, suspicions)


def plain_is_stopped(case: Case) -> bool:
    """The plain client does not get the site: not in the first look, nor in most of its tries."""
    reached = [reached_site(case, t) and not _is_block(case, t.seen) for t in case.tries]
    return not reached or reached.count(True) <= reached.count(False)


def _name_is_cut(case: Case) -> bool:
    """A differential shows it, and the first look or most tries with the name failed: luck clears nothing (row 27)."""
    return experiments.differs(case) and (not reached_site(case, case.first) or experiments.mostly_cut(case))


def _mostly_stopped(case: Case) -> bool:
    """More tries failed than reached the site: a lucky success does not clear it (row 27)."""
    tries = [t for t in case.tries if t.layer != "none"]
    return sum(reached_site(case, t) for t in tries) * 2 < len(tries)


def _is_block(case: Case, seen: object) -> bool:
    return seen is not None and is_blockpage(case, seen)  # type: ignore[arg-type]


def _proved(case: Case, proofs: list[Fired], suspicions: list[Fired]) -> Verdict:
    """Interference is proved; the plain client decides between blocked and impaired."""
    stopped = plain_is_stopped(case) or _name_is_cut(case)
    repeated = [f for f in suspicions if _repeated(case, f)] if stopped else []
    return _interfered(case, "blocked" if stopped else "impaired", proofs + repeated)


def _unproved(case: Case, suspicions: list[Fired]) -> Verdict:
    good = [] if _mostly_stopped(case) else fire(case, "ok")
    repeated = [f for f in suspicions if _repeated(case, f)]
    if good:
        cut = [
            f
            for f in repeated
            if f[0].id == "contact.fails_only_here" and f[1].failures >= ENOUGH and not is_ipv6(f[1].address)
        ]
        slow = [f for f in suspicions if f[0].id == "throttle.only_here"]  # its runs are its repetition (row 19)
        if (cut or slow) and case.first.reached:
            return _interfered(case, "impaired", cut + slow)
        return _innocent("ok", good)
    if repeated and plain_is_stopped(case):
        return _interfered(case, "likely_blocked", repeated)
    doubts = fire(case, "insufficient")
    if suspicions and doubts[0][1].cause == "ambiguous":
        return _doubt(suspicions, doubts)
    return _innocent("insufficient", doubts)


def _repeated(case: Case, fired: Fired) -> bool:
    """At least 3 tries failed and none passed, the control good before and after; a recorded one has what it has."""
    finding = fired[1]
    if finding.passes:
        return False
    if case.measurement.recorded:
        return True
    return finding.failures >= ENOUGH and case.reference.good_before_and_after(finding.hop)


def _interfered(case: Case, outcome: str, fired: list[Fired]) -> Verdict:
    best = min(fired, key=lambda f: (-f[1].weight, rank(f[1].technique or "dns.injection")))
    deepest = ordered({f[1].technique for f in fired if f[1].technique})
    technique = next(t for t in deepest if t.startswith(best[1].technique or ""))
    odds = PRIOR + best[1].weight + REPEAT * max(0, best[1].failures - 1)
    reason = best[1].text + "." + (_clear_text_name(case, technique))
    return Verdict(
        outcome=outcome, technique=technique, techniques=deepest, score=probability(odds),
        rules=_ids([best, *fired]), rules_version=VERSION, reason=_sentence(reason),
    )  # fmt: skip


def _clear_text_name(case: Case, technique: str) -> str:
    """Row 4 and row 5: what a reader must know about the name's visibility and about https beside http."""
    if technique == "tls" or technique.startswith("tls."):
        return " The name was sent in clear text (SNI)."
    secure = any(o.valid_tls for o in case.contacts(0)) and case.measurement.url.startswith("http:")
    return " The same host completes TLS on port 443." if secure and technique.startswith("http") else ""


def _innocent(outcome: str, fired: list[Fired]) -> Verdict:
    _rule, finding = fired[0]
    odds = PRIOR + finding.weight
    return Verdict(
        outcome=outcome, cause=finding.cause, score=probability(odds if outcome != "down" else odds - 1.0),
        rules=_ids(fired[:1] if outcome == "insufficient" else fired), rules_version=VERSION,
        reason=_sentence(finding.text + "."),
    )  # fmt: skip


def _doubt(suspicions: list[Fired], doubts: list[Fired]) -> Verdict:
    """Suspicious, and not enough of it: the reason says what is missing."""
    finding = suspicions[0][1]
    tries = f"{finding.failures} of {finding.failures + finding.passes} tries"
    return Verdict(
        outcome="insufficient", cause="ambiguous", score=probability(PRIOR + finding.weight / 2),
        rules=_ids([*doubts[:1], *suspicions]), rules_version=VERSION,
        reason=_sentence(f"{finding.text}; seen in {tries}, too few or too uneven to conclude."),
    )  # fmt: skip


def _ids(fired: list[Fired]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rule.id for rule, _finding in fired))


def probability(log10_odds: float) -> float:
    """A probability from decimal log odds, rounded; never quite 0 or 1."""
    return round(min(0.999, max(0.001, 1 / (1 + 10**-log10_odds))), 3)


def _sentence(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if "." in first else text[:1].upper() + text[1:]


__all__ = ["analyze", "differences", "judge", "plain_is_stopped"]

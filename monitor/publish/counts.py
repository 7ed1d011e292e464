"""How the tries of an experiment ended, counted as the rules count them, in words."""

from collections.abc import Sequence

from blocklists import Fingerprints
from monitor.judge.experiments import own_tally
from monitor.judge.observe import Case
from monitor.judge.where import censor_hop
from probes.experiment import Attempt, Experiment
from probes.followup.path import lowest_ttl
from probes.followup.search import Withheld, withheld
from probes.followup.tally import Tally, tally
from probes.followup.throughput import rate_of
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.quic import QUICHandshake
from probes.tls import TLSHandshake

from .text import printable

_NO_FINGERPRINTS = Fingerprints([])  # what a plain client's try is does not depend on them
_OF_DNS = frozenset({"injection", "resolver"})
_STEPS: dict[str, type] = {"sni": TLSHandshake, "host": HTTPRoundTrip, "phrase": HTTPRoundTrip, "quic": QUICHandshake}


def count(measurement: Measurement, experiment: Experiment) -> str:
    """Empty where nothing can be counted. What did not come as far as the step in question says nothing."""
    if experiment.kind == "search":
        return _pages(withheld(experiment))
    if experiment.kind == "throughput":
        return _rates(experiment)
    if experiment.kind == "path":
        return _hop(experiment)
    step = _STEPS.get(experiment.kind)
    made = [t for t in experiment.tries if _came_to(step, t)]
    found = tally(made)
    name, other = _first_sent(made, innocuous=False), _first_sent(made, innocuous=True)
    if experiment.place == "own" and experiment.kind in ("sni", "host"):
        case = Case(measurement, _NO_FINGERPRINTS)
        found, name = own_tally(case, experiment), name or printable(case.first.name, 120)
    if found == Tally():
        return ""
    words = [_some(experiment, found.failed, found.passed, name), _of_others(experiment, found, other)]
    apart = sum(not _came_to(step, t) for t in experiment.tries)
    if apart:
        words.append(f"{apart} ended before it came to that and {'counts' if apart == 1 else 'count'} for neither")
    further = experiment.place == "own" and experiment.kind in ("sni", "host")
    return ", ".join(word for word in words if word) + ("; with the further tries above" if further else "")


def _rates(experiment: Experiment) -> str:
    """In the order of the tries; one that is too short tells nothing."""
    rates = [(rate_of(attempt), attempt.sent) for attempt in experiment.tries[:16]]
    return ", ".join(f"{rate / 1000:.1f} kB/s with {printable(sent, 120)}" for rate, sent in rates if rate is not None)


def _hop(experiment: Experiment) -> str:
    lowest = lowest_ttl(experiment.tries)
    if not lowest:
        return "nobody reacted at any TTL" if experiment.tries else ""
    settled = censor_hop(experiment)
    if settled is None:
        return f"the lowest TTL at which anything came was {lowest}; the tries do not settle who sent it"
    who = f", where {printable(settled[1], 64)} says that it ran out" if settled[1] else ""
    return f"something came from TTL {settled[0]} on{who}; nothing one hop before, and nothing to an innocuous one"


def _pages(count: Withheld) -> str:
    if not count.pages + count.neutral_pages:
        return ""
    return (
        f"a notice in {count.notices} of {count.pages} pages for the phrase, in {count.neutral_notices} of "
        f"{count.neutral_pages} for the innocuous one"
    )


def _came_to(step: type | None, attempt: Attempt) -> bool:
    last = attempt.operations[-1] if attempt.operations else None
    return step is None or attempt.failure is None or isinstance(last, step)


def _first_sent(tries: Sequence[Attempt], *, innocuous: bool) -> str:
    return next((printable(t.sent, 120) for t in tries if t.innocuous == innocuous), "")


def _some(experiment: Experiment, failed: int, passed: int, name: str) -> str:
    if not failed + passed:
        return ""
    if experiment.kind in _OF_DNS:
        return f"answered {passed} of {failed + passed} for {name}"
    return f"failed {failed} of {failed + passed} with {name}"


def _of_others(experiment: Experiment, count: Tally, other: str) -> str:
    tries = count.innocuous_failed + count.innocuous_passed
    if not tries:
        return ""
    words = "answered {} of {} for {}" if experiment.kind in _OF_DNS else "passed {} of {} with {}"
    return words.format(count.innocuous_passed, tries, other)

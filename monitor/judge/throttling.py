"""Rules for throttling: the same transfer crawls with the name and runs without it (row 19)."""

from collections.abc import Sequence

from probes.experiment import Attempt, Experiment
from probes.followup.throughput import is_long, rate_of
from probes.tls import TLSHandshake

from .artefacts import PROOF
from .experiments import OWN, of_kind
from .finding import Finding
from .followup import SLOW, control_rate
from .observe import Case

RUNS = 2  # in swapped order
SUSPICION = 1.5  # log10 likelihood ratio: without another name on the same path, the way there may be full


def throttled_by_name(case: Case) -> list[Finding]:
    """Every transfer with the name is slower than a fifth of every innocuous one on the same path."""
    found = []
    for experiment in of_kind(case, "throughput"):
        named, others = _rates(experiment, innocuous=False), _rates(experiment, innocuous=True)
        if len({t.address for t in experiment.tries}) != 1 or min(len(named), len(others)) < RUNS:
            continue
        if not _crawls(experiment, named, min(others)):
            continue
        if experiment.place == "own" and not _slow_only_here(case, experiment, named):  # row 14, for speed
            continue
        found.append(
            Finding(
                technique="throttle.sni", weight=PROOF if experiment.place == "neutral" else OWN,
                failures=len(named), hop=case.first.hop,
                text=f"{len(named)} of {len(named)} transfers with {_sent(experiment, innocuous=False)} came at "
                f"{_told(max(named))} or less, those with {_sent(experiment, innocuous=True)} in between at "
                f"{_told(min(others))} or more, {_WHERE.get(experiment.place, experiment.place)}",
            )
        )  # fmt: skip
    return found


def throttled(case: Case) -> list[Finding]:
    """The site's own transfers are slower than a fifth of the control's, and the line carries more than that."""
    if throttled_by_name(case):
        return []
    found, line, theirs = [], _line(case), control_rate(case)
    for experiment in of_kind(case, "throughput"):
        named = _rates(experiment, innocuous=False)
        if experiment.place != "own" or len(named) < RUNS or not line or not _crawls(experiment, named, min(line)):
            continue
        if not _slow_only_here(case, experiment, named):
            continue
        found.append(
            Finding(
                technique="throttle", weight=SUSPICION, failures=len(named), hop=case.first.hop,
                address=experiment.tries[0].address,
                text=f"{len(named)} of {len(named)} transfers of the page came at {_told(max(named))} or less, to "
                f"the control at {_told(theirs)}, while this line carried {_told(min(line))} from elsewhere",
            )
        )  # fmt: skip
    return found


_WHERE = {"neutral": "from a listener that serves every name", "own": "from the site's own address"}


def _rates(experiment: Experiment, *, innocuous: bool) -> list[float]:
    """Bytes per second of each transfer of one sort; none where one of them showed no rate."""
    rates = [rate_of(t) for t in experiment.tries if t.innocuous == innocuous]
    known = [r for r in rates if r is not None]
    return known if len(known) == len(rates) else []


def _crawls(experiment: Experiment, named: Sequence[float], usual: float) -> bool:
    """Every transfer with the name, each long enough to show it, is below a fifth of the usual rate."""
    long = all(is_long(t) for t in experiment.tries if not t.innocuous)
    return long and max(named) * SLOW < usual


def _slow_only_here(case: Case, experiment: Experiment, named: Sequence[float]) -> bool:
    """The site itself answered, and the control got its page at more than five times the rate."""
    return all(_is_site(t) for t in experiment.tries if not t.innocuous) and max(named) * SLOW < control_rate(case)


def _is_site(attempt: Attempt) -> bool:
    return all(op.valid for op in attempt.operations if isinstance(op, TLSHandshake))


def _line(case: Case) -> list[float]:
    """What innocuous transfers from other places showed of the vantage's own line."""
    elsewhere = [e for e in of_kind(case, "throughput") if e.place != "own"]
    return [r for e in elsewhere for r in _rates(e, innocuous=True)]


def _sent(experiment: Experiment, *, innocuous: bool) -> str:
    return next(t.sent for t in experiment.tries if t.innocuous == innocuous)


def _told(rate: float) -> str:
    return f"{rate / 1000:.1f} kB/s"

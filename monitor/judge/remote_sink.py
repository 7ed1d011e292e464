"""Rules for a silent sink of one's own across the border: nobody there speaks, and neither end resets."""

from probes.experiment import Attempt, Experiment
from probes.failure import RESET

from .artefacts import PROOF
from .finding import Finding
from .innocent import SAME
from .observe import Case
from .remote_servers import STEPS

RESETS = 2  # of at most 6 tries with the name, against none of as many with an innocuous one (CONTRACT.md section 2)


def reset_at_the_sink(case: Case) -> list[Finding]:
    """Connections to a silent listener of our own are reset when this name is sent, and never with another."""
    found = []
    for experiment in _made(case):
        named, others = _tries(experiment)
        technique, step, _words = STEPS[experiment.kind]
        resets = [t for t in named if t.failure == RESET and t.operations and isinstance(t.operations[-1], step)]
        if len(resets) < RESETS or len(others) < len(resets) or any(t.failure is not None for t in others):
            continue
        found.append(
            Finding(
                technique=technique.format("reset"), weight=PROOF,
                failures=len(resets), passes=len(named) - len(resets),
                text=f"{len(resets)} of {len(named)} connections to a silent listener of our own were reset after "
                f"{named[0].sent} was sent, and none of {len(others)} with {others[0].sent}; neither end resets",
            )
        )  # fmt: skip
    return found


def nothing_seen(case: Case) -> list[Finding]:
    """Nothing came at the sink, in at least two tries with the name and as many without."""
    made = _made(case)
    tries = [t for e in made for t in e.tries]
    if not made or any(t.failure is not None for t in tries) or any(len(_tries(e)[0]) < RESETS for e in made):
        return []
    text = f"nothing came when {_tries(made[0])[0][0].sent} was sent to a silent listener in the network"
    return [Finding(weight=SAME, text=f"{text}; looked at from outside only")]


def in_doubt(case: Case) -> list[Finding]:
    """The sink could not be used, or what came there is too little to conclude anything."""
    everything = [e for e in case.measurement.experiments if e.place == "sink" and e.kind in STEPS]
    if not everything:
        return []
    named = [t for e in _made(case) for t in _tries(e)[0]]
    others = [t for e in _made(case) for t in _tries(e)[1] if t.failure is not None]
    if others:  # then the name was not sent after it
        text = f"innocuous names did not go in silence at the sink either ({_how(others)})"
        return [Finding(cause="ambiguous", text=text)]
    if len(named) < RESETS:
        why = next((e.left_out for e in everything if e.left_out), "too few of its ports are free")
        return [Finding(cause="not_measurable", text=f"the sink could not be used: {why}")]
    failed = [t for t in named if t.failure is not None]
    if not failed:
        return []
    what = f"{len(failed)} of {len(named)} tries with {named[0].sent} did not go in silence at the sink"
    return [Finding(cause="ambiguous", text=f"{what} ({_how(failed)}), too few or not resets")]


def _made(case: Case) -> list[Experiment]:
    return [e for e in case.measurement.experiments if e.place == "sink" and e.kind in STEPS and e.tries]


def _tries(experiment: Experiment) -> tuple[list[Attempt], list[Attempt]]:
    """Those with the name, and the innocuous ones."""
    named = [t for t in experiment.tries if not t.innocuous]
    return named, [t for t in experiment.tries if t.innocuous]


def _how(tries: list[Attempt]) -> str:
    return ", ".join(sorted({t.failure for t in tries if t.failure}))

"""Plays scenarios in the lab and tells how each came out: `python -m tests.network [-v] [NAME …]`; all without names."""

import sys
import time

from .every import SCENARIOS
from .run import lab_run
from .scenario import Played, Scenario


def main(arguments: list[str]) -> int:
    """Exit code 1 where a scenario came out in another way than it should."""
    verbose, names = "-v" in arguments, [a for a in arguments if a != "-v"]
    chosen = {s.name: s for s in SCENARIOS if not names or s.name in names}
    began, bad = time.monotonic(), 0
    for answer in lab_run(list(chosen.values())):
        if answer.played is None:
            print(f"FAULT {answer.name}\n{answer.fault[-600:]}")
            bad += 1
        elif answer.played.url == chosen[answer.name].url:
            bad += not _tell(chosen[answer.name], answer.played, verbose=verbose)
    print(f"{len(chosen)} scenarios, {bad} bad, {time.monotonic() - began:.0f} s")
    return bool(bad)


def _tell(scenario: Scenario, played: Played, *, verbose: bool) -> bool:
    verdict = played.verdict
    good = (verdict.outcome, verdict.technique, verdict.cause) == (scenario.outcome, scenario.technique, scenario.cause)
    what = f"{verdict.outcome} {verdict.technique or verdict.cause or ''}"
    print(
        f"{'good' if good else 'BAD '} {played.seconds:5.1f} s  {scenario.name}: {what} {list(verdict.rules)} {played.counts}"
    )
    if verbose or not good:
        print(f"      {verdict.reason} {list(verdict.techniques)}")
        for experiment in played.measurement.experiments:
            tries = [f"{t.sent}: {t.failure or 'passed'}" for t in experiment.tries]
            print(f"      {experiment.kind} {experiment.place} {experiment.left_out}{tries}")
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

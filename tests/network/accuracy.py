"""How often the verdict is wrong: many measurements in the lab, counted; `make accuracy` writes docs/accuracy.md.

    python -m tests.network.accuracy [--share 1.0] [--write]

Two populations, both played, neither computed: sites that nobody censors over a line that loses packets, some of them
slow; and one site whose connections a censor resets by name, three of four. And all scenarios, as a table of what was
to be found against what was found.
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from monitor.judge.verdict import INTERFERED, OUTCOMES
from probes.http import HTTPRoundTrip

from . import rules
from .every import SCENARIOS
from .play import Answer
from .run import lab_run
from .scenario import Scenario
from .sites import CROWD, crowd_name

ROOT = Path(__file__).absolute().parents[2]
INNOCENT, FLAKY = 1000, 1000  # measurements
LOSS, SLOW, RESET = 0.03, 0.3, 0.75
_BATCH = 10  # sites that one client measures at the same time
_AT_ONCE = 16  # clients


class Innocent(msgspec.Struct, kw_only=True):
    """Uncensored sites: every outcome, and what was wrongly called interference."""

    measured: int = 0
    slow: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    wrong: list[str] = msgspec.field(default_factory=list)


class Flaky(msgspec.Struct, kw_only=True):
    """The site that is reset: of those whose first look failed, how many were called blocked by name."""

    measured: int = 0
    failed_first: int = 0
    found: int = 0
    missed: list[str] = msgspec.field(default_factory=list)


def innocent_scenarios(measurements: int) -> Iterator[Scenario]:
    """Sites of the crowd, three in ten of them slow, each time over another line that loses 3 % each way."""
    slow_every = round(1 / SLOW, 3)
    for number in range(0, measurements, _BATCH):
        urls = []
        for n in range(number, min(number + _BATCH, measurements)):
            slow = int((n + 1) / slow_every) > int(n / slow_every)
            urls.append(f"https://{crowd_name(n % CROWD, slow=slow)}/")
        yield Scenario(
            name=f"innocent {number}", url=urls[0], also=tuple(urls[1:]), loss=LOSS, seed=number, timeout=5.0
        )


def flaky_scenarios(measurements: int) -> Iterator[Scenario]:
    """One site, each time from another client; a reset leaves residual blocking in every second of them."""
    for number in range(measurements):
        residual = 180.0 if number % 2 else 0.0
        rule = rules.sni_reset(
            "site.example", probability=RESET, residual=residual, kind=("I", "II", "III")[number % 3]
        )
        yield Scenario(name=f"flaky {number}", rules=(rule,), seed=number)


def count_innocent(answers: Iterable[Answer], seen: Innocent) -> None:
    """Add what was found."""
    for answer in answers:
        assert answer.played is not None, answer.fault
        played = answer.played
        seen.measured += 1
        seen.slow += "://n" not in played.url
        outcome = played.verdict.outcome
        seen.outcomes[outcome] += 1
        if outcome in INTERFERED:
            seen.wrong.append(f"{played.url}: {outcome} {played.verdict.technique}: {played.verdict.reason}")


def count_flaky(answers: Iterable[Answer], seen: Flaky) -> None:
    """Add what was found."""
    for answer in answers:
        assert answer.played is not None, answer.fault
        verdict, measurement = answer.played.verdict, answer.played.measurement
        seen.measured += 1
        if any(isinstance(op, HTTPRoundTrip) and op.status and not op.attempt for op in measurement.operations):
            continue
        seen.failed_first += 1
        if verdict.outcome == "blocked" and (verdict.technique or "").endswith(".sni"):
            seen.found += 1
        else:
            seen.missed.append(f"{answer.name}: {verdict.outcome} {verdict.technique}: {verdict.reason}")


class Table(msgspec.Struct, kw_only=True):
    """All scenarios: (to be found, found) by outcome; techniques to be found, and those found exactly."""

    outcomes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    techniques: int = 0
    exact: int = 0
    wrong: list[str] = msgspec.field(default_factory=list)


def count_scenarios(answers: Iterable[Answer], seen: Table) -> None:
    """Add what was found; only the URL that a scenario is about counts."""
    about = {s.name: s for s in SCENARIOS}
    for answer in answers:
        assert answer.played is not None, answer.fault
        scenario, verdict = about[answer.name], answer.played.verdict
        if answer.played.url != scenario.url:
            continue
        seen.outcomes[scenario.outcome, verdict.outcome] += 1
        seen.techniques += scenario.technique is not None
        seen.exact += scenario.technique is not None and verdict.technique == scenario.technique
        if (verdict.outcome, verdict.technique) != (scenario.outcome, scenario.technique):
            seen.wrong.append(f"{answer.name}: {verdict.outcome} {verdict.technique}")


def report(innocent: Innocent, flaky: Flaky, table: Table, *, took: float, commit: str) -> str:
    """docs/accuracy.md."""
    share = flaky.found / max(1, flaky.failed_first)
    outcomes = ", ".join(f"{innocent.outcomes[o]} `{o}`" for o in reversed(OUTCOMES) if innocent.outcomes[o])
    lines = [
        "# Accuracy", "",
        "Measured in the lab of `tests/network`: namespaces on one machine, real servers, a censor of our own on the path.",
        "It says how the rules do on that network; the Internet has more ways to fail. Made by `make accuracy` on",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, in {took:.0f} s.", "",
        "## Sites that nobody censors", "",
        f"{innocent.measured} measurements of sites over lines that lose {LOSS:.0%} of all packets each way, {innocent.slow} of",
        f"them of slow sites (3 kB/s, or a late start as well): {outcomes}. Called `blocked`, `likely_blocked` or",
        f"`impaired`: **{len(innocent.wrong)}**.", "",
        "## A site that is reset in three of four connections", "",
        f"{flaky.measured} measurements, in every second of them with 180 s of residual blocking; in {flaky.failed_first} the first",
        f"look failed. Of these **{flaky.found}** ({share:.2%}) are `blocked` with `.sni`.", "",
        "## All scenarios", "",
        f"{sum(table.outcomes.values())} scenarios; outcome right in {sum(n for (a, b), n in table.outcomes.items() if a == b)}, the",
        f"technique exact in {table.exact} of {table.techniques}. Rows: what was to be found; columns: what was found.", "",
        "| | " + " | ".join(f"`{o}`" for o in OUTCOMES) + " |", "| --- " * (len(OUTCOMES) + 1) + "|",
        *(f"| `{row}` | " + " | ".join(str(table.outcomes[row, o] or "") for o in OUTCOMES) + " |" for row in OUTCOMES),
    ]  # fmt: skip
    wrong = [*innocent.wrong, *flaky.missed, *table.wrong]
    if wrong:
        lines += ["", "## What was wrong", "", *(f"- {line}" for line in wrong)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Play, print, and write where asked. Exit 1 where the promises are not kept."""
    parser = argparse.ArgumentParser(prog="accuracy")
    parser.add_argument("--share", type=float, default=1.0, help="of the measurements, 1.0: a thousand of each")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md")
    arguments = parser.parse_args()
    began = time.monotonic()
    innocent, flaky, table = Innocent(), Flaky(), Table()
    count_scenarios(_told("scenarios", lab_run(SCENARIOS)), table)
    many = list(innocent_scenarios(round(INNOCENT * arguments.share)))
    count_innocent(_told("innocent", lab_run(many, at_once=_AT_ONCE)), innocent)
    count_flaky(_told("flaky", lab_run(list(flaky_scenarios(round(FLAKY * arguments.share))), at_once=_AT_ONCE)), flaky)
    text = report(innocent, flaky, table, took=time.monotonic() - began, commit=_commit())
    sys.stdout.write(text)
    if arguments.write:
        (ROOT / "docs" / "accuracy.md").write_text(text)
    return 0 if kept(innocent, flaky) and not table.wrong else 1


def kept(innocent: Innocent, flaky: Flaky) -> bool:
    """Nothing innocent is called interfered with, and at least 99 % of the flaky filter's hits are found."""
    return not innocent.wrong and flaky.found >= 0.99 * flaky.failed_first > 0


def _told(what: str, answers: Iterable[Answer]) -> Iterator[Answer]:
    for number, answer in enumerate(answers, 1):
        if number % 50 == 0:
            sys.stderr.write(f"{what}: {number}\n")
        yield answer


def _commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())

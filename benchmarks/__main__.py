"""`python -m benchmarks [NAME…]`: run them and print the table."""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from . import agents, judging, matching, measurement, page, round, stalled, storing
from .row import Row
from .world import ROOT

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    measurement.NAME: measurement.run,
    round.NAME: round.run,
    judging.NAME: judging.run,
    matching.NAME: matching.run,
    storing.NAME: storing.run,
    stalled.NAME: stalled.run,
    page.NAME: page.run,
    agents.NAME: agents.run,
}


def main() -> int:
    """Print what it ran on, then a table with a line for each figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed, on loopback only.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    names: list[str] = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    load = f"{os.getloadavg()[0]:.1f} processes wanted a core in the minute before"
    print(f"Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Commit: {_commit()}.  ")
    print(f"Machine: {_processor()}, {os.cpu_count()} cores; {load}. Python {platform.python_version()}.\n")
    print("| What | Value | Unit | Promise | Command |\n| --- | ---: | --- | --- | --- |")
    for name in names:
        began = time.monotonic()
        for row in BENCHMARKS[name]():
            command = f"`python -m benchmarks {row.benchmark}`"
            print(f"| {row.name} | {row.figure} | {row.unit} | {row.promise} | {command} |")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        sys.stdout.flush()
    return 0


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())

"""Starts the lab from outside and reads what it finds; everything in it ends with it, whatever ends it."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from .kernel import unshare
from .play import Answer, Order
from .scenario import Scenario

ROOT = Path(__file__).absolute().parents[2]
AT_ONCE = 20


class LabError(RuntimeError):
    """The lab could not be opened, or ended before everything was played."""


def lab_run(
    scenarios: Sequence[Scenario] = (), *, looks: Sequence[str] = (), at_once: int = AT_ONCE
) -> Iterator[Answer]:
    """Play all of it in one lab; answers come as they are ready, one for each URL of each scenario.

    Scenarios may be written by hand or generated. Raises LabError with what the lab said.
    """
    order = Order(
        scenarios=[msgspec.structs.replace(s, check=None) for s in scenarios], looks=list(looks), at_once=at_once
    )
    with tempfile.TemporaryFile() as said:
        lab = subprocess.Popen(
            [*unshare(), sys.executable, "-m", "tests.network.play"], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=said,
        )  # fmt: skip
        try:
            assert lab.stdin is not None
            assert lab.stdout is not None
            with lab.stdin, lab.stdout:
                lab.stdin.write(msgspec.json.encode(order))
                lab.stdin.close()
                for line in lab.stdout:
                    yield msgspec.json.decode(line, type=Answer)
            if lab.wait(30):
                said.seek(0)
                raise LabError(said.read().decode(errors="replace")[-4000:])
        finally:
            lab.kill()
            lab.wait()

"""The player: builds the lab once, plays what it is told on stdin there, and prints a line of JSON for each result.

Runs inside `unshare`; `run` starts it.
"""

import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from monitor.engine import Setup

from . import fleet  # noqa: F401 - registers its look
from .lab import Lab
from .looks import take
from .scenario import Played, Scenario, base, play


class Order(msgspec.Struct, kw_only=True):
    """What is to be played: scenarios, and looks at the lab itself by name; so many at once."""

    scenarios: list[Scenario] = []
    looks: list[str] = []
    at_once: int = 8


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line: a measurement, what a look saw, or why there is neither."""

    name: str
    played: Played | None = None
    seen: dict[str, Any] | None = None
    fault: str = ""


def main() -> None:
    """Read the order, open the lab, play."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not come between
    lock = threading.Lock()

    def say(answer: Answer) -> None:
        with lock:
            out.write(msgspec.json.encode(answer) + b"\n")
            out.flush()

    def scenario(lab: Lab, made: Setup, one: Scenario) -> None:
        _guarded(one.name, say, lambda: [Answer(name=p.name, played=p) for p in play(lab, made, one)])

    def look(lab: Lab, name: str) -> None:
        _guarded(name, say, lambda: [Answer(name=name, seen=take(lab, name))])

    with Lab() as lab, ThreadPoolExecutor(order.at_once) as pool:
        made = base(lab)
        gc.freeze()
        for name in order.looks:
            pool.submit(look, lab, name)
        for one in order.scenarios:
            pool.submit(scenario, lab, made, one)


def _guarded(name: str, say: Callable[[Answer], None], work: Callable[[], Iterable[Answer]]) -> None:
    """Say what came of it; a fault is told to who waits for this name."""
    try:
        for answer in work():
            say(answer)
    except BaseException:  # noqa: BLE001 - a thread's exception would be lost
        say(Answer(name=name, fault=traceback.format_exc()))


if __name__ == "__main__":
    main()

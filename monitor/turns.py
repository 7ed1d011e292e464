"""Long work in a thread that leaves room for others.

Where one thread computes for long, Python takes the interpreter from it at most every few milliseconds; and whoever
gives it back of itself all the time, as SQLite does at each step and a socket at each write, waits as long each time. A
transaction of 6 ms took 200 ms beside a page that was being made.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
WORK, REST = 0.001, 0.002  # seconds


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """The items; after each millisecond of work all other threads have two. Not for the event loop's thread."""
    until = time.monotonic() + WORK
    for item in items:
        yield item
        if time.monotonic() > until:
            time.sleep(REST)
            until = time.monotonic() + WORK

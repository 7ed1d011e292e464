"""Which targets are being measured, and which were when: shared by schedules that follow each other."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

Pair = tuple[str, str]  # target, vantage


class Underway:
    """Lives as long as the process: what one schedule has under way or has measured, the next does not repeat."""

    def __init__(self) -> None:
        self._ended: dict[Pair, asyncio.Event] = {}  # of what is under way; set when it is stored
        self._began: dict[Pair, datetime] = {}  # when the newest finished measurement of a pair began

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._ended

    def ended(self, pair: Pair) -> asyncio.Event:
        """Set when the measurement that is under way is stored."""
        return self._ended[pair]

    def measured_since(self, pair: Pair, moment: datetime) -> bool:
        """Whether a measurement that began then or later has been stored by this process."""
        began = self._began.get(pair)
        return began is not None and began >= moment

    @contextmanager
    def begin(self, pair: Pair) -> Iterator[None]:
        """While a pair is being measured."""
        self._ended[pair] = event = asyncio.Event()
        try:
            yield
        finally:
            del self._ended[pair]
            event.set()

    def stored(self, pair: Pair, began: datetime) -> None:
        """Note a measurement that began at a time."""
        self._began[pair] = began

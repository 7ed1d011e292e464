"""What all measurements from outside share: the pace, how many run at once, who is unfit, which answers are proved."""

import asyncio
from hashlib import sha256

from blocklists.places import Place
from probes.clock import Clock

from .pace import Pacer

AT_ONCE = 8  # measurements from outside; more would only wait for each other at the same few addresses
REMEMBERED = 3600.0  # seconds for which an unfit place is not contacted, and a proved address is taken for proved


class Outside:
    """Lives as long as the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.pacer = Pacer(clock)
        self.places = asyncio.Semaphore(AT_ONCE)
        self._unfit: dict[tuple[str, int], tuple[float, str]] = {}  # address, port -> until (monotonic), why
        self._proved: dict[tuple[str, str], float] = {}  # control name, address -> until (monotonic)

    def in_turn(self, places: tuple[Place, ...], key: str) -> tuple[Place, ...]:
        """The fit ones, in an order by hash: another key has others in front, so that all are used over time."""
        fit = [p for p in places if not self.why_unfit(p.address, p.port)]
        return tuple(sorted(fit, key=lambda p: sha256(f"{key} {p.address} {p.port}".encode()).digest()))

    def unfit(self, address: str, port: int, why: str) -> None:
        """Do not contact it for an hour."""
        now = self._clock.monotonic()
        self._unfit = {key: entry for key, entry in self._unfit.items() if entry[0] > now}
        self._unfit[address, port] = (now + REMEMBERED, why)

    def why_unfit(self, address: str, port: int) -> str:
        """Empty where it is fit."""
        until, why = self._unfit.get((address, port), (0.0, ""))
        return why if until > self._clock.monotonic() else ""

    def prove(self, name: str, address: str) -> None:
        """A control name's certificate was seen at the address."""
        now = self._clock.monotonic()
        self._proved = {key: until for key, until in self._proved.items() if until > now}
        self._proved[name, address] = now + REMEMBERED

    def proved(self, name: str) -> frozenset[str]:
        """Addresses at which a control name's certificate was seen in the last hour."""
        now = self._clock.monotonic()
        return frozenset(a for (known, a), until in self._proved.items() if known == name and until > now)

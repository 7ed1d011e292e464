"""The notebook of one measurement: its clock, the operations in the order they ended, and the ears left open."""

from collections.abc import Callable
from typing import Self

import msgspec

from .clock import Clock
from .network import Network


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recorded step. Subclasses are `DNSLookup`, `TCPConnect`, `TLSHandshake`, `QUICHandshake`,
    `HTTPRoundTrip`.

    `started` and `finished` are seconds since the measurement began, on the monotonic clock; `failure` is an
    OONI failure string (df-007) or None; `hop` counts redirects from 0; `attempt` is 0 for the first look.
    """

    started: float
    finished: float
    failure: str | None = None
    hop: int = 0
    attempt: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one operation may cost: seconds, and bytes taken from the network."""

    timeout: float = 10.0
    dns_timeout: float = 4.0  # OONI's web_connectivity waits as long
    listen: float = 2.0  # after the first DNS answer; forged answers precede the true one by < 364 ms (ICLab)
    handshake_bytes: int = 128 * 1024  # a long chain is some 10 KB
    header_bytes: int = 64 * 1024
    body_bytes: int = 512 * 1024  # OONI's web_connectivity reads as much
    redirects: int = 10


class Trace:
    """Records the operations of one measurement. Not shared between measurements."""

    def __init__(self, network: Network, clock: Clock | None = None, limits: Limits | None = None) -> None:
        self.network = network
        self.clock = clock or Clock()
        self.limits = limits or Limits()
        self.began = self.clock.now()
        self.operations: list[Operation] = []
        self.certificates: dict[str, bytes] = {}  # sha256 -> DER
        self.bodies: dict[str, bytes] = {}  # sha256 -> body as received, up to the limit
        self.attempt = 0
        self._zero = self.clock.monotonic()
        self._flows = 0
        self._ears: list[tuple[Callable[[], Operation], Operation]] = []
        self._listen_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def branch(self) -> "Trace":
        """A notebook for one try of an experiment: the same clock, network and limits, its own operations."""
        other = Trace(self.network, self.clock, self.limits)
        other.began, other._zero = self.began, self._zero
        other.certificates, other.bodies = self.certificates, self.bodies
        return other

    def now(self) -> float:
        """Seconds since the measurement began."""
        return round(self.clock.monotonic() - self._zero, 6)

    def flow(self) -> int:
        """A number for a new connection; its TCP, TLS and HTTP operations share it."""
        self._flows += 1
        return self._flows

    def record(self, operation: Operation) -> None:
        """Keep an operation that has ended."""
        self.operations.append(operation)

    def listen(self, until: float, finish: Callable[[], Operation], *, now: Operation) -> None:
        """Leave an ear open: at `until` (as `now()`), `finish` gives the operation with all that was heard.

        `now` is the operation as it stands.
        """
        self._listen_until = max(self._listen_until, until)
        self._ears.append((finish, now))

    def pending(self) -> list[Operation]:
        """The operations whose ears are still open, as far as they have come."""
        return [now for _finish, now in self._ears]

    async def settle(self) -> None:
        """Wait until every ear has listened long enough, then record what was heard. Needs no slot."""
        if self._ears:
            await self.clock.sleep(self._listen_until - self.now())
        self.close()

    def close(self) -> None:
        """Record what the open ears have heard so far, and shut them."""
        for finish, _now in self._ears:
            self.operations.append(finish())
        self._ears.clear()

"""What every measurement shares: the limits, the control, the table of rest, and who is contacted at present."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from blocklists import Fingerprints, Target
from monitor.judge.analyze import judge
from monitor.judge.observe import observe
from probes.certificate import Authorities
from probes.clock import Clock
from probes.followup.search import Platform
from probes.measurement import SelfTest
from probes.trace import Limits, Trace

from .control import Control
from .experiments import Means
from .gate import Gate
from .listeners import Listeners
from .outside import Outside
from .phrase import measure_phrase
from .remote import measure_remote
from .residual import Residual
from .seat import Seat
from .self_test import SelfTester
from .slots import Slots
from .vantage import Vantage
from .work import Result, Work, uid_of

_NO_LIMIT = 1 << 20  # slots, where nobody bounds them
HISTORY = 10  # measurements: a target blocked in one of them is followed up whatever the first look says (row 27)
WasBlocked = Callable[[str, str], Awaitable[bool]]  # target, vantage: blocked in one of its last HISTORY measurements


class Collector:
    """Makes measurements. `slots` bounds how many are on the network at once; waiting and listening hold none."""

    def __init__(
        self,
        *,
        authorities: Authorities,
        control: Control,
        tester: SelfTester,
        residual: Residual,
        fingerprints: Fingerprints,
        limits: Limits,
        clock: Clock,
        retries: int = 3,
        slots: Slots | None = None,
        simulated: bool = False,
        silent: str = "",
        searches: Sequence[Platform] = (),
        path: bool = False,
        was_blocked: WasBlocked | None = None,
    ) -> None:
        self.authorities, self.control, self.tester = authorities, control, tester
        self.residual, self.fingerprints = residual, fingerprints
        self.limits, self.clock, self.retries = limits, clock, retries
        self.slots = slots or Slots(_NO_LIMIT)
        self.gate = Gate()
        self.outside = Outside(clock)
        self.simulated = simulated
        self.silent, self.searches, self.path = silent, tuple(searches), path
        self.was_blocked = was_blocked or _never
        self.listeners = Listeners(residual)
        self.quic_missed: dict[str, set[str]] = {}  # egress -> addresses where no name came through over QUIC
        self.without_quic: dict[str, float] = {}  # egress -> until when (monotonic) nobody tries it there

    async def _measure_phrase(self, target: Target, vantage: Vantage) -> Result:
        trace = Trace(vantage.network, self.clock, self.limits)
        async with Seat(self.slots):
            made = await measure_phrase(
                target, vantage, trace, uid=uid_of(trace.began), control=self.control, tester=self.tester,
                means=self.means(()),
            )  # fmt: skip
        return Result(made, judge(observe(made, self.fingerprints)))

    def means(self, good: Sequence[str]) -> Means:
        """What experiments need of it; `good`: control names that the vantage's test has just reached."""
        return Means(
            authorities=self.authorities, gate=self.gate, listeners=self.listeners, 
            controls=tuple(h for h in self.tester.hosts if h in good) or self.tester.hosts,
            silent=self.silent, searches=self.searches,
        )  # fmt: skip

    def noted(self, test: SelfTest, vantage: Vantage) -> SelfTest:
        """A self-test with what measurements found out: that no name comes through over QUIC there (row 30)."""
        return test if self.has_quic(vantage) else msgspec.structs.replace(test, quic=False)

    def has_quic(self, vantage: Vantage) -> bool:
        """Whether QUIC is tried there at present."""
        return self.clock.monotonic() >= self.without_quic.get(vantage.egress, 0.0)

    async def measure(self, target: Target, vantage: Vantage) -> Result:
        """Measure a target now. Takes seconds where all is well, a minute and more where it is not."""
        if vantage.remote is not None:
            return await measure_remote(target, vantage, self)
        if not target.url:
            return await self._measure_phrase(target, vantage)
        return await Work(self, target, vantage).run()


async def _never(_target: str, _vantage: str) -> bool:
    return False

"""One measurement: look, suspect, look again, judge. Facts come from `probes`, every decision from `judge`."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from blocklists import Fingerprints, Target
from monitor.judge.analyze import judge
from monitor.judge.followup import Wanted, undecided, wanted
from monitor.judge.observe import Case, observe
from monitor.judge.suspects import Suspicion, suspects, touched
from monitor.judge.verdict import INTERFERED, Verdict
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import ControlReply, Measurement, SelfTest
from probes.trace import Limits, Trace
from probes.url import URL, join, parse_url
from probes.web import Plan, open_page

from .control import Control
from .experiments import Experiments, Means
from .gate import Gate
from .listeners import Listeners, lent
from .phrase import measure_phrase
from .residual import Residual
from .seat import Seat
from .self_test import SelfTester
from .slots import Slots
from .vantage import Vantage

_SUSPICIOUS = frozenset({"ambiguous", "no_control", "control_failed"})
_NO_LIMIT = 1 << 20  # slots, where nobody bounds them
HISTORY = 10  # measurements: a target blocked in one of them is followed up whatever the first look says (row 27)
WasBlocked = Callable[[str, str], Awaitable[bool]]  # target, vantage: blocked in one of its last HISTORY measurements
ROUNDS_APART = 61.0  # seconds between the two rounds that a resolver's refusal needs (judgement row 12)


class Result(msgspec.Struct, frozen=True):
    """A measurement and what the rules conclude from it."""

    measurement: Measurement
    verdict: Verdict


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
        was_blocked: WasBlocked | None = None,
    ) -> None:
        self.authorities, self.control, self.tester = authorities, control, tester
        self.residual, self.fingerprints = residual, fingerprints
        self.limits, self.clock, self.retries = limits, clock, retries
        self.slots = slots or Slots(_NO_LIMIT)
        self.gate = Gate()
        self.simulated = simulated
        self.silent = silent
        self.was_blocked = was_blocked or _never
        self.listeners = Listeners(residual)

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
            silent=self.silent,
        )  # fmt: skip

    async def measure(self, target: Target, vantage: Vantage) -> Result:
        """Measure a target now. Takes seconds where all is well, a minute and more where it is not."""
        if not target.url:
            return await self._measure_phrase(target, vantage)
        return await _Work(self, target, vantage).run()


class _Work:
    """A measurement while it is made."""

    def __init__(self, collector: Collector, target: Target, vantage: Vantage) -> None:
        self.c, self.target, self.vantage = collector, target, vantage
        self.url: URL = parse_url(target.url)
        self.trace = Trace(vantage.network, collector.clock, collector.limits)
        self.uid = uid_of(self.trace.began)
        self.replies: list[ControlReply] = []
        self.tests: list[SelfTest] = []
        self.experiments: Experiments | None = None
        self._mine: set[tuple[str, int]] = set()
        self.plan = Plan(
            resolvers=vantage.resolvers, authorities=collector.authorities, expect=target.expect,
            advise=self._advise, refuse=self._refuse, gate=collector.gate,
        )  # fmt: skip

    async def run(self) -> Result:
        async with self._seat():
            _at, test = await self.c.tester.test(self.vantage, since=self.c.clock.monotonic() - 300.0)
            self.tests.append(test)
            await open_page(self.trace, self.url, self.plan)
        await self.trace.settle()
        case = self._case()
        await self._ask_about_hop(case, attempt=0)
        suspicion = suspects(case)
        if suspicion is None and await self.c.was_blocked(self.target.name, self.vantage.name):
            suspicion = Suspicion()
        if suspicion is not None:
            await self._let_rest(case)  # nobody else shall go there while we look again
            await self._look_again(suspicion, case)
            case = self._case()
        elif wanted(case, suspicious=False).anything:
            await self._look_closer(case)
            case = self._case()
        elif not case.first.reached:
            await self._test_again()
            case = self._case()
        verdict = judge(case)
        if verdict.outcome in INTERFERED or verdict.cause in _SUSPICIOUS:
            await self._let_rest(case)
        return Result(case.measurement, verdict)

    def _seat(self) -> Seat:
        seat = Seat(self.c.slots)
        self.plan.leave, self.plan.back = seat.leave, seat.back
        return seat

    async def _look_again(self, suspicion: Suspicion, first: Case) -> None:
        """Further tries and experiments, the control before and after, and the vantage's own test at the end."""
        await self._ask_again(attempt=0)
        self.experiments = Experiments(self.c.means(self._good_names()), self.vantage, self.trace, self.uid)
        plan = wanted(self._case(), suspicious=True)
        async with asyncio.TaskGroup() as group:
            silent = [r.silent for r in self.replies]
            group.create_task(self.experiments.at_listeners(plan, lent(self.replies), silent))
            group.create_task(self._try_again(suspicion, plan))
        await self.experiments.more_at_own(plan, undecided(self._case()))
        await self._ask_again(attempt=max(1, self.c.retries))
        await self._ask_about_hop(first, attempt=max(1, self.c.retries))
        await self.trace.settle()
        await self._test_again()

    async def _look_closer(self, case: Case) -> None:
        """The plain client reached the site; QUIC failed, or the page came slowly."""
        self.experiments = Experiments(self.c.means(self._good_names()), self.vantage, self.trace, self.uid)
        plan = wanted(case, suspicious=False)
        await self.experiments.at_listeners(plan, lent(self.replies), [r.silent for r in self.replies])
        await self._test_again()

    def _good_names(self) -> tuple[str, ...]:
        return self.tests[-1].secured or self.tests[-1].opened

    async def _try_again(self, suspicion: Suspicion, plan: Wanted) -> None:
        """The plain client's further tries, an innocuous one at the same address before each."""
        self.plan.again = suspicion.again
        self.plan.advise = _no_control
        for attempt in range(1, self.c.retries + 1):
            if suspicion.apart and attempt == max(1, self.c.retries - 1):
                await self.c.clock.sleep(ROUNDS_APART)
            if self.experiments is not None:
                await self.experiments.before_try(plan)
            self.trace.attempt = attempt
            async with self._seat():
                await open_page(self.trace, self.url, self.plan)

    async def _test_again(self) -> None:
        _at, test = await self.c.tester.test(self.vantage, since=self.c.clock.monotonic() - 5.0)
        self.tests.append(msgspec.structs.replace(test, at=self.trace.now()))

    async def _ask_again(self, *, attempt: int) -> None:
        addresses = sorted(self.plan.met)
        self._keep(await self.c.control.ask(self.url, addresses, fresh=True), hop=0, attempt=attempt)

    async def _ask_about_hop(self, case: Case, *, attempt: int) -> None:
        """Where a redirect's hop fails, the control is asked for that hop's URL (row 15)."""
        first = case.first
        if first.hop == 0 or first.reached or not self.c.control.configured:
            return
        location = next((p.location for p in case.pages.values() if p.hop == first.hop - 1 and p.location), "")
        if first.seen is not None and not first.seen.address:
            return
        url = _joined(case, first.hop, location)
        addresses = [o.address for o in case.contacts(first.hop)]
        self._keep(await self.c.control.ask(url, addresses, fresh=True), hop=first.hop, attempt=attempt)

    async def _advise(self, url: URL, addresses: list[str], hop: int) -> frozenset[str]:
        """Ask the control about the target's own URL while the plain client is at work."""
        if hop > 0 or not self.c.control.configured:
            return frozenset()
        replies = await self.c.control.ask(url, addresses)
        self._keep(replies, hop=0, attempt=0)
        vouched = frozenset(a for r in replies for a in r.addresses)
        self.plan.vouched = vouched
        return vouched

    def _keep(self, replies: list[ControlReply], *, hop: int, attempt: int) -> None:
        now = self.trace.now()
        self.replies += [msgspec.structs.replace(r, at=now, hop=hop, attempt=attempt) for r in replies]

    def _refuse(self, address: str, port: int) -> str:
        if (address, port) in self._mine:  # contacted before anybody's rest began: our own tries go on
            return ""
        refusal = self.c.residual.refusal(self.vantage.egress, address, port, uid=self.uid)
        if not refusal:
            self._mine.add((address, port))
        return refusal

    async def _let_rest(self, case: Case) -> None:
        for address, port in sorted(touched(case)):
            await self.c.residual.rest(self.vantage.egress, address, port, uid=self.uid)

    def _case(self) -> Case:
        return observe(self._measurement(), self.c.fingerprints)

    def _measurement(self) -> Measurement:
        return Measurement(
            uid=self.uid, time=self.trace.began, target=self.target.name, url=str(self.url), vantage=self.vantage.facts,
            site=self.target.site, category=self.target.category, expect=self.target.expect,
            operations=tuple(self.trace.operations),  # type: ignore[arg-type]
            experiments=self.experiments.so_far() if self.experiments else (), control=tuple(self.replies),
            control_configured=self.c.control.configured, self_tests=tuple(self.tests), duration=self.trace.now(),
            bodies=dict(self.trace.bodies), certificates=dict(self.trace.certificates),
        )  # fmt: skip


async def _never(_target: str, _vantage: str) -> bool:
    return False


async def _no_control(_url: URL, _addresses: list[str], _hop: int) -> frozenset[str]:
    return frozenset()


def _joined(case: Case, hop: int, location: str) -> URL:
    before = next(p.url for p in case.pages.values() if p.hop == hop - 1 and p.location == location)
    return join(parse_url(before), location)


def uid_of(moment: datetime) -> str:
    """`20260131T120000.123456Z-1f2e3d4c5b6a`: sorts by time, and is unique."""
    return f"{moment:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(6)}"

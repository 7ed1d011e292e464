"""One measurement while it is made: look, suspect, look again. `probes` give the facts, `judge` every decision."""

import asyncio
import secrets
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from blocklists import Target
from monitor.judge.analyze import judge
from monitor.judge.followup import Wanted, is_cut_for_all, once_more, quic_is_dropped, triggers, undecided, wanted
from monitor.judge.observe import Case, observe
from monitor.judge.suspects import Suspicion, suspects, touched
from monitor.judge.verdict import INTERFERED, Verdict
from probes.address import is_name
from probes.dns import DNSLookup
from probes.experiment import Experiment
from probes.measurement import ControlReply, Measurement, NeutralEndpoint, SelfTest
from probes.packets import Flow
from probes.trace import Trace
from probes.url import URL, join, parse_url
from probes.web import Plan, open_page

from .experiments import Experiments
from .listeners import lent
from .seat import Seat
from .vantage import Vantage

if TYPE_CHECKING:
    from .collect import Collector

_SUSPICIOUS = frozenset({"ambiguous", "no_control", "control_failed"})
NO_QUIC = 3600.0  # seconds for which a vantage where UDP is dropped for every name is not asked again (row 30)
QUIC_SITES = 3  # addresses at which not even an innocuous name came through, and none at which one did
ROUNDS_APART = 61.0  # seconds from the first look to the last two tries, where a resolver refuses (judgement row 12)


class Result(msgspec.Struct, frozen=True):
    """A measurement and what the rules conclude from it."""

    measurement: Measurement
    verdict: Verdict


class Work:
    """A measurement while it is made."""

    def __init__(self, collector: "Collector", target: Target, vantage: Vantage) -> None:
        self.c, self.target, self.vantage = collector, target, vantage
        self.url: URL = parse_url(target.url)
        self.trace = Trace(vantage.network, collector.clock, collector.limits)
        self.uid = uid_of(self.trace.began)
        self.replies: list[ControlReply] = []
        self.lent: tuple[NeutralEndpoint, ...] = ()
        self.tests: list[SelfTest] = []
        self.experiments: Experiments | None = None
        self.flows: tuple[Flow, ...] = ()
        self.pcap = b""
        self._mine: set[tuple[str, int]] = set()
        self.plan = Plan(
            resolvers=vantage.resolvers, authorities=collector.authorities, expect=target.expect,
            advise=self._advise, refuse=self._refuse, gate=collector.gate, quic=self._has_quic(),
        )  # fmt: skip

    async def run(self) -> Result:
        """Make it, and judge it."""
        async with self._seat():
            _at, test = await self.c.tester.test(self.vantage, since=self.c.clock.monotonic() - 300.0)
            self.tests.append(self.c.noted(test, self.vantage))
            await open_page(self.trace, self.url, self.plan)
        await self.trace.settle()
        case = self._case()
        await self._ask_about_hop(case, attempt=0)
        suspicion = suspects(case)
        doubt = suspicion is None and case.first.failure and case.reference.answered
        if doubt and self.c.control.knows_another(self.replies):  # one control's word is not enough
            await self._ask_again(attempt=0)
            case = self._case()
            suspicion = suspects(case)
        if suspicion is None and await self.c.was_blocked(self.target.name, self.vantage.name):
            suspicion = Suspicion()
        if suspicion is not None:
            await self._let_rest(case)  # nobody else shall go there while we look again
            await self._look_again(suspicion, case)
            case = self._case()
        elif (plan := wanted(case, suspicious=is_cut_for_all(case))).anything:
            await self._look_closer(plan)
            case = self._case()
        elif not case.first.reached:
            await self._test_again()
            case = self._case()
        verdict = judge(case)
        if verdict.outcome in INTERFERED or verdict.cause in _SUSPICIOUS:
            await self._let_rest(case)
        return Result(case.measurement, verdict)

    def _has_quic(self) -> bool:
        return self.c.has_quic(self.vantage)

    def _seat(self) -> Seat:
        seat = Seat(self.c.slots)
        self.plan.leave, self.plan.back = seat.leave, seat.back
        return seat

    async def _look_again(self, suspicion: Suspicion, first: Case) -> None:
        """Further tries and experiments, the control before and after, and the vantage's own test at the end."""
        await self._ask_again(attempt=0)
        with self._begin_experiments() as experiments:
            plan = wanted(self._case(), suspicious=True)
            silent = [r.silent for r in self.replies]
            async with asyncio.TaskGroup() as group:
                group.create_task(experiments.at_listeners(plan, self.lent, silent))
                group.create_task(self._try_again(suspicion, plan, experiments))
            case = self._case()
            await experiments.more_at_own(plan, undecided(case))
            await experiments.at_listeners(once_more(case, plan), self.lent, silent)
            if self.c.path:
                for trigger, sent in triggers(self._case()):
                    await experiments.on_the_way(trigger, sent, self.lent, silent)
            await self.trace.settle()
            self._read_packets(experiments)
        await self._ask_again(attempt=max(1, self.c.retries))
        await self._ask_about_hop(first, attempt=max(1, self.c.retries))
        await self._test_again()

    def _begin_experiments(self) -> Experiments:
        good = self.tests[-1].secured or self.tests[-1].opened
        self.experiments = Experiments(self.c.means(good), self.vantage, self.trace, self.uid, self.url)
        self.experiments.watch(self.plan.met)
        return self.experiments

    def _read_packets(self, experiments: Experiments) -> None:
        tried = (op for e in experiments.so_far() for t in e.tries for op in t.operations)
        self.flows, self.pcap = experiments.packets((*self.trace.operations, *tried))  # type: ignore[arg-type]

    async def _look_closer(self, plan: Wanted) -> None:
        """No further tries, only experiments: QUIC failed, the page came slowly, or the control is cut off too."""
        with self._begin_experiments() as experiments:
            await experiments.at_listeners(plan, self.lent, [r.silent for r in self.replies])
            self._read_packets(experiments)
        self._note_quic(experiments.so_far())
        await self._test_again()

    def _note_quic(self, made: tuple[Experiment, ...]) -> None:
        """Whether this way out has QUIC at all: told by one measurement, or without listeners by several sites."""
        innocuous = [t for e in made if e.kind == "quic" for t in e.tries if t.innocuous]
        missed = self.c.quic_missed.setdefault(self.vantage.egress, set())
        if any(t.failure is None for t in innocuous):
            missed.clear()
        else:
            missed.update(t.address for t in innocuous)
        if quic_is_dropped(made) or len(missed) >= QUIC_SITES:
            self.c.without_quic[self.vantage.egress] = self.c.clock.monotonic() + NO_QUIC
            missed.clear()

    async def _try_again(self, suspicion: Suspicion, plan: Wanted, experiments: Experiments) -> None:
        """The plain client's further tries, an innocuous one at the same address before each."""
        self.plan.again = suspicion.again
        self.plan.advise = _no_control
        for attempt in range(1, self.c.retries + 1):
            if suspicion.apart and attempt == max(1, self.c.retries - 1):
                await self.c.clock.sleep(max(0.0, self._first_asked() + ROUNDS_APART - self.trace.now()))
            await experiments.before_try(plan)
            self.trace.attempt = attempt
            async with self._seat():
                await open_page(self.trace, self.url, self.plan)

    def _first_asked(self) -> float:
        """When the plain client first asked DNS, in seconds of the measurement."""
        return min((op.started for op in self.trace.operations if isinstance(op, DNSLookup)), default=0.0)

    async def _test_again(self) -> None:
        _at, test = await self.c.tester.test(self.vantage, since=self.c.clock.monotonic() - 5.0)
        self.tests.append(msgspec.structs.replace(self.c.noted(test, self.vantage), at=self.trace.now()))

    async def _ask_again(self, *, attempt: int) -> None:
        addresses = sorted(a for a in self.plan.met if not is_name(a))
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
        addresses = [o.address for o in case.contacts(first.hop) if not is_name(o.address)]
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
        self.lent = tuple(dict.fromkeys((*self.lent, *lent(replies))))  # no fact about the target, so not kept with it
        self.replies += [msgspec.structs.replace(r, at=now, hop=hop, attempt=attempt, neutral=()) for r in replies]

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
            experiments=self.experiments.so_far() if self.experiments else (), flows=self.flows, pcap=self.pcap,
            control=tuple(self.replies),
            control_configured=self.c.control.configured, self_tests=tuple(self.tests), duration=self.trace.now(),
            bodies=dict(self.trace.bodies), certificates=dict(self.trace.certificates),
        )  # fmt: skip


async def _no_control(_url: URL, _addresses: list[str], _hop: int) -> frozenset[str]:
    return frozenset()


def _joined(case: Case, hop: int, location: str) -> URL:
    before = next(p.url for p in case.pages.values() if p.hop == hop - 1 and p.location == location)
    return join(parse_url(before), location)


def uid_of(moment: datetime) -> str:
    """`20260131T120000.123456Z-1f2e3d4c5b6a`: sorts by time, and is unique."""
    return f"{moment:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(6)}"

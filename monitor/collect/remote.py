"""One measurement from outside: no plain client, only the experiments of the vantage's method, between two controls."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from blocklists import Target, site_of
from monitor.judge.analyze import judge
from monitor.judge.observe import observe
from probes.dns import DNSLookup
from probes.experiment import Experiment
from probes.measurement import ControlReply, Measurement, SelfTest
from probes.packets import Flow
from probes.remote.injection import injection
from probes.remote.resolvers import resolvers
from probes.remote.servers import FITTING, servers
from probes.remote.setting import RemoteSetting, Spot
from probes.remote.sink import sink
from probes.trace import Trace
from probes.url import URL, parse_url

from .experiments import Experiments
from .seat import Seat
from .vantage import Vantage
from .work import Result, uid_of

if TYPE_CHECKING:
    from .collect import Collector

BUDGET = 300.0  # seconds in which a try may begin; whoever shares few addresses with many waits
_INNOCUOUS = 2  # control names in one measurement
_PLACES = 12  # that a method may choose from

Method = Callable[[Trace, RemoteSetting], Awaitable[list[Experiment]]]
METHODS: dict[str, tuple[Method, frozenset[str]]] = {
    "injection": (injection, frozenset({"dns"})),
    "resolvers": (resolvers, frozenset({"dns"})),
    "servers": (servers, frozenset({"http", "https", "echo"})),
    "sink": (sink, frozenset({"http", "https"})),
}
"""Method -> its function, and the protocols of the places that it contacts."""
_OF_NAMES = frozenset({"injection", "resolvers"})  # methods that say nothing about a phrase or a bare address


async def measure_remote(target: Target, vantage: Vantage, collector: "Collector") -> Result:
    """Measure a target from outside now; the control is asked again where anything is not as it should be."""
    async with collector.outside.places:
        work = _Work(collector, target, vantage)
        async with Seat(collector.slots) as seat:
            await work.look(seat)
        result = work.result()
        if result.verdict.outcome != "ok" and work.made:
            await work.ask_again()
            result = work.result()
    return result


class _Work:
    """A measurement from outside while it is made."""

    def __init__(self, collector: "Collector", target: Target, vantage: Vantage) -> None:
        assert vantage.remote is not None
        self.c, self.target, self.vantage, self.remote = collector, target, vantage, vantage.remote
        self.url: URL | None = parse_url(target.url) if target.url else None
        self.trace = Trace(vantage.network, collector.clock, collector.limits)
        self.uid = uid_of(self.trace.began)
        self.replies: list[ControlReply] = []
        self.tests: list[SelfTest] = []
        self.made: list[Experiment] = []
        self.flows: tuple[Flow, ...] = ()
        self.pcap = b""

    async def look(self, seat: Seat) -> None:
        """The measuring side's own test, the control, and the method."""
        _at, test = await self.c.tester.test(self.vantage, since=self.c.clock.monotonic() - 300.0)
        self.tests.append(msgspec.structs.replace(test, quic=None))
        name = self.url.host if self.url is not None and not self.url.is_address else ""
        if self.url is not None and self.c.control.configured:
            self._keep(await self.c.control.ask(self.url, []), attempt=0)
        method, protocols = METHODS[self.remote.method]
        if not name and self.remote.method in _OF_NAMES:
            return
        innocuous = self._innocuous(name, test)
        known = await self._known(name, innocuous)
        setting = self._setting(name, known, innocuous, protocols)
        setting = msgspec.structs.replace(setting, leave=seat.leave, back=seat.back)
        with Experiments(self.c.means(()), self.vantage, self.trace, self.uid, self.url) as watcher:
            watcher.watch(spot.address for spot in setting.places if self.remote.method not in _OF_NAMES)
            self.made = await method(self.trace, setting)
            if any(t.failure is not None and not t.innocuous for e in self.made for t in e.tries):
                made = (op for e in self.made for t in e.tries for op in t.operations)
                self.flows, self.pcap = watcher.packets(made)
        for experiment in self.made:
            for attempt in experiment.tries:
                if experiment.kind == "certificate" and attempt.innocuous and attempt.failure is None:
                    self.c.outside.prove(attempt.sent, attempt.address)

    def _setting(
        self, name: str, known: dict[str, frozenset[str]], innocuous: tuple[str, ...], protocols: frozenset[str]
    ) -> RemoteSetting:
        c, egress = self.c, self.vantage.egress
        spoken = {"dns", *FITTING.get(self.url.scheme if self.url is not None else "", ())}
        places = tuple(p for p in self.remote.places if p.protocol in protocols & spoken)
        chosen = c.outside.in_turn(places, f"{self.target.name} {self.trace.began:%Y-%m-%d}")[:_PLACES]

        async def rest(address: str, port: int) -> None:
            await c.residual.rest(egress, address, port, uid=self.uid)

        return RemoteSetting(
            places=tuple(Spot(address=p.address, port=p.port, protocol=p.protocol) for p in chosen),
            name=name, innocuous=innocuous, until=self.trace.now() + BUDGET, authorities=c.authorities,
            url=str(self.url or ""), phrase=self.target.phrase, contact=self.remote.contact, known=known,
            gate=c.gate, turn=c.outside.pacer.turn, rest=rest,
            refusal=lambda address, port: c.residual.refusal(egress, address, port, uid=self.uid),
            unfit=lambda spot, why: c.outside.unfit(spot.address, spot.port, why),
        )  # fmt: skip

    def _innocuous(self, name: str, test: SelfTest) -> tuple[str, ...]:
        """Control names of other sites; the same ones for an hour, so that the control's word on them is shared."""
        good = self.c.means(test.secured or test.opened).controls
        key = f"{self.vantage.name} {self.trace.began:%Y-%m-%d %H}"
        others = sorted((c for c in good if site_of(c) != site_of(name)), key=lambda c: _hash(f"{key} {c}"))
        return tuple(others[:_INNOCUOUS]) or ("www.example.com",)

    async def _known(self, name: str, innocuous: tuple[str, ...]) -> dict[str, frozenset[str]]:
        """What the control gives for the name, and for control names; for these also what certificates have proved."""
        known = {name: _given(self.replies)}
        for other in innocuous if self.remote.method in _OF_NAMES else ():
            replies = await self.c.control.ask(self._url_of(other), []) if self.c.control.configured else []
            known[other] = _given(replies) | self.c.outside.proved(other)
        return known

    def _url_of(self, name: str) -> URL:
        urls = (parse_url(url) for url in self.c.tester.urls)
        return next((url for url in urls if url.host == name), parse_url(f"https://{name}/"))

    async def ask_again(self) -> None:
        """The control after the last try, about the addresses that were given too, and the measuring side's test."""
        if self.url is not None and self.c.control.configured:
            lookups = (op for e in self.made for t in e.tries if t.sent == self.url.host for op in t.operations)
            told = {a for op in lookups if isinstance(op, DNSLookup) for r in op.responses for a in r.addresses()}
            self._keep(await self.c.control.ask(self.url, sorted(told), fresh=True), attempt=1)
        _at, test = await self.c.tester.test(self.vantage, since=self.c.clock.monotonic() - 5.0)
        self.tests.append(msgspec.structs.replace(test, at=self.trace.now(), quic=None))

    def _keep(self, replies: list[ControlReply], *, attempt: int) -> None:
        now = self.trace.now()
        self.replies += [msgspec.structs.replace(r, at=now, attempt=attempt, neutral=()) for r in replies]

    def result(self) -> Result:
        """It, and what the rules conclude from it."""
        made = Measurement(
            uid=self.uid, time=self.trace.began, target=self.target.name, url=str(self.url or ""),
            vantage=self.vantage.facts, site=self.target.site, category=self.target.category,
            expect=self.target.expect, experiments=tuple(self.made), flows=self.flows, pcap=self.pcap,
            control=tuple(self.replies),
            control_configured=self.c.control.configured, self_tests=tuple(self.tests), duration=self.trace.now(),
            bodies=dict(self.trace.bodies), certificates=dict(self.trace.certificates),
        )  # fmt: skip
        return Result(made, judge(observe(made, self.c.fingerprints)))


def _given(replies: list[ControlReply]) -> frozenset[str]:
    return frozenset(a for reply in replies for a in reply.addresses)


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()

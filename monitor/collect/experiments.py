"""The experiments of one measurement: run beside the further tries, kept in the order in which they began."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Self

import msgspec

from blocklists import site_of
from monitor.judge.followup import Wanted
from probes.address import kind
from probes.capability import PACKETS, QUIC, UDP
from probes.certificate import Authorities
from probes.experiment import AnyOperation, Attempt, Experiment
from probes.followup.host import fetch_failure, host, phrase
from probes.followup.injection import injection
from probes.followup.pairs import Once, attempt, one_after_another
from probes.followup.path import Trigger, path
from probes.followup.quic import quic
from probes.followup.search import Platform, search
from probes.followup.setting import Endpoint, Setting
from probes.followup.sni import handshake_failure, sni
from probes.followup.throughput import throughput
from probes.measurement import NeutralEndpoint
from probes.packets import Flow
from probes.tcp import TCPConnect
from probes.trace import Limits, Trace
from probes.url import URL, parse_url

from .gate import Gate
from .listeners import Listeners
from .vantage import Vantage

BUDGET = 45.0  # seconds in which an experiment may begin a try; with its last try they end within 60
OWN_TIMEOUT = 5.0  # seconds for an innocuous try at the site's own address: it passes at once, or says nothing
PATH_BUDGET = 50.0  # seconds for the path, beside the others
USUAL_PATH = "/weather?today=1"
NEUTRAL_PHRASE = "weather forecast today"
LEFT_OUT_PROXY = "not possible through a proxy"


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What experiments need of the collector. `controls`: hosts of control sites that open from here; `silent`: an
    address as configured; `searches`: the platforms that are asked for phrases."""

    authorities: Authorities
    gate: Gate
    listeners: Listeners
    controls: tuple[str, ...]
    silent: str = ""
    searches: tuple[Platform, ...] = ()


class Experiments:
    """The experiments of one measurement while they are made."""

    def __init__(self, means: Means, vantage: Vantage, trace: Trace, uid: str, url: URL | None = None) -> None:
        self._means, self._vantage, self._trace, self._uid = means, vantage, trace, uid
        self._url = url
        self._capture = vantage.network.capture()
        self._until = trace.now() + BUDGET
        self._done: list[Experiment] = []
        self._own: dict[Endpoint, list[Attempt]] = {}
        self._own_kind = "sni"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._capture is not None:
            self._capture.close()

    def watch(self, addresses: Iterable[str]) -> None:
        """Keep the packets that are exchanged with these from now on, where this process may."""
        for address in addresses:
            if self._capture is not None:
                self._capture.watch(address)

    def packets(self, operations: Iterable[AnyOperation]) -> tuple[tuple[Flow, ...], bytes]:
        """The connections of these operations as they were on the wire, and the file of all that was kept."""
        if self._capture is None:
            return (), b""
        connects = [op for op in operations if isinstance(op, TCPConnect)]
        ours = {(op.address, op.port, op.local_port) for op in connects}
        failed = {(op.address, op.port) for op in connects if op.failure}
        flows = self._capture.flows(self._trace.began)
        kept = tuple(f for f in flows if (f.address, f.port, f.local_port) in ours or _unanswered(f, failed))
        return kept, self._capture.pcap() if self._capture.counts["kept"] else b""

    def so_far(self) -> tuple[Experiment, ...]:
        """Those that have ended, and what was tried at the site's own address."""
        own = [
            Experiment(kind=self._own_kind, place="own", started=tries[0].started, finished=tries[-1].finished,
                       tries=tuple(tries))
            for tries in self._own.values() if tries
        ]  # fmt: skip
        return tuple(sorted((*self._done, *own), key=lambda e: e.started))

    async def at_listeners(self, wanted: Wanted, lent: Sequence[NeutralEndpoint], silent: Iterable[str]) -> None:
        """Everything that does not touch the site itself, at the same time."""
        other = self._control_name(wanted.name)

        def neutral(use: str, sent: str, innocuous: str) -> Setting:
            return self._setting(lent, use, sent, innocuous)

        running: list[Awaitable[Experiment]] = []
        if wanted.sni:
            running.append(sni(self._trace, neutral("tls", wanted.name, other)))
        if wanted.host:
            running.append(host(self._trace, neutral("http", wanted.name, other)))
        if wanted.phrase:
            usual = USUAL_PATH if wanted.phrase.startswith("/") else NEUTRAL_PHRASE
            running.append(phrase(self._trace, neutral("http", wanted.phrase, usual)))
        if wanted.quic and not self._leave_out(QUIC, "quic", "neutral"):
            running.append(quic(self._trace, neutral("quic", wanted.name, other)))
            running.append(quic(self._trace, self._at_own(wanted, lambda: wanted.quic[0])))
        if wanted.injection and not self._leave_out(UDP, "injection", "silent"):
            running.append(injection(self._trace, self._silence(wanted.name, other, silent)))
        await self._gather(running)
        if wanted.throughput:  # last, and one after the other: they would share the line with everything else
            self._done.append(await throughput(self._trace, neutral("tls", wanted.name, other)))
            own = self._at_own(wanted, lambda: wanted.throughput[0])
            self._done.append(await throughput(self._trace, own, url=self._url))

    async def on_the_way(
        self, trigger: Trigger, sent: str, lent: Sequence[NeutralEndpoint], silent: Iterable[str]
    ) -> None:
        """At which hop somebody reacts."""
        if self._leave_out(PACKETS, "path", "silent" if trigger == "dns" else "neutral"):
            return
        self._until = self._trace.now() + PATH_BUDGET
        other = self._control_name(sent)
        if trigger == "dns":
            setting = self._silence(sent, other, silent)
        elif sent.startswith("/"):
            setting = self._setting(lent, "http", sent, USUAL_PATH)
        else:
            setting = self._setting(lent, trigger, sent, other)
        self._done.append(await path(self._trace, setting, trigger=trigger))

    async def at_platforms(self, phrase: str) -> None:
        """What the platforms' own searches give for a phrase; nothing where none is named in the configuration."""
        for made in await search(
            self._trace, self._means.searches, phrase, resolvers=self._vantage.resolvers,
            authorities=self._means.authorities, deadline=self._until, gate=self._means.gate,
        ):  # fmt: skip
            self._done.append(made)

    async def before_try(self, wanted: Wanted) -> None:
        """An innocuous try at each of the site's own endpoints in question, right before the name is tried again."""
        self._own_kind = "sni" if wanted.sni else "host"
        async with asyncio.TaskGroup() as group:
            for endpoint in wanted.own:
                tries = self._own.setdefault(endpoint, [])
                if not any(t.failure for t in tries):  # one that failed: the address itself, or the censor's memory
                    group.create_task(self._innocuous(endpoint, wanted, tries))

    async def more_at_own(self, wanted: Wanted, endpoints: Sequence[Endpoint]) -> None:
        """Further pairs where those of the tries left a doubt: with them there are six."""
        once = self._once(self._own_kind)
        for endpoint in endpoints:
            places = [endpoint] * 3
            setting = self._at_own(wanted, lambda: places.pop() if places else None)  # noqa: B023
            more = await one_after_another(self._trace, self._own_kind, setting, once)
            self._own[endpoint] += more.tries

    def keep(self, experiment: Experiment) -> None:
        """Add one that was made elsewhere."""
        self._done.append(experiment)

    def _leave_out(self, capability: str, kind: str, place: str) -> bool:
        """Whether the vantage's network cannot do what an experiment needs, which is then on record as left out."""
        if capability not in self._vantage.network.blind:
            return False
        now = self._trace.now()
        self._done.append(Experiment(kind=kind, place=place, started=now, finished=now, left_out=LEFT_OUT_PROXY))
        return True

    async def _gather(self, running: Sequence[Awaitable[Experiment]]) -> None:
        async def one(work: Awaitable[Experiment]) -> None:
            self._done.append(await work)

        async with asyncio.TaskGroup() as group:
            for work in running:
                group.create_task(one(work))

    async def _innocuous(self, endpoint: Endpoint, wanted: Wanted, tries: list[Attempt]) -> None:
        setting = self._at_own(wanted, lambda: endpoint)
        tries.append(await attempt(self._trace, setting, self._once(self._own_kind), endpoint, innocuous=True))

    def _once(self, tested: str) -> Once:
        async def handshake(branch: Trace, endpoint: Endpoint, sent: str, innocuous: bool) -> str | None:
            if innocuous:
                branch.limits = _hasty(branch)
            return await handshake_failure(branch, endpoint, sent, self._means.authorities)

        async def request(branch: Trace, endpoint: Endpoint, sent: str, innocuous: bool) -> str | None:
            if innocuous:
                branch.limits = _hasty(branch)
            return await fetch_failure(branch, endpoint, parse_url(f"http://{sent}/"))

        return handshake if tested == "sni" else request

    def _at_own(self, wanted: Wanted, take: Callable[[], Endpoint | None]) -> Setting:
        innocuous = next(iter(wanted.innocuous), "") or self._control_name(wanted.name)
        return Setting(
            place="own", take=take, sent=wanted.name, innocuous=innocuous, until=self._until,
            authorities=self._means.authorities, gate=self._means.gate, pairs=3,
        )  # fmt: skip

    def _setting(self, lent: Sequence[NeutralEndpoint], use: str, sent: str, innocuous: str) -> Setting:
        egress, listeners = self._vantage.egress, self._means.listeners

        def take() -> Endpoint | None:
            endpoint = listeners.take(egress, lent, use)
            self.watch([endpoint[0]] if endpoint else [])
            return endpoint

        async def done(endpoint: Endpoint, failed: bool) -> None:
            await listeners.done(egress, endpoint, failed, uid=self._uid)

        return Setting(
            place="neutral", take=take, done=done, sent=sent,
            innocuous=innocuous, until=self._until, authorities=self._means.authorities,
        )  # fmt: skip

    def _silence(self, name: str, other: str, silent: Iterable[str]) -> Setting:
        places = [a for a in (self._means.silent, *silent) if a and kind(a) not in ("loopback", "unspecified")]
        self.watch(places[:1])
        return Setting(
            place="silent", take=lambda: (places[0], 53) if places else None, sent=name, innocuous=other,
            until=self._until, authorities=self._means.authorities,
        )  # fmt: skip

    def _control_name(self, name: str) -> str:
        """A name that nobody objects to: a control site's, of another site than the name in question."""
        others = [c for c in self._means.controls if site_of(c) != site_of(name)]
        return random.choice(others) if others else "www.example.com"  # noqa: S311 - which of them does not matter


def _unanswered(flow: Flow, failed: Collection[tuple[str, int]]) -> bool:
    """A connect that failed has no local port on record: it is one of those that were never answered by a SYN-ACK."""
    return (flow.address, flow.port) in failed and not any(p.inbound and "S" in p.flags for p in flow.packets)


def _hasty(trace: Trace) -> Limits:
    return msgspec.structs.replace(trace.limits, timeout=min(trace.limits.timeout, OWN_TIMEOUT))

"""A network measured from outside by DNS: real servers on loopback behind addresses that look public."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import aiohttp
import dns.message
import pytest

import blocklists
from blocklists import Fingerprints, Target, target_of
from blocklists.places import Place as Listed
from monitor.collect.collect import Collector
from monitor.collect.control import Control
from monitor.collect.helper import Helper
from monitor.collect.pace import Pacer
from monitor.collect.residual import Residual
from monitor.collect.self_test import SelfTester
from monitor.collect.vantage import BLIND, Remote, Vantage
from monitor.collect.work import Result
from monitor.config import load
from monitor.engine import setup
from probes.certificate import Authorities
from probes.clock import Clock
from probes.experiment import Experiment
from probes.measurement import VantageFacts
from probes.remote.injection import NOT_SILENT
from probes.remote.resolvers import BEFORE, NO_PLACE
from probes.resolvers import Resolvers
from probes.trace import Limits
from tests.pki import TestAuthority
from tests.probes.loopback import OTHER, SITE, THIRD, Answer, Nameserver, Place, page, place, records, says

NAME, CONTROLS = "site.example", ("one.example", "two.example", "three.example")
CONTROL_SITE, STRANGER = "198.51.100.1", "31.13.94.37"
TRUTH = {NAME: SITE, **dict.fromkeys(CONTROLS, CONTROL_SITE)}
PLACES = tuple(f"203.0.113.{number}" for number in range(1, 7))
CONTROL_LIST = Path(blocklists.__file__).parent / "controls.csv"
LIMITS = Limits(timeout=2.0, dns_timeout=0.3, listen=0.05)


def name_of(asked: dns.message.Message) -> str:
    return asked.question[0].name.to_text().removesuffix(".")


def honest(asked: dns.message.Message) -> list[bytes]:
    """A resolver that knows the truth."""
    known = TRUTH.get(name_of(asked))
    return [records(asked, "A", known or SITE, rcode=0 if known else 3)]


def lying(*addresses: str, rcode: int = 0) -> Answer:
    """One that is honest but for the name."""

    def answer(asked: dns.message.Message) -> list[bytes]:
        if name_of(asked) != NAME:
            return honest(asked)
        return [_empty(asked, rcode)] if rcode else [records(asked, "A", address) for address in addresses]

    return answer


def always(address: str) -> Answer:
    """One that gives everybody the same."""
    return lambda asked: [records(asked, "A", address)]


def injected(*addresses: str) -> Answer:
    """An address that runs no resolver; a censor answers in its place for the name."""
    return lambda asked: [records(asked, "A", a) for a in addresses] if name_of(asked) == NAME else []


def nobody(_asked: dns.message.Message) -> list[bytes]:
    return []


def _empty(asked: dns.message.Message, rcode: int) -> bytes:
    answer = dns.message.make_response(asked)
    answer.set_rcode(rcode)  # type: ignore[arg-type]
    return answer.to_wire()


class Outside:
    """The Internet, a helper in it, and a collector that looks at the network of `PLACES` from outside."""

    def __init__(self, made: Place, collector: Collector, pki: TestAuthority) -> None:
        self.place, self.collector, self.pki = made, collector, pki
        self.asked: dict[str, Nameserver] = {}

    async def serve(self, *answers: Answer) -> None:
        for address, answer in zip(PLACES, answers, strict=False):
            self.asked[address] = await self.place.resolve(answer, (address, 53))

    async def measure(
        self, method: str, target: Target | None = None, places: tuple[Listed, ...] | None = None
    ) -> Result:
        facts = VantageFacts(name="outside", kind="remote", country="CN", direction="outside-in", method=method,
                             blind=tuple(sorted(BLIND[method])))  # fmt: skip
        if places is None:
            places = tuple(Listed(address=address, port=53, protocol="dns") for address in self.asked)
        vantage = Vantage(
            facts=facts, network=self.place.network, resolvers=Resolvers(), egress="here",
            remote=Remote(method=method, places=places, contact="https://example.org/measuring"),
        )  # fmt: skip
        return await self.collector.measure(target or target_of(f"https://{NAME}/"), vantage)


@asynccontextmanager
async def outside(
    folder: Path, *, clock: Clock | None = None, rest: timedelta = timedelta(0), fingerprints: Fingerprints | None = None
) -> AsyncIterator[Outside]:
    async with place() as made, aiohttp.ClientSession() as session:
        pki, clock = TestAuthority(folder), clock or Clock()
        authorities = Authorities(pki.root)
        for address, names in ((SITE, (NAME,)), (OTHER, (NAME,)), (CONTROL_SITE, CONTROLS), (STRANGER, ("x.example",))):
            context = pki.server_context(pki.issue(*names))
            await made.listen(says(page(b"<title>A site</title>")), (address, 443), ssl=context)
        await made.resolve(honest)
        helper = Helper(made.network, authorities, resolvers=Resolvers(), limits=LIMITS, rate=1e6, burst=10**6)
        await helper.start(("127.0.0.1", 0), [])
        collector = Collector(
            authorities=authorities, residual=Residual(clock, rest=rest), fingerprints=fingerprints or Fingerprints([]),
            control=Control(helpers=[f"http://127.0.0.1:{helper.port}/"], session=session, clock=clock),
            tester=SelfTester(names=[target_of(f"https://{c}/", category="CTRL") for c in CONTROLS], empty=[],
                              authorities=authorities, limits=LIMITS, clock=clock),
            limits=LIMITS, clock=clock,
        )  # fmt: skip
        collector.outside.pacer = Pacer(clock, spacing=0.002)
        try:
            yield Outside(made, collector, pki)
        finally:
            await helper.stop()


def played(folder: Path, method: str, *answers: Answer) -> Result:
    """One measurement of the site where the places answer so."""

    async def play() -> Result:
        async with outside(folder) as world:
            await world.serve(*answers)
            return await world.measure(method)

    return asyncio.run(play())


def told(result: Result) -> tuple[str, str | None]:
    return result.verdict.outcome, result.verdict.technique or result.verdict.cause


def left_out(result: Result) -> list[str]:
    return [e.left_out for e in result.measurement.experiments if e.kind != "certificate" and e.left_out]


def of_kind(result: Result, kind: str) -> list[Experiment]:
    return [e for e in result.measurement.experiments if e.kind == kind]


def test_an_answer_from_a_silent_address_is_injected(tmp_path: Path) -> None:
    result = played(tmp_path, "injection", injected(STRANGER), injected(STRANGER), injected(STRANGER))
    assert told(result) == ("blocked", "dns.injection.other"), result.verdict
    assert not result.measurement.operations
    assert len(of_kind(result, "injection")) == 3
    tries = of_kind(result, "injection")[0].tries
    assert [t.innocuous for t in tries] == [True, False] * 3
    assert [bool(t.operations[0].responses) for t in tries] == [False, True] * 3  # type: ignore[union-attr]


def test_silence_is_fine_and_says_how_far_it_goes(tmp_path: Path) -> None:
    result = played(tmp_path, "injection", nobody, nobody)
    assert told(result) == ("ok", None)
    assert "from outside only" in result.verdict.reason
    assert "what a plain client inside gets" in result.verdict.reason


def test_row_28_an_interceptor_that_answers_rightly_is_left_out(tmp_path: Path) -> None:
    result = played(tmp_path, "injection", honest)
    assert told(result) == ("insufficient", "not_measurable")
    assert left_out(result) == [NOT_SILENT]


def test_row_28_an_interceptor_that_lies_about_the_name(tmp_path: Path) -> None:
    result = played(tmp_path, "injection", lying(STRANGER))
    assert told(result) == ("blocked", "dns.injection.other")
    assert "a control name was answered rightly there" in result.verdict.reason


def test_an_address_that_became_a_resolver_gives_a_cdns_other_address(tmp_path: Path) -> None:
    assert told(played(tmp_path, "injection", lying(OTHER))) == ("insufficient", "not_measurable")


def test_resolvers_that_lead_to_the_site(tmp_path: Path) -> None:
    result = played(tmp_path, "resolvers", honest, honest, lying(OTHER))
    assert told(result) == ("ok", None), result.verdict
    assert "3 resolvers" in result.verdict.reason
    sent = [t.sent for t in of_kind(result, "resolver")[0].tries]
    assert len(sent) == 3
    assert sent[1] == NAME
    assert len({sent[0], sent[2]} & set(CONTROLS)) == 2  # another control name after than before


def test_a_cdns_addresses_are_cleared_by_their_certificate(tmp_path: Path) -> None:
    result = played(tmp_path, "resolvers", *[lying(OTHER)] * 3)
    assert told(result) == ("ok", None), result.verdict
    (looked,) = of_kind(result, "certificate")
    assert {(t.sent, t.address, t.failure) for t in looked.tries} >= {(NAME, OTHER, None), (NAME, SITE, None)}


def test_nxdomain_at_two_of_three(tmp_path: Path) -> None:
    result = played(tmp_path, "resolvers", lying(rcode=3), lying(rcode=3), honest)
    assert told(result) == ("likely_blocked", "dns.nxdomain"), result.verdict
    assert [r.attempt for r in result.measurement.control] == [0, 1]


def test_nxdomain_at_one_of_three(tmp_path: Path) -> None:
    assert told(played(tmp_path, "resolvers", lying(rcode=3), honest, honest)) == ("insufficient", "ambiguous")


def test_resolvers_that_lead_to_somebody_else(tmp_path: Path) -> None:
    result = played(tmp_path, "resolvers", lying(STRANGER), lying(STRANGER), honest)
    assert told(result) == ("likely_blocked", "dns.injection.other"), result.verdict
    counts = sorted(sum(not t.innocuous for t in e.tries) for e in of_kind(result, "resolver"))
    assert counts == [1, 4, 4]  # what is cleared is not asked for again


def test_two_answers_to_one_query(tmp_path: Path) -> None:
    result = played(tmp_path, "resolvers", lying(STRANGER, SITE), honest, honest)
    assert told(result) == ("blocked", "dns.injection.other"), result.verdict


def test_loopback_is_never_dialled_because_a_resolver_says_so(tmp_path: Path) -> None:
    async def play() -> tuple[Result, list[tuple[str, int]]]:
        async with outside(tmp_path) as world:
            await world.serve(*[lying("127.0.0.1")] * 3)
            return await world.measure("resolvers"), world.place.network.dialled

    result, dialled = asyncio.run(play())
    assert told(result) == ("blocked", "dns.injection.bogon")
    assert all(not address.startswith("127.") for address, _port in dialled)


def who_is_asked_first(bad: Answer, count: int) -> list[Answer]:
    """Resolvers of which the one that is asked first is bad, and stays so; the others are honest."""
    first: list[int] = []

    def one(number: int) -> Answer:
        def answer(asked: dns.message.Message) -> Iterable[bytes | float]:
            if not first:
                first.append(number)
            return bad(asked) if first == [number] else honest(asked)

        return answer

    return [one(number) for number in range(count)]


@pytest.mark.parametrize("bad", [always(STRANGER), always(PLACES[0]), nobody, lambda asked: [_empty(asked, 2)]])
def test_an_unfit_resolver_is_left_out_and_another_asked(tmp_path: Path, bad: Answer) -> None:
    async def play() -> tuple[Result, Result, list[list[str]]]:
        async with outside(tmp_path) as world:
            await world.serve(*who_is_asked_first(bad, 4))
            first, second = await world.measure("resolvers"), await world.measure("resolvers")
            return first, second, [[name_of(q) for q in server.queries] for server in world.asked.values()]

    first, second, names = asyncio.run(play())
    assert told(first) == told(second) == ("ok", None)
    assert "3 resolvers" in first.verdict.reason
    assert left_out(first) == [BEFORE]
    assert left_out(second) == []
    assert sorted(asked.count(NAME) for asked in names) == [0, 2, 2, 2]  # the bad one is remembered for an hour


def test_where_nobody_is_fit_nothing_is_said(tmp_path: Path) -> None:
    async def play() -> tuple[Result, Result]:
        async with outside(tmp_path) as world:
            await world.serve(nobody, always(STRANGER))
            return await world.measure("resolvers"), await world.measure("resolvers")

    first, second = asyncio.run(play())
    assert told(first) == told(second) == ("insufficient", "not_measurable")
    assert left_out(first) == [BEFORE, BEFORE]
    assert left_out(second) == [NO_PLACE]


@pytest.mark.parametrize("address", [PLACES[0], THIRD])
def test_certificates_seen_at_control_answers_are_remembered(tmp_path: Path, address: str) -> None:
    """A control name's own CDN: proved once by its certificate, then known for an hour."""

    async def play() -> int:
        async with outside(tmp_path) as world:
            world.place.network.tcp[address, 443] = world.place.network.tcp[CONTROL_SITE, 443]
            await world.serve(lambda asked: [records(asked, "A", SITE if name_of(asked) == NAME else address)])
            for _ in range(2):
                assert told(await world.measure("resolvers")) == ("ok", None)
            return world.place.network.dialled.count((address, 443))

    assert asyncio.run(play()) == 2  # one for each of the two control names


def test_a_phrase_and_a_bare_address_cannot_be_measured_so(tmp_path: Path) -> None:
    async def play(target: Target) -> Result:
        async with outside(tmp_path) as world:
            await world.serve(honest)
            result = await world.measure("resolvers", target)
            assert world.asked[PLACES[0]].queries == []
            return result

    for target in (target_of("phrase:六四"), target_of("https://93.184.215.14/")):
        assert told(asyncio.run(play(target))) == ("insufficient", "not_measurable")


def test_all_places_are_used_over_time(tmp_path: Path) -> None:
    async def play() -> dict[str, int]:
        async with outside(tmp_path) as world:
            await world.serve(*[nobody] * 6)
            for number in range(8):
                await world.measure("injection", target_of(f"https://site{number}.example/"))
            return {address: len(server.queries) for address, server in world.asked.items()}

    asked = asyncio.run(play())
    assert all(asked.values())
    assert sum(asked.values()) == 8 * 3 * 12


class Stepping(Clock):
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        until = self.time + max(0.0, seconds)
        await asyncio.sleep(0)
        self.time = max(self.time, until)


@pytest.mark.parametrize(("addresses", "took"), [(["a"] * 11, 2.0), (["a", "b"] * 3, 0.4)])
def test_at_most_five_packets_a_second_to_one_address(addresses: list[str], took: float) -> None:
    clock = Stepping()
    pacer = Pacer(clock)

    async def play() -> dict[str, list[float]]:
        sent: dict[str, list[float]] = {}
        for address in addresses:
            await pacer.turn(address)
            sent.setdefault(address, []).append(clock.time)
        return sent

    sent = asyncio.run(play())
    for moments in sent.values():
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert min(gaps) >= 0.2 - 1e-9
    assert clock.time - 100.0 == pytest.approx(took)


@pytest.mark.parametrize("method", ["injection", "resolvers"])
def test_the_configuration_says_what_cannot_be_seen(tmp_path: Path, method: str) -> None:
    (tmp_path / "places.csv").write_text("address,port,protocol,country,asn\n203.0.113.53,,dns,CN,4134\n")
    (tmp_path / "config.toml").write_text(
        f'[service]\ntargets = []\n[control]\nopen = "{CONTROL_LIST}"\n[[vantage]]\nname = "cn"\nkind = "remote"\nmethod = "{method}"\nplaces = "places.csv"\n'
        'country = "CN"\ncontact = "https://example.org/measuring"\n'
    )
    (vantage,) = setup(load(tmp_path / "config.toml")).vantages
    assert vantage.remote is not None
    assert [p.address for p in vantage.remote.places] == ["203.0.113.53"]
    assert (vantage.facts.direction, vantage.facts.method) == ("outside-in", method)
    assert {"client", "tcp", "tls", "http", "quic"} <= set(vantage.facts.blind)
    assert not {"dns", "udp"} & set(vantage.facts.blind)

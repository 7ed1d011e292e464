"""The situations that a vantage can be in: each made on real sockets, seen by its self-test, and named."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from blocklists import target_of
from blocklists.networks import Table
from monitor.collect.empty_page import look_at_empty
from monitor.collect.helper import Helper
from monitor.collect.helper_client import CLIENT_HEADER, client_address
from monitor.collect.lines import egress_of
from monitor.collect.residual import Residual
from monitor.collect.self_test import KNOWN_EVERY, SelfTester, told
from monitor.collect.vantage import Vantage
from monitor.collect.visit import Means
from monitor.demo.censor import Censor, Rule
from monitor.demo.network import SimulatedNetwork
from monitor.demo.trouble import NONE, Trouble
from monitor.demo.world import Site, World
from monitor.judge.vantage import SITUATIONS, is_quarantined, situations
from probes.certificate import Authorities
from probes.clock import Clock
from probes.failure import NOT_TRIED_RESIDUAL
from probes.measurement import SelfTest, VantageFacts
from probes.resolvers import Resolvers, parse_resolvers
from probes.url import parse_url
from tests.demo.scene import authorities_of
from tests.scenarios.harness import CONTROL_NAMES, LIMITS, NETWORKS, RESOLVERS, QuickClock, default_site

from .loopback import LIMITS as LOOPBACK_LIMITS
from .loopback import SITE, open_world
from .loopback import World as LoopbackWorld
from .test_quic_noted import tried, work

HOME, ELSEWHERE = "36.110.9.9", "45.33.9.9"  # AS4134 (CN) and AS9009 (DE) by the harness' table
NEWS = "https://news.example/"
EMPTY = ("http://empty.example/", "https://empty.example/")


class Situation(msgspec.Struct, kw_only=True):
    """What is done to a vantage, and what it must be found to be in: exactly that."""

    found: set[str]
    trouble: Trouble = NONE
    rules: tuple[Rule, ...] = ()
    seen_from: str = HOME
    ahead: float = 0.0
    resolver: str = "185.12.64.9"
    known_blocked: tuple[str, ...] = ()
    facts: VantageFacts = VantageFacts(name="home", country="CN", asn=4134)


def world_of(situation: Situation) -> World:
    """Four control sites at two addresses each, an empty page, and a site that is known to be blocked."""
    controls = [
        default_site(name, f"151.101.{n}.7", addresses=(f"151.101.{n}.7", f"2a04:4e42:{n}::7"))
        for n, name in enumerate(CONTROL_NAMES, 10)
    ]
    says = ((CLIENT_HEADER, situation.seen_from),) if situation.seen_from else ()
    empty = Site("empty.example", ("146.75.30.10",), status=204, http="serve", title="", headers=says)
    return World([*controls, empty, default_site("news.example", "93.184.215.60")], isp={"home": situation.resolver})


async def self_test(situation: Situation) -> SelfTest:
    """What a vantage in a situation says about itself."""
    async with asyncio.timeout(30), world_of(situation) as world:
        tester = SelfTester(
            names=[target_of(f"https://{name}/", category="CTRL") for name in CONTROL_NAMES], empty=EMPTY, limits=LIMITS,
            authorities=authorities_of(world), clock=QuickClock(situation.ahead), networks=NETWORKS,
        )  # fmt: skip
        vantage = Vantage(
            facts=situation.facts, resolvers=parse_resolvers(RESOLVERS), egress="home",
            network=SimulatedNetwork(world, "home", Censor(situation.rules), situation.trouble),
            known_blocked=situation.known_blocked,
        )  # fmt: skip
        _at, test = await tester.test(vantage)
        assert tester.newest(vantage) is test
        assert tester.age(vantage) < 30
        return test


ALL: dict[str, Situation] = {
    "nothing is wrong": Situation(found=set()),
    "offline": Situation(
        trouble=Trouble(offline="unreachable"), found={"offline", "resolvers_fail", "egress_unknown"}
    ),
    "a captive portal": Situation(
        trouble=Trouble(captive_portal="page"), found={"captive_portal", "resolvers_fail", "egress_unknown"}
    ),
    "a captive portal that redirects": Situation(
        trouble=Trouble(captive_portal="redirect"), found={"captive_portal", "resolvers_fail", "egress_unknown"}
    ),
    "two certificates of somebody else's": Situation(
        rules=(Rule(kind="mitm", names=CONTROL_NAMES[:2]),), found={"captive_portal"}
    ),
    "one certificate of somebody else's": Situation(
        rules=(Rule(kind="mitm", names=CONTROL_NAMES[:1]),), found={"intercepted_tls"}
    ),
    "names that do not exist have an address": Situation(
        trouble=Trouble(wildcard="203.0.113.9"), found={"wildcard_dns"}
    ),
    "IPv6 is broken": Situation(trouble=Trouble(ipv6="unreachable"), found={"no_ipv6"}),
    "the clock is two hours fast": Situation(ahead=7200.0, found={"clock"}),
    "the clock is two hours slow": Situation(ahead=-7200.0, found={"clock"}),
    "the clock is a minute off": Situation(ahead=60.0, found=set()),
    "the way out moved": Situation(seen_from=ELSEWHERE, found={"moved_egress", "resolver_elsewhere"}),
    "the way out moved, but nobody knew where it was": Situation(
        seen_from=ELSEWHERE, facts=VantageFacts(name="home"), found={"resolver_elsewhere"}
    ),
    "a remote vantage's way out is not what it looks at": Situation(
        seen_from=ELSEWHERE, found={"resolver_elsewhere"},
        facts=VantageFacts(name="home", country="CN", asn=4134, direction="outside-in"),
    ),
    "the resolver is elsewhere": Situation(resolver="45.33.0.53", found={"resolver_elsewhere"}),
    "the resolver has a private address": Situation(resolver="192.168.1.1", found=set()),
    "a resolver fails": Situation(
        rules=(Rule(kind="dns_timeout", addresses=("8.8.8.8",)),), found={"resolvers_fail"}
    ),
    "a local proxy gives fake addresses": Situation(trouble=Trouble(fake_addresses=True), found={"fake_addresses"}),
    "NAT64": Situation(trouble=Trouble(nat64="64:ff9b::/96"), found={"nat64"}),
    "a control name does not open": Situation(
        rules=(Rule(kind="tcp_refuse", addresses=("151.101.10.7",)),), found={"control_names_fail"}
    ),
    "a known-blocked site opens": Situation(known_blocked=(NEWS,), found={"known_blocked_opens"}),
    "a known-blocked site is blocked": Situation(
        known_blocked=(NEWS,), rules=(Rule(kind="tls_reset", names=("news.example",)),), found=set()
    ),
    "a known-blocked site with a certificate of the censor's": Situation(
        known_blocked=(NEWS,), rules=(Rule(kind="mitm", names=("news.example",)),), found=set()
    ),
    "a known-blocked site without TLS cannot be told from a block page": Situation(
        known_blocked=("http://news.example/",), found=set()
    ),
    "nobody says where the way out ends": Situation(seen_from="", found={"egress_unknown"}),
    "the table does not know where the way out ends": Situation(seen_from="198.51.100.7", found={"egress_unknown"}),
    "what is said is no address": Situation(seen_from="36.110.9.9, 45.33.9.9", found={"egress_unknown"}),
}  # fmt: skip
QUARANTINES = {"offline", "captive_portal", "clock", "fake_addresses", "moved_egress"}


@pytest.mark.parametrize("name", ALL)
def test_a_situation_is_recognised_and_named(name: str) -> None:
    situation = ALL[name]
    test = asyncio.run(self_test(situation))
    found = situations(test, situation.facts)
    assert {one.id for one in found} == situation.found, test
    assert all(one.text and not one.text.endswith(".") for one in found)
    assert {one.id for one in found if one.effect == "quarantine"} == situation.found & QUARANTINES
    assert is_quarantined(test, situation.facts) == bool(situation.found & QUARANTINES)
    said = told(test, situation.facts)
    assert ("quarantined" in said) == is_quarantined(test, situation.facts)
    for address in (HOME, ELSEWHERE, "198.51.100.7"):
        assert address not in repr(test) + said + repr(found), "our own address is nobody's business"


def test_udp_is_dropped_for_every_name() -> None:
    made = work()
    assert not situations(made.c.noted(SelfTest(egress_asn=1), made.vantage), made.vantage.facts)
    made._note_quic(tried(("192.0.2.1", "generic_timeout_error"), ("192.0.2.2", "generic_timeout_error")))
    test = made.c.noted(SelfTest(egress_asn=1), made.vantage)
    assert [one.id for one in situations(test, made.vantage.facts)] == ["no_quic"]


def test_every_situation_of_the_table_is_made_here() -> None:
    made = {id_ for situation in ALL.values() for id_ in situation.found} | {"no_quic"}
    assert made == {row.id for row in SITUATIONS}
    assert len(made) >= 12


def test_known_blocked_sites_are_tried_once_an_hour_and_rest_where_they_fail() -> None:
    """Each try may leave its address blocked for a while, and a self-test is made before everything."""

    async def run() -> tuple[list[SelfTest], list[int], str]:
        situation = Situation(
            found=set(), known_blocked=(NEWS,), rules=(Rule(kind="tls_reset", names=("news.example",)),)
        )
        async with world_of(situation) as world:
            clock, censor = QuickClock(), Censor(situation.rules)
            residual = Residual(clock)
            tester = SelfTester(
                names=[target_of(f"https://{name}/") for name in CONTROL_NAMES], empty=EMPTY, limits=LIMITS,
                authorities=authorities_of(world), clock=clock, networks=NETWORKS, residual=residual,
            )  # fmt: skip
            network = Dials(SimulatedNetwork(world, "home", censor))
            vantage = Vantage(facts=situation.facts, network=network, resolvers=Resolvers(), egress="home",
                              known_blocked=(NEWS,))  # fmt: skip
            made, dialled = [], []
            for wait in (0.0, 60.0, KNOWN_EVERY):
                await clock.sleep(wait)
                refusal = residual.refusal("home", "93.184.215.60", 443, uid="a measurement's")
                _at, test = await tester.test(vantage, since=float("inf"))
                made.append(test)
                dialled.append(network.dialled.count(("93.184.215.60", 443)))
                if wait == 60.0:
                    censor.rules.clear()
                    resting = refusal
            return made, dialled, resting

    made, dialled, resting = asyncio.run(run())
    assert dialled == [1, 1, 2]
    assert resting == NOT_TRIED_RESIDUAL
    assert [test.known_blocked_open for test in made] == [(), (), (NEWS,)]


class Dials:
    """A network that remembers whom it was asked to connect to."""

    blind: frozenset[str] = frozenset()

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        self.dialled: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    async def connect(self, address: str, port: int) -> Any:
        self.dialled.append((address, port))
        return await self._network.connect(address, port)


# What is believed of where the way out ends


def test_two_answers_that_differ_are_not_believed() -> None:
    assert egress_of([HOME, "", "36.110.1.1"], NETWORKS) == NETWORKS.lookup(HOME)
    for clients in ([HOME, ELSEWHERE], [], ["", ""], ["198.51.100.7"]):
        assert egress_of(clients, NETWORKS) is None, clients
    assert egress_of([HOME], None) is None


def look(world: LoopbackWorld, url: str) -> Any:
    means = Means(authorities=Authorities(world.pki.root), limits=LOOPBACK_LIMITS, clock=Clock())
    vantage = Vantage(facts=VantageFacts(name="home"), network=world.network, resolvers=Resolvers(), egress="home")
    return look_at_empty(means, vantage, parse_url(url))


def test_plain_http_is_believed_only_within_the_own_network(tmp_path: Path) -> None:
    """Whoever is on the way could say anything: that a vantage moved, or that it did not."""

    async def run() -> list[Any]:
        async with open_world(tmp_path) as world:
            for place in ((SITE, 80), ("10.1.2.3", 80)):
                world.network.tcp[place] = await world.listen(answering(HOME))
            return [await look(world, url) for url in ("http://good.example/", "http://10.1.2.3/")]

    public, private = asyncio.run(run())
    assert (public.empty, public.client) == (True, "")
    assert (private.empty, private.client) == (True, HOME)


def test_a_certificate_that_is_bad_makes_nothing_believed(tmp_path: Path) -> None:
    async def run() -> list[Any]:
        async with open_world(tmp_path) as world:
            seen = []
            for pem in (world.pki.issue("good.example"), world.pki.self_signed("good.example")):
                context = world.pki.server_context(pem)
                world.network.tcp[SITE, 443] = await world.listen(answering(HOME), ssl=context)
                seen.append(await look(world, "https://good.example/"))
            return seen

    good, bad = asyncio.run(run())
    assert (good.empty, good.client) == (True, HOME)
    assert bad.client == ""


def answering(client: str) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 204 No Content\r\n{CLIENT_HEADER}: {client}\r\n\r\n".encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return serve


def test_a_real_helper_behind_tls_tells_a_client_its_own_address(tmp_path: Path) -> None:
    """The whole way: the helper's header, the self-test's look, the table."""

    async def run() -> Any:
        async with open_world(tmp_path) as world:
            runner = web.AppRunner(world.helper.app())
            await runner.setup()
            context = world.pki.server_context(world.pki.issue("good.example"))
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            world.network.tcp[SITE, 443] = runner.addresses[0][1]
            try:
                return await look(world, "https://good.example/generate_204")
            finally:
                await runner.cleanup()

    seen = asyncio.run(run())
    assert seen.client == "127.0.0.1"
    table = Table()
    table.add("127.0.0.0", "127.255.255.255", ("ZZ", "64512", "here"))
    network = egress_of([seen.client], table)
    assert network is not None and network.asn == 64512


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("36.110.9.9", [], "36.110.9.9"),
        ("::ffff:36.110.9.9", [], "36.110.9.9"),
        ("240e::9", [], "240e::9"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, [], ""),
        ("127.0.0.1", ["36.110.9.9"], "36.110.9.9"),
        ("127.0.0.1", ["6.6.6.6, 36.110.9.9"], "36.110.9.9"),
        ("10.0.0.2", ["6.6.6.6", "240e::9"], "240e::9"),
        ("127.0.0.1", ["nonsense\r\n"], "127.0.0.1"),
        ("45.33.9.9", ["36.110.9.9"], "45.33.9.9"),
    ],
)
def test_whom_the_helper_takes_for_its_client(remote: str | None, forwarded: list[str], expected: str) -> None:
    assert client_address(remote, forwarded) == expected


def test_the_helpers_empty_page_is_kept_by_nobody(tmp_path: Path) -> None:
    async def run() -> Any:
        async with open_world(tmp_path) as world:
            assert isinstance(world.helper, Helper)
            async with world._session.get(f"http://127.0.0.1:{world.helper.port}/generate_204") as response:
                return response.status, response.headers, await response.read()

    status, headers, body = asyncio.run(run())
    assert (status, body) == (204, b"")
    assert headers["Cache-Control"] == "no-store"
    assert headers[CLIENT_HEADER] == "127.0.0.1"

"""A way out that ends somewhere else: remembered, quarantined, confirmed, in a running service and by the command."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from blocklists import target_of
from blocklists.network import Network
from monitor.cli import main
from monitor.collect.helper_client import CLIENT_HEADER
from monitor.command.checking import account
from monitor.command.confirming import _confirm
from monitor.config import parse_document
from monitor.demo.network import SimulatedNetwork
from monitor.demo.trouble import Trouble
from monitor.demo.world import Site, World
from monitor.egress import confirm_present, examine, fitting, take_confirmed, with_egress
from monitor.engine import Engine, Setup, setup
from monitor.service import Service
from monitor.store import Store
from probes.measurement import SelfTest, VantageFacts
from tests.scenarios.harness import CONTROL_NAMES, LIMITS, REST, default_site

NETWORKS = """start,end,country,asn,as_name
36.110.0.0,36.110.255.255,CN,4134,Chinanet
45.33.0.0,45.33.255.255,DE,9009,M247
"""
HOME, ELSEWHERE = "36.110.9.9", "45.33.9.9"
CHINANET, M247 = Network(country="CN", asn=4134, name="Chinanet"), Network(country="DE", asn=9009, name="M247")
FACTS = VantageFacts(name="home", country="CN", asn=4134, as_name="Chinanet", simulated=True)


class Place:
    """A simulated world, a database, and a vantage whose way out ends where `seen_from` says."""

    def __init__(self, folder: Path, world: World, document: dict[str, Any]) -> None:
        self.folder, self.world = folder, world
        (folder / "networks.csv").write_text(NETWORKS)
        (folder / "controls.csv").write_text(
            "url,category_code,category_description,date_added,source,notes\n"
            + "".join(f"https://{n}/,CTRL,Control content,2026-01-01,t,\n" for n in CONTROL_NAMES)
        )
        (folder / "root.pem").write_bytes(world.authority_pem)
        self._document = {
            "service": {"targets": [], "listen": "127.0.0.1:0"}, "probe": {"ca_file": "root.pem"},
            "control": {"open": "controls.csv", "empty": ["https://empty.example/"]},
            "geo": {"database": "networks.csv"}, "vantage": [{"name": "home"}], **document,
        }  # fmt: skip
        self.network = SimulatedNetwork(world, "home")

    def move(self, seen_from: str) -> None:
        self.world.change("empty.example", headers=((CLIENT_HEADER, seen_from),))

    def setup(self) -> Setup:
        made = setup(parse_document(self._document, self.folder / "config.toml"))
        vantages = tuple(
            msgspec.structs.replace(v, facts=msgspec.structs.replace(v.facts, simulated=True), network=self.network)
            for v in made.vantages
        )
        return msgspec.structs.replace(made, vantages=vantages, limits=LIMITS, rest=REST, simulated=True)

    def store(self, **options: Any) -> Store:
        return Store.open(self.folder / "wallwatch.db", simulated=True, **options)


@asynccontextmanager
async def place(folder: Path, **document: Any) -> AsyncIterator[Place]:
    controls = [default_site(name, f"151.101.{n}.7") for n, name in enumerate(CONTROL_NAMES, 10)]
    empty = Site("empty.example", ("146.75.30.10",), status=204, title="", headers=((CLIENT_HEADER, HOME),))
    async with asyncio.timeout(60), World([*controls, empty, default_site()]) as world:
        yield Place(folder, world, document)


async def look(here: Place, store: Store) -> tuple[VantageFacts, SelfTest]:
    """One test of the vantage by an engine of its own."""
    async with Engine(here.setup()) as engine:
        test = await examine(engine, store, "home")
        return engine.vantages["home"].facts, test


def test_a_first_look_is_remembered_and_a_later_one_measured_by_it(tmp_path: Path) -> None:
    async def run() -> list[tuple[VantageFacts, SelfTest]]:
        async with place(tmp_path) as here:
            async with here.store() as store:
                first = await look(here, store)
                assert await store.egresses() == {"home": CHINANET}
            here.move(ELSEWHERE)
            async with here.store() as store:  # after a restart
                return [first, await look(here, store)]

    (facts, test), (later, moved) = asyncio.run(run())
    assert facts == later == FACTS
    assert account(test, facts) == [account(test, facts)[0]]
    assert "way out AS4134 (CN) Chinanet" in account(test, facts)[0]
    lines = account(moved, later)
    assert lines[0].startswith("vantage home: quarantined, its results are insufficient, 4 of 4 control names open")
    assert lines[1] == (
        "  quarantine: its way out moved from AS4134 (CN) to AS9009 (DE); results wait until `wallwatch confirm home`"
        " (moved_egress)"
    )


def test_a_first_look_from_a_captive_portal_is_not_remembered(tmp_path: Path) -> None:
    async def run() -> Any:
        async with place(tmp_path) as here, here.store() as store:
            here.network.trouble = Trouble(captive_portal="page")
            await look(here, store)
            return await store.egresses()

    assert asyncio.run(run()) == {}


def test_the_configuration_goes_before_what_was_confirmed(tmp_path: Path) -> None:
    async def run() -> list[Any]:
        async with (
            place(tmp_path, vantage=[{"name": "home", "country": "DE", "asn": 9009}]) as here,
            here.store() as store,
        ):
            await store.confirm_egress("home", CHINANET, here.setup().clock.now())
            quarantined = await look(here, store)
            kept = await store.egresses()
            here.move(ELSEWHERE)
            return [quarantined, kept, await look(here, store), await store.egresses()]

    (facts, test), kept, (later, _test), then = asyncio.run(run())
    assert (facts.country, facts.asn, facts.as_name) == ("DE", 9009, "")
    assert any("moved_egress" in line for line in account(test, facts))
    assert kept == {"home": CHINANET}
    assert (later.country, later.asn, later.as_name) == ("DE", 9009, "M247")
    assert then == {"home": M247}


def test_a_running_service_learns_of_a_confirmation_before_its_next_round(tmp_path: Path) -> None:
    """What is measured meanwhile is insufficient, and says why."""

    async def run() -> list[Any]:
        async with place(tmp_path) as here, here.store() as store, Service(here.setup(), store=store) as service:
            site, seen = target_of("https://site.example/"), []

            async def round_of_one() -> None:
                service.engine.collector.tester._results.clear()  # as if time had passed
                await service._before_round(service.engine, "home")
                result = await service.measure(site, "home")
                up = service.metrics.registry.get_sample_value("wallwatch_vantage_up", {"vantage": "home"})
                seen.append((result.verdict.outcome, result.verdict.cause, result.measurement.vantage, up))

            await round_of_one()
            here.move(ELSEWHERE)
            await round_of_one()
            async with here.store(shared=True) as other, Engine(here.setup()) as engine:
                _test, why_not = await confirm_present(engine, other, "home")
            await round_of_one()
            return [*seen, why_not]

    first, moved, confirmed, why_not = asyncio.run(run())
    assert why_not == ""
    assert first == ("ok", None, FACTS, 1.0)
    assert moved == ("insufficient", "not_measurable", FACTS, 0.0)
    assert confirmed[0] == first[0]
    assert confirmed[2:] == (VantageFacts(name="home", country="DE", asn=9009, as_name="M247", simulated=True), 1.0)


def test_the_service_tests_its_vantages_at_the_start_and_no_sooner_than_an_hour_later(tmp_path: Path) -> None:
    async def run() -> list[Any]:
        async with place(tmp_path) as here, here.store() as store, Service(here.setup(), store=store) as service:
            tester, vantage = service.engine.collector.tester, service.engine.vantages["home"]
            running = asyncio.ensure_future(service.run())  # no targets: no round ever runs
            try:
                while tester.newest(vantage) is None:
                    await asyncio.sleep(0.02)
                first = tester._results["home"]
                await service._test_all(service.engine)
                assert tester._results["home"] is first
                at, test = first
                here.network.trouble = Trouble(offline="unreachable")
                tester._results["home"] = (at - 3600.0, test)
                while tester._results["home"][1] is test:
                    await asyncio.sleep(0.02)
                await service._test_all(service.engine)
                while service.metrics.registry.get_sample_value("wallwatch_vantage_up", {"vantage": "home"}) != 0.0:
                    await asyncio.sleep(0.02)
                return [test, tester.newest(vantage)]
            finally:
                service.stop()
                await running

    good, bad = asyncio.run(run())
    assert (len(good.opened), len(bad.opened)) == (4, 0)


@pytest.mark.parametrize(
    ("document", "seen_from", "trouble", "reason"),
    [
        ({}, "198.51.100.7", Trouble(), "no helper over https said"),
        ({}, ELSEWHERE, Trouble(captive_portal="page"), "no helper over https said"),
        ({"vantage": [{"name": "home", "country": "CN"}]}, ELSEWHERE, Trouble(), "change it there"),
        ({}, ELSEWHERE, Trouble(fake_addresses=True), "fake addresses"),
    ],
)
def test_what_cannot_be_confirmed_says_why(tmp_path: Path, document: Any, seen_from: str, trouble: Trouble, reason: str) -> None:  # fmt: skip
    async def run() -> tuple[str, Any]:
        async with place(tmp_path, **document) as here, here.store() as store, Engine(here.setup()) as engine:
            here.move(seen_from)
            here.network.trouble = trouble
            _test, why_not = await confirm_present(engine, store, "home")
            return why_not, await store.egresses()

    why_not, kept = asyncio.run(run())
    assert reason in why_not
    assert kept == {}


def test_the_command_says_what_it_confirmed(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with place(tmp_path) as here:
            said = [await _confirm(here.setup(), "home")]
            said.append(await _confirm(here.setup(), "home"))
            here.move(ELSEWHERE)
            return [*said, await _confirm(here.setup(), "home")]

    assert asyncio.run(run()) == [
        "vantage home: the way out ends in AS4134 (CN)", "vantage home: the way out ends in AS4134 (CN)",
        "vantage home: the way out ends in AS9009 (DE), no longer in AS4134 (CN)",
    ]  # fmt: skip


def test_facts_that_the_configuration_leaves_out() -> None:
    home = VantageFacts(name="home")
    assert with_egress(home, None) == home
    assert with_egress(home, CHINANET) == VantageFacts(name="home", country="CN", asn=4134, as_name="Chinanet")
    assert with_egress(VantageFacts(name="home", country="CN"), CHINANET).asn == 4134
    assert with_egress(VantageFacts(name="home", country="HK"), CHINANET) == VantageFacts(name="home", country="HK")
    assert with_egress(VantageFacts(name="home", asn=4134), Network(country="CN")).as_name == ""
    outside = VantageFacts(name="home", direction="outside-in")
    assert fitting(outside, CHINANET) is None
    assert with_egress(outside, CHINANET) == outside


def test_a_table_that_learned_countries_later_fills_them_in(tmp_path: Path) -> None:
    async def run() -> Any:
        async with place(tmp_path) as here, here.store() as store:
            await store.confirm_egress("home", Network(asn=4134), here.setup().clock.now())
            await look(here, store)
            return await store.egresses()

    assert asyncio.run(run()) == {"home": CHINANET}


def test_the_address_itself_is_never_stored(tmp_path: Path) -> None:
    async def run() -> None:
        async with place(tmp_path) as here, here.store() as store, Service(here.setup(), store=store) as service:
            here.move(ELSEWHERE)
            await service._before_round(service.engine, "home")
            await service.measure(target_of("https://site.example/"), "home")
            assert (await take_confirmed(service.engine, store))["home"] == M247

    asyncio.run(run())
    for path in tmp_path.glob("wallwatch.db*"):
        assert ELSEWHERE.encode() not in path.read_bytes()
    with sqlite3.connect(tmp_path / "wallwatch.db") as connection:
        assert [row[:4] for row in connection.execute("SELECT * FROM egress")] == [("home", "DE", 9009, "M247")]
    connection.close()


def test_bad_input_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    (tmp_path / "controls.csv").write_text("url,category_code,category_description,date_added,source,notes\n")
    (tmp_path / "networks.csv").write_text("not a table\n")
    own = '[service]\ntargets = []\n[control]\nopen = "controls.csv"\n'
    for text, name, fault in (
        (own, "elsewhere", "no vantage is called 'elsewhere'; there are local"),
        (own, "local", "geo.database: is needed to tell where a way out ends"),
        (
            own + '[geo]\ndatabase = "networks.csv"\n',
            "local",
            f"geo.database: {tmp_path}/networks.csv:1: has 1 columns",
        ),
        (own + '[geo]\ndatabase = "none.mmdb"\n', "local", f"geo.database: {tmp_path}/none.mmdb:0: cannot be read"),
    ):
        config.write_text(text)
        assert main(["confirm", name, "--config", str(config)]) == 2
        said = capsys.readouterr().err
        assert fault in said
        assert len(said.splitlines()) == 1

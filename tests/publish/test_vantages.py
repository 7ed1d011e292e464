"""Vantages as page, JSON and metrics: states from stored measurements, and what is never shown."""

import asyncio
import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.judge.analyze import analyze
from monitor.judge.vantage import Found
from monitor.judge.verdict import Verdict
from monitor.publish.metrics import Metrics
from monitor.publish.vantages import Watch, situation_text, standings, state_of, vantage_states
from monitor.store import Store
from monitor.store.agents import Contact
from probes.capability import WORDS
from probes.measurement import Measurement, SelfTest, VantageFacts

from . import sample
from .serving import Pair, Served, served, serving

NAMES = ("a.example", "b.example", "c.example")
FINE = SelfTest(at=-3.0, opened=NAMES, clock_skew=0.2)
HERE = msgspec.structs.replace(FINE, egress_country="CN", egress_asn=4134, egress_name="CHINANET")  # where home is
OFFLINE = SelfTest(at=-3.0, failed=NAMES)
FAST = msgspec.structs.replace(HERE, clock_skew=7200.0)
AHEAD = msgspec.structs.replace(FINE, clock_skew=7200.0)  # elsewhere
LATER = msgspec.structs.replace(HERE, ipv6=False)  # a notice
OWN = "8.8.4.4"  # stands for an address of the vantage's own

PROXY = VantageFacts(name="proxy", kind="socks5", country="RU", asn=8359, blind=("quic", "system_dns"))
REMOTE = VantageFacts(name="far", kind="remote", country="IR", direction="outside-in", method="injection",
                      blind=("client", "http"))  # fmt: skip
AGENT = VantageFacts(name="inside", kind="agent", country="TR")


def at(minutes: float, vantage: VantageFacts, *tests: SelfTest, uid: str = "") -> Pair:
    """A calm measurement with these self-tests, judged."""
    made = sample.measurement(uid or f"{vantage.name}-{minutes}", [sample.lookup(), *sample.connection(0.02, 1)],
                              minutes=minutes, vantage=vantage)  # fmt: skip
    made = msgspec.structs.replace(made, self_tests=tests)
    return made, analyze(made, sample.NONE)


def watch(*vantages: VantageFacts, **more: Any) -> Watch:
    return Watch(vantages=vantages, patience=2 * 3600 + 300, **more)


def states(folder: Path, pairs: list[Pair], watched: Watch, *, contacts: tuple[Contact, ...] = ()) -> dict[str, Any]:
    """Name → state, from a store that holds these."""

    async def main() -> dict[str, Any]:
        async with Store.open(folder / "x.db") as store:
            for pair in pairs:
                await store.save(*pair)
            for contact in contacts:
                await store.heard(contact)
            assert await standings(store, watched, sample.NOW) == {
                one.name: one.state
                for one in await vantage_states(store, watched, sample.NOW) if one.state in ("quarantined", "silent")
            }  # fmt: skip
            return {one.name: one for one in await vantage_states(store, watched, sample.NOW)}

    return asyncio.run(main())


def test_a_vantage_is_good_by_the_self_test_beside_its_newest_measurement(tmp_path: Path) -> None:
    one = states(tmp_path, [at(0, sample.VANTAGE, OFFLINE), at(170, sample.VANTAGE, HERE)], watch(sample.VANTAGE))[
        "home"
    ]
    assert (one.state, one.since, one.as_name) == ("good", None, "CHINANET")
    assert one.situations == ()
    assert one.contact == sample.BEGAN + timedelta(minutes=170)
    assert one.tested == one.contact - timedelta(seconds=3)
    assert one.clock_skew == 0.2
    assert one.counts == {"insufficient": 1, "ok": 1}


def test_quarantine_says_why_and_since_when_nothing_is_certain(tmp_path: Path) -> None:
    pairs = [at(100, sample.VANTAGE, FINE), *(at(m, sample.VANTAGE, FAST) for m in (110, 120, 130))]
    one = states(tmp_path, pairs, watch(sample.VANTAGE))["home"]
    assert one.state == "quarantined"
    assert [(f.id, f.effect) for f in one.situations] == [("clock", "quarantine")]
    assert (one.since, one.exactly) == (sample.BEGAN + timedelta(minutes=110), True)
    always = states(tmp_path / "b", pairs[1:], watch(sample.VANTAGE)) if (tmp_path / "b").mkdir() is None else {}
    assert (always["home"].since, always["home"].exactly) == (sample.BEGAN + timedelta(minutes=110), False)


def test_a_notice_is_no_quarantine(tmp_path: Path) -> None:
    one = states(tmp_path, [at(170, sample.VANTAGE, LATER)], watch(sample.VANTAGE))["home"]
    assert one.state == "good"
    assert [(f.id, f.effect) for f in one.situations] == [("no_ipv6", "notice")]


def test_silent_after_two_rounds_and_the_jitter_whatever_the_last_test_said(tmp_path: Path) -> None:
    limit = 180 - 125  # minutes after BEGAN: NOW is at 180
    one = states(tmp_path, [at(limit - 1, sample.VANTAGE, FINE)], watch(sample.VANTAGE))["home"]
    assert (one.state, one.since) == ("silent", one.contact)
    (tmp_path / "b").mkdir()
    one = states(tmp_path / "b", [at(limit + 1, sample.VANTAGE, FINE)], watch(sample.VANTAGE))["home"]
    assert one.state == "good"


def test_never_measured_is_not_good(tmp_path: Path) -> None:
    tested = {"home": (sample.NOW, FINE), "proxy": (sample.NOW, OFFLINE)}
    found = states(tmp_path, [], watch(sample.VANTAGE, PROXY, AGENT, tested=tested.get))
    assert {name: one.state for name, one in found.items()} == {
        "home": "never", "proxy": "quarantined", "inside": "never",
    }  # fmt: skip


def test_the_later_self_test_counts(tmp_path: Path) -> None:
    pairs = [at(170, sample.VANTAGE, FINE)]
    fresher = {"home": (sample.BEGAN + timedelta(minutes=175), OFFLINE)}
    older = {"home": (sample.BEGAN + timedelta(minutes=165), OFFLINE)}
    assert states(tmp_path, pairs, watch(sample.VANTAGE, tested=fresher.get))["home"].state == "quarantined"
    assert states(tmp_path, pairs, watch(sample.VANTAGE, tested=older.get))["home"].state == "good"


def test_the_reference_is_tested_and_never_silent(tmp_path: Path) -> None:
    reference = VantageFacts(name="reference")
    for test, state in ((FINE, "good"), (OFFLINE, "quarantined"), (None, "never")):
        tested = {"reference": (sample.NOW, test)} if test else {}
        watched = watch(reference, reference="reference", tested=tested.get)
        found = state_of(reference, watched, None, now=sample.NOW)
        assert (found.state, found.is_reference) == (state, True)


def test_old_measurements_without_the_new_facts(tmp_path: Path) -> None:
    old = msgspec.json.decode(msgspec.json.encode(at(170, VantageFacts(name="home"))[0]))
    assert set(old["vantage"]) == {"name"} and "self_tests" not in old
    made = msgspec.convert(old, Measurement)
    found = states(tmp_path, [(made, analyze(made, sample.NONE))], watch(VantageFacts(name="home")))["home"]
    assert (found.state, found.blind, found.tested, found.as_name) == ("untested", (), None, "")


def test_an_agent_knows_itself_and_the_store_knows_the_agent(tmp_path: Path) -> None:
    seen = msgspec.structs.replace(AGENT, asn=9121, as_name="TTNET", blind=("quic",))
    contact = Contact(vantage="inside", at=sample.NOW, skew=-2.5, spooled=7, version="0.2")
    found = states(tmp_path, [at(1, seen, FINE)], watch(AGENT), contacts=(contact,))["inside"]
    assert (found.state, found.contact) == ("good", sample.NOW)  # it speaks, though it measured long ago
    assert (found.asn, found.as_name, found.blind) == (9121, "TTNET", ("quic",))
    assert (found.spooled, found.version, found.clock_skew) == (7, "0.2", -2.5)
    gone = msgspec.structs.replace(contact, at=sample.NOW - timedelta(days=14))
    (tmp_path / "b").mkdir()
    assert states(tmp_path / "b", [at(1, seen, FINE)], watch(AGENT), contacts=(gone,))["inside"].state == "silent"


@pytest.mark.parametrize("seconds", [1e300, -1e300, float("inf"), float("nan")])
def test_a_self_test_at_an_impossible_time_is_taken_as_the_measurements(seconds: float) -> None:
    made, _verdict = at(170, sample.VANTAGE, msgspec.structs.replace(OFFLINE, at=seconds))
    found = state_of(sample.VANTAGE, watch(sample.VANTAGE), made, now=sample.NOW)
    assert (found.state, found.tested) == ("quarantined", made.time)


# Page and JSON

EVERY = (sample.VANTAGE, PROXY, REMOTE, AGENT, VantageFacts(name="reference"), VantageFacts(name="new"))


def _several() -> list[Pair]:
    return [
        at(170, sample.VANTAGE, LATER), at(172, PROXY, AHEAD), at(0, REMOTE, FINE), at(171, AGENT),
    ]  # fmt: skip


def show(folder: Path, pairs: list[Pair], vantages: tuple[VantageFacts, ...], path: str) -> str:
    """A page about these vantages, markup and all."""

    async def main() -> str:
        watched = watch(*vantages, reference="reference", tested={"reference": (sample.NOW, FINE)}.get)
        async with serving(folder, pairs, vantages=vantages, watch=lambda: watched) as running:
            status, text, _headers = await running.get(path)
            assert status == 200
            return text

    return asyncio.run(main())


def test_the_page_says_in_words_what_is_so(tmp_path: Path) -> None:
    text = show(tmp_path, _several(), EVERY, "/vantages")
    tags = re.findall(r'<td data-label="state"><span class="tag standing (\w+)">(\w+)</span>', text)
    assert [word for _form, word in tags] == ["good", "quarantined", "silent", "untested", "good", "never"]
    assert all(form == word for form, word in tags)
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))
    for shown in (
        "proxy socks5 · from inside RU · AS8359", "Quarantine : its clock is 7200 s fast clock",
        "the answers of its own resolver, QUIC", "at least since 2026-01-31 14:52:00 UTC", "8 min ago",
        "remote · from outside: queries to addresses that run no resolver", "reference direct, the reference",
        "Notice : IPv6 does not work", "not tested yet", "1 insufficient", "country not known", "clock: +7200.0 s",
    ):  # fmt: skip
        assert shown.replace(" :", ":") in text.replace(" :", ":"), shown


def test_the_matrix_marks_what_is_not_to_be_trusted(tmp_path: Path) -> None:
    text = show(tmp_path, _several(), EVERY, "/")
    heads = dict(
        re.findall(
            r'<th scope="col">(\w+)(?: <small>from outside</small>)? '
            r'<a class="tag standing \w+" href="/vantages">(\w+)</a></th>', text,
        )
    )  # fmt: skip
    assert "far <small>from outside</small>" in text
    assert heads == {"proxy": "quarantined", "far": "silent"}
    assert 'data-vantage="proxy · quarantined"' in text and 'data-vantage="home"' in text
    assert '<a href="/vantages">Vantages</a>' in text


def test_the_document_has_every_vantage(tmp_path: Path) -> None:
    document = msgspec.json.decode(show(tmp_path, _several(), EVERY, "/api/v1/vantages"))
    found = {one["name"]: one for one in document["vantages"]}
    assert list(found) == [vantage.name for vantage in EVERY]
    assert found["proxy"] == {
        "name": "proxy", "kind": "socks5", "direction": "inside-out", "method": None, "country": "RU", "asn": 8359,
        "as_name": "", "reference": False, "state": "quarantined", "since": "2026-01-31T14:52:00.123457Z",
        "situations": found["proxy"]["situations"], "blind": ["system_dns", "quic"],
        "last_self_test": "2026-01-31T14:51:57.123457Z", "last_contact": "2026-01-31T14:52:00.123457Z",
        "clock_skew": 7200.0,
        "measurements": {"since": "2026-01-30T00:00:00.000000Z", "outcomes": {"insufficient": 1}},
        "spooled": None, "version": None,
    }  # fmt: skip
    assert {"id": "clock", "effect": "quarantine", "text": "its clock is 7200 s fast"} in found["proxy"]["situations"]
    assert (found["far"]["direction"], found["far"]["method"]) == ("outside-in", "injection")
    assert found["new"]["state"] == "never" and found["new"]["last_contact"] is None
    assert found["reference"]["reference"] is True


def test_a_simulated_network_says_so_here_too(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        assert (await running.json("/api/v1/vantages"))["simulated"] is True
        assert "SIMULATED" in (await running.get("/vantages"))[1]

    served(tmp_path, [], use, simulated=True)


def test_nothing_that_leads_to_the_machine_is_shown(tmp_path: Path) -> None:
    """What measurement and self-test hold of addresses, proxies and accounts; the configuration's never get here."""
    test = msgspec.structs.replace(
        AHEAD, wildcard=(OWN,), nat64=("2a02:6b8:1:2::/96",), resolver_asns=(3,), untrusted=("a.example",),
        failed_resolvers=("udp://77.88.8.8:53", "https://dns.example/account-4711?bootstrap=77.88.8.7"),
        known_blocked_open=("https://user:secret@blocked.example/path",),
    )  # fmt: skip
    pairs = [at(170, PROXY, test)]
    metrics = Metrics()
    metrics.set_vantages([PROXY])
    metrics.observe(*pairs[0])
    (tmp_path / "b").mkdir()
    for shown in (
        show(tmp_path, pairs, (PROXY,), "/vantages"), show(tmp_path / "b", pairs, (PROXY,), "/api/v1/vantages"),
        metrics.render("")[0].decode(),
    ):  # fmt: skip
        for secret in (OWN, "2a02:6b8", "77.88.8", "account-4711", "secret", "user:", "192.0.2.53"):
            assert secret not in shown, secret
        assert "wildcard_dns" in shown and "resolvers_fail" in shown


def test_hostile_words_of_an_agent_stay_words(tmp_path: Path) -> None:
    facts = msgspec.structs.replace(AGENT, country="", as_name=sample.HOSTILE)
    test = SelfTest(opened=(sample.HOSTILE,), failed=(sample.HOSTILE,), failed_resolvers=(sample.HOSTILE,),
                    wildcard=(sample.HOSTILE,), untrusted=(sample.HOSTILE,), known_blocked_open=(sample.HOSTILE,),
                    egress_country=sample.HOSTILE, egress_name=sample.HOSTILE, clock_skew=float("1e300"))  # fmt: skip
    pair = (at(170, facts, FINE)[0], sample.OK)
    pair = (msgspec.structs.replace(pair[0], self_tests=(test,)), sample.OK)
    given = VantageFacts(name="inside", kind="agent")
    text = show(tmp_path, [pair], (given,), "/vantages")
    assert "<script" not in text and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)
    assert "A" * 300 not in text
    metrics = Metrics()
    metrics.set_vantages([given])
    metrics.observe(*pair)
    exposed = metrics.render("")[0].decode()
    assert "A" * 100 not in exposed and "\x1b" not in exposed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("its clock is 7200 s fast", "its clock is 7200 s fast"),
        ("resolvers fail: udp://9.9.9.9:53, system", "resolvers fail: xxxxxxx:53, system"),
        ("open: https://u:p@x.example/a?b=c, http://y.example", "open: x.example, y.example"),
        ("at 12:00:00 in AS4134", "at 12:00:00 in AS4134"),
    ],
)
def test_texts_without_addresses_and_paths(text: str, shown: str) -> None:
    assert situation_text(Found("x", "notice", text)) == shown


# Metrics


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric's label values, as exposed."""
    [family] = [f for f in metrics.registry.collect() if f.name == f"wallwatch_vantage_{name}"]
    return {tuple(one.labels.values()): one.value for one in family.samples}


def test_the_metrics_follow_the_self_tests() -> None:
    metrics = Metrics()
    metrics.set_vantages([sample.VANTAGE, PROXY])
    assert series(metrics, "up") == {}
    assert series(metrics, "not_measured") == {("proxy", "quic"): 1, ("proxy", "system_dns"): 1}
    metrics.observe(*at(5, sample.VANTAGE, OFFLINE, FAST))
    assert series(metrics, "up") == {("home",): 0}
    assert series(metrics, "situation") == {("home", "clock"): 1}
    assert series(metrics, "clock_skew_seconds") == {("home",): 7200.0}
    tested = (sample.BEGAN + timedelta(minutes=5, seconds=-3)).timestamp()
    assert series(metrics, "last_self_test_timestamp_seconds") == {("home",): tested}
    assert ("home", "direct", "CN", "4134", "CHINANET") in series(metrics, "info")
    metrics.vantage_tested(sample.VANTAGE, LATER, tested + 60)
    assert series(metrics, "up") == {("home",): 1}
    assert series(metrics, "situation") == {("home", "no_ipv6"): 1}


def test_a_way_out_that_moved_does_not_change_where_a_vantage_is_said_to_be() -> None:
    moved = SelfTest(opened=NAMES, egress_country="DE", egress_asn=24940, egress_name="HETZNER-AS")
    metrics = Metrics()
    metrics.set_vantages([PROXY, VantageFacts(name="open")])
    metrics.observe(*at(5, PROXY, moved))
    metrics.observe(*at(5, VantageFacts(name="open"), moved))
    assert set(series(metrics, "info")) == {
        ("proxy", "socks5", "RU", "8359", ""), ("open", "direct", "DE", "24940", "HETZNER-AS"),
    }  # fmt: skip
    assert ("proxy", "moved_egress") in series(metrics, "situation")
    one = state_of(PROXY, watch(PROXY), at(5, PROXY, moved)[0], now=sample.NOW)
    assert (one.country, one.asn, one.as_name) == ("RU", 8359, "")


def test_what_comes_late_changes_nothing() -> None:
    metrics = Metrics()
    metrics.set_vantages([AGENT])
    metrics.observe(*at(50, AGENT, FINE))
    metrics.vantage_contact("inside", 50.0)
    metrics.observe(*at(10, AGENT, OFFLINE))
    metrics.vantage_contact("inside", 10.0)
    assert series(metrics, "up") == {("inside",): 1}
    assert series(metrics, "last_contact_timestamp_seconds") == {("inside",): 50.0}


def test_series_of_a_removed_vantage_disappear_and_are_new_when_it_is_back() -> None:
    metrics = Metrics()
    metrics.set_vantages([sample.VANTAGE, PROXY])
    metrics.observe(*at(5, PROXY, AHEAD))
    metrics.vantage_contact("proxy", 5.0)
    metrics.set_vantages([sample.VANTAGE])
    metrics.observe(*at(6, PROXY, AHEAD))
    assert 'vantage="proxy"' not in metrics.render("")[0].decode()
    metrics.set_vantages([sample.VANTAGE, PROXY])
    metrics.observe(*at(1, PROXY, FINE))
    assert series(metrics, "up") == {("proxy",): 1}


def test_a_restart_takes_the_metrics_from_the_store(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "x.db") as store:
            for pair in (at(5, PROXY, FINE), at(6, PROXY, AHEAD), at(6, REMOTE, FINE)):
                await store.save(*pair)
            metrics = Metrics()
            metrics.set_vantages([PROXY])
            newest = await store.newest_of_vantages(["proxy", "nobody"])
            assert list(newest) == ["proxy"] and newest["proxy"].uid == "proxy-6"
            metrics.restore_vantages(newest.values())
            assert series(metrics, "up") == {("proxy",): 0}

    asyncio.run(main())


def test_words_for_what_is_not_measured_are_the_only_labels() -> None:
    metrics = Metrics()
    odd = msgspec.structs.replace(AGENT, blind=("quic", "evil\n", "x" * 1000))
    metrics.set_vantages([AGENT])
    metrics.observe(*at(5, odd, FINE))
    assert {word for _vantage, word in series(metrics, "not_measured")} == {"quic"} <= set(WORDS)


def test_since_when_nothing_is_certain_is_looked_for_in_the_last_500(tmp_path: Path) -> None:
    lost = Verdict(outcome="insufficient", cause="offline", rules_version=1)
    when: list[datetime] = []

    async def main() -> None:
        async with Store.open(tmp_path / "x.db") as store:
            assert await store.insufficient_since("home") is None
            await store.save(at(-1, sample.VANTAGE, FINE)[0], sample.OK)
            assert await store.insufficient_since("home") is None
            made = [at(n, sample.VANTAGE, OFFLINE)[0] for n in range(501)]
            for one in made:
                when.append(one.time)
            await asyncio.gather(*(store.save(one, lost, defer=True) for one in made))
            assert await store.insufficient_since("home") == (when[1], False)

    asyncio.run(main())

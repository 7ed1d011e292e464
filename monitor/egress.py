"""Tests a vantage and settles where its way out ends: what was confirmed is kept in the store, a first look confirms.

What the configuration says goes before. The address itself is nowhere: only country, AS number and name are known.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from blocklists.network import Network
from monitor.engine import Engine
from monitor.judge.unusable import place
from monitor.judge.vantage import QUARANTINE, is_quarantined, situations
from probes.measurement import SelfTest, VantageFacts


class Confirmations(Protocol):
    """Who remembers them: a store."""

    async def egresses(self) -> Mapping[str, Network]:
        """Vantage → the network in which its way out ends, as it was confirmed."""

    async def confirm_egress(self, vantage: str, network: Network, now: datetime) -> None:
        """Remember one."""


async def examine(engine: Engine, kept: Confirmations, name: str, *, since: float | None = None) -> SelfTest:
    """Test a vantage by its confirmed way out as it is now, or share a fresh test; see `SelfTester.test`."""
    confirmed = await take_confirmed(engine, kept)
    _at, test = await engine.collector.tester.test(engine.vantages[name], since=since)
    test = engine.collector.noted(test, engine.vantages[name])
    before, seen = fitting(engine.given[name], confirmed.get(name)), seen_by(test)
    if seen is None or is_quarantined(test, engine.vantages[name].facts):
        return test
    if (now := _together(before or Network(), seen)) != before:
        await kept.confirm_egress(name, now, engine.setup.clock.now())
        await take_confirmed(engine, kept)
    return test


async def confirm_present(engine: Engine, kept: Confirmations, name: str) -> tuple[SelfTest, str]:
    """Test a vantage now and confirm what is seen; the test, and why it was not confirmed (empty: it was)."""
    given = engine.given[name]
    if given.kind == "agent":
        return SelfTest(), "an agent tests itself: say where it is in the configuration, by `country` and `asn`"
    if given.direction != "inside-out":
        return SelfTest(), "a remote vantage is where its list of places says"
    _at, test = await engine.collector.tester.test(engine.vantages[name])
    seen = seen_by(test)
    if seen is None:
        return test, "no helper over https said from which network it is asked, or the table does not know it"
    if fitting(given, seen) is None:
        said = f"vantage.country {given.country!r} and vantage.asn {given.asn}"
        return test, f"the configuration says {said}, and it is in {place(seen.asn, seen.country)}: change it there"
    if is_quarantined(test, with_egress(given, seen)):
        return test, "; ".join(f.text for f in situations(test, with_egress(given, seen)) if f.effect == QUARANTINE)
    await kept.confirm_egress(name, seen, engine.setup.clock.now())
    return test, ""


async def take_confirmed(engine: Engine, kept: Confirmations) -> Mapping[str, Network]:
    """Let the engine's vantages have the facts that follow from what is confirmed at present."""
    confirmed = await kept.egresses()
    for name, given in engine.given.items():
        engine.set_facts(name, with_egress(given, confirmed.get(name)))
    return confirmed


def _together(before: Network, seen: Network) -> Network:
    """What is known of one network by two looks."""
    return Network(country=seen.country or before.country, asn=seen.asn or before.asn, name=seen.name or before.name)


def seen_by(test: SelfTest) -> Network | None:
    """The network in which the way out ended at a test; None where that was not known."""
    if not test.egress_country and not test.egress_asn:
        return None
    return Network(country=test.egress_country, asn=test.egress_asn, name=test.egress_name)


def with_egress(given: VantageFacts, network: Network | None) -> VantageFacts:
    """The configuration's facts, and what it leaves out from the confirmed network, where both can be true."""
    network = fitting(given, network)
    if network is None:
        return given
    asn = given.asn or network.asn
    return msgspec.structs.replace(
        given, country=given.country or network.country, asn=asn,
        as_name=given.as_name or (network.name if network.asn == asn else ""),
    )  # fmt: skip


def fitting(given: VantageFacts, network: Network | None) -> Network | None:
    """A confirmed network that does not contradict the configuration: that was changed since, and is right.

    A remote vantage's facts are those of the network that it looks at, which its way out says nothing about.
    """
    if network is None or given.direction != "inside-out":
        return None
    country = given.country and network.country and given.country != network.country
    asn = given.asn and network.asn and given.asn != network.asn
    return None if country or asn else network

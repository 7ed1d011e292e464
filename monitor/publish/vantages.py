"""How each vantage is doing: what it says of itself, what it cannot see, when it was last heard of.

Never an address, a proxy, an interface or a path: what is shown here must not lead to the machine.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from monitor.judge.vantage import QUARANTINE, Found, situations
from monitor.store import Store
from monitor.store.agents import Contact
from probes.capability import WORDS
from probes.measurement import Measurement, SelfTest, VantageFacts, rfc3339

from .export import addresses
from .text import printable

GOOD, QUARANTINED, SILENT, UNTESTED, NEVER = "good", "quarantined", "silent", "untested", "never"
MEANING = {
    GOOD: "it passed its last self-test: its results count",
    QUARANTINED: "it failed its last self-test: its results are insufficient until it passes one",
    SILENT: "nothing was heard of it for more than two rounds",
    UNTESTED: "it measures, but says nothing about itself",
    NEVER: "it was never measured from",
}
DIRECTIONS = {"inside-out": "from inside", "outside-in": "from outside"}
METHODS = {
    "injection": "queries to addresses that run no resolver",
    "resolvers": "queries to resolvers there",
    "servers": "requests to servers there",
    "sink": "requests across the border to a silent listener",
}
_TEXT, _NAME = 200, 80  # characters of a situation's text, and of what else an agent may have written
_MOST = 2000  # characters of it that are looked at
_KEPT = ("64:ff9b::",)  # the prefix of NAT64 that everybody has (RFC 6052) says nothing about a vantage
_URL = re.compile(r"[a-z]{1,9}://(?:[^\s/@]*@)?([^\s/,;?#]+)[^\s,;]*")
Tested = tuple[datetime, SelfTest]


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked after. `vantages`: all that are configured; `reference`: the one that serves as control.

    `patience`: seconds without contact after which a vantage is silent. `tested`: a vantage's last self-test in this
    process, by its name; None where there was none.
    """

    vantages: tuple[VantageFacts, ...]
    reference: str = ""
    patience: float = 7200.0
    tested: Callable[[str], Tested | None] = lambda _name: None


class VantageState(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage. `state`: a key of `MEANING`; `since`: of the first result that told nothing, where it is
    quarantined, or of the last contact, where it is silent; `exactly`: False where it may have been so before.

    `tested` and `contact` are times, `clock_skew` is in seconds (positive: it is fast); `counts` are measurements by
    outcome from the day of `counted` on; `spooled` and `version` are an agent's, None and empty where not known.
    """

    name: str
    kind: str
    direction: str
    method: str
    country: str
    asn: int
    as_name: str
    is_reference: bool
    state: str
    situations: tuple[Found, ...] = ()
    blind: tuple[str, ...] = ()
    since: datetime | None = None
    exactly: bool = True
    tested: datetime | None = None
    contact: datetime | None = None
    clock_skew: float | None = None
    counts: Mapping[str, int] = {}
    counted: datetime | None = None
    spooled: int | None = None
    version: str = ""

    @property
    def blind_words(self) -> tuple[str, ...]:
        """What cannot be measured from there, in words."""
        return tuple(WORDS.get(word, word) for word in self.blind)


async def vantage_states(store: Store, watch: Watch, now: datetime) -> tuple[VantageState, ...]:
    """Every configured vantage, in the configuration's order."""
    names = [facts.name for facts in watch.vantages]
    day_before = now - timedelta(days=1)
    newest, agents, counts = await asyncio.gather(
        store.newest_of_vantages(names), _agents(store), store.vantage_counts(day_before)
    )
    states = []
    for facts in watch.vantages:
        one = state_of(facts, watch, newest.get(facts.name), now=now, agent=agents.get(facts.name))
        one = msgspec.structs.replace(one, counts=counts.get(facts.name, {}), counted=_midnight(day_before))
        states.append(await _since(store, one))
    return tuple(states)


async def standings(store: Store, watch: Watch, now: datetime) -> dict[str, str]:
    """The names of those vantages that are quarantined or silent, and which of both."""
    names = [facts.name for facts in watch.vantages]
    newest, agents = await asyncio.gather(store.newest_of_vantages(names), _agents(store))
    states = [state_of(f, watch, newest.get(f.name), now=now, agent=agents.get(f.name)) for f in watch.vantages]
    return {one.name: one.state for one in states if one.state in (QUARANTINED, SILENT)}


async def _agents(store: Store) -> dict[str, Contact]:
    return {contact.vantage: contact for contact in await store.contacts()}


def state_of(
    facts: VantageFacts, watch: Watch, newest: Measurement | None, *, now: datetime, agent: Contact | None = None
) -> VantageState:
    """A vantage's state by its newest measurement, the last self-test of this process and an agent's last contact."""
    measured = newest.vantage if newest is not None else facts
    test, own = _freshest(facts, watch.tested(facts.name), newest)
    found = situations(test[1], own) if test else ()
    agent = agent if facts.kind == "agent" else None
    contact = max([*([newest.time] if newest else []), *([agent.at] if agent else [])], default=None)
    said = test[1] if test else SelfTest()
    skew = agent.skew if agent is not None and agent.skew is not None else said.clock_skew
    is_reference = facts.name == watch.reference
    place = learned(facts, measured, said)
    return VantageState(
        name=facts.name, kind=facts.kind, direction=facts.direction, method=facts.method, is_reference=is_reference,
        country=place.country, asn=place.asn, as_name=place.as_name,
        state=_state(found, test, None if is_reference else contact, late=now - timedelta(seconds=watch.patience),
                     measures=not is_reference),
        situations=found, blind=place.blind, tested=test[0] if test else None, contact=contact,
        clock_skew=skew, spooled=agent.spooled if agent else None,
        version=printable(agent.version, _NAME) if agent else "",
    )  # fmt: skip


def _state(
    found: tuple[Found, ...], test: Tested | None, contact: datetime | None, *, late: datetime, measures: bool
) -> str:
    """A reference is only tested: it is not silent where nothing is measured from it (`measures`)."""
    if contact is not None and contact < late:
        return SILENT
    if any(one.effect == QUARANTINE for one in found):
        return QUARANTINED
    if contact is None and (measures or test is None):
        return NEVER
    return GOOD if test is not None else UNTESTED


def _freshest(
    facts: VantageFacts, own: Tested | None, newest: Measurement | None
) -> tuple[Tested | None, VantageFacts]:
    """The later one of both self-tests, and the vantage as it was then."""
    stored = last_test(newest) if newest is not None else None
    if newest is None or stored is None or (own is not None and own[0] >= stored[0]):
        return own, facts
    return stored, newest.vantage


def last_test(measurement: Measurement) -> Tested | None:
    """The last self-test beside a measurement, and when it was made."""
    if not measurement.self_tests:
        return None
    test = measurement.self_tests[-1]
    try:
        return measurement.time + timedelta(seconds=test.at), test
    except (OverflowError, ValueError):  # a record from elsewhere may say anything
        return measurement.time, test


def learned(facts: VantageFacts, measured: VantageFacts, test: SelfTest) -> VantageFacts:
    """The configured facts, and what they leave open by the vantage's own word: that is bounded and on one line.

    Its word is not taken where it names another country or network than what is known: the way out has moved.
    What it cannot see an agent knows better than the configuration does.
    """
    country, asn, as_name = facts.country, facts.asn, facts.as_name
    for place in (
        (measured.country, measured.asn, measured.as_name),
        (test.egress_country, test.egress_asn, test.egress_name),
    ):
        if _agree(country, place[0]) and _agree(asn, place[1]):
            country, asn, as_name = country or place[0], asn or place[1], as_name or place[2]
    blind = measured.blind if facts.kind == "agent" else facts.blind
    return msgspec.structs.replace(
        facts, country=printable(country, _NAME), asn=asn, as_name=printable(as_name, _NAME),
        blind=tuple(word for word in WORDS if word in blind),
    )  # fmt: skip


def _agree(known: str | int, told: str | int) -> bool:
    return not known or not told or known == told


async def _since(store: Store, one: VantageState) -> VantageState:
    if one.state == SILENT:
        return msgspec.structs.replace(one, since=one.contact)
    if one.state == QUARANTINED and (began := await store.insufficient_since(one.name)) is not None:
        return msgspec.structs.replace(one, since=began[0], exactly=began[1])
    return one


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def situation_text(found: Found) -> str:
    """What is wrong, on one line. Addresses are crossed out: some of a vantage's own could be among them. Of a URL the
    host stays: the path of a resolver's may name an account.
    """
    return printable(addresses.cross_out(_URL.sub(r"\1", found.text[:_MOST]), _KEPT), _TEXT)


def as_document(one: VantageState) -> dict[str, Any]:
    """One vantage for JSON."""
    return {
        "name": one.name, "kind": one.kind, "direction": one.direction, "method": one.method or None,
        "country": one.country, "asn": one.asn, "as_name": one.as_name, "reference": one.is_reference,
        "state": one.state, "since": _time(one.since),
        "situations": [{"id": f.id, "effect": f.effect, "text": situation_text(f)} for f in one.situations],
        "blind": list(one.blind), "last_self_test": _time(one.tested), "last_contact": _time(one.contact),
        "clock_skew": one.clock_skew, "measurements": {"since": _time(one.counted), "outcomes": dict(one.counts)},
        "spooled": one.spooled, "version": one.version or None,
    }  # fmt: skip


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None

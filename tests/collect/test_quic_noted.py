"""Whether a way out has QUIC at all is noted, so that not every site's first look waits for it (row 30)."""

from datetime import timedelta
from typing import Any

from blocklists import Fingerprints, target_of
from monitor.collect.collect import Collector
from monitor.collect.residual import Residual
from monitor.collect.vantage import Vantage
from monitor.collect.work import QUIC_SITES, Work
from probes.certificate import Authorities
from probes.clock import Clock
from probes.experiment import Attempt, Experiment
from probes.failure import TIMEOUT
from probes.measurement import VantageFacts
from probes.network import DirectNetwork
from probes.resolvers import parse_resolvers
from probes.trace import Limits


def work() -> Work:
    """A measurement that is never begun: what it would need of control and self-test is not touched."""
    clock = Clock()
    none: Any = None
    collector = Collector(
        authorities=Authorities(None), control=none, tester=none, residual=Residual(clock, rest=timedelta(1)),
        fingerprints=Fingerprints([]), limits=Limits(), clock=clock,
    )  # fmt: skip
    vantage = Vantage(
        facts=VantageFacts(name="a"), network=DirectNetwork(), resolvers=parse_resolvers(["system"]), egress="a"
    )
    return Work(collector, target_of("https://site.example/"), vantage)


def tried(*ends: tuple[str, str | None]) -> tuple[Experiment, ...]:
    tries = tuple(
        Attempt(sent="control.example", innocuous=True, started=0.0, finished=1.0, address=a, port=443, failure=how)
        for a, how in ends
    )
    return (Experiment(kind="quic", place="own", tries=tries),)


def test_one_site_alone_says_nothing() -> None:
    made = work()
    for _ in range(5):
        made._note_quic(tried(("192.0.2.1", TIMEOUT), ("192.0.2.1", TIMEOUT)))
    assert made._has_quic()


def test_two_places_in_one_measurement_are_enough() -> None:
    made = work()
    made._note_quic(tried(("192.0.2.1", TIMEOUT), ("192.0.2.2", TIMEOUT)))
    assert not made._has_quic()


def test_several_sites_in_turn_are_enough_unless_one_answers() -> None:
    made = work()
    for number in range(QUIC_SITES - 1):
        made._note_quic(tried((f"192.0.2.{number}", TIMEOUT)))
    made._note_quic(tried(("192.0.2.9", None)))
    for number in range(QUIC_SITES - 1):
        made._note_quic(tried((f"192.0.2.{number}", TIMEOUT)))
        assert made._has_quic()
    made._note_quic(tried(("192.0.2.77", TIMEOUT)))
    assert not made._has_quic()

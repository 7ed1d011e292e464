"""Throttling: slow only with the name, slow only here, and everything innocent that looks like it."""

from typing import Any

import msgspec
import pytest

from monitor.judge.artefacts import PROOF
from monitor.judge.experiments import OWN
from monitor.judge.finding import Finding
from monitor.judge.throttling import throttled, throttled_by_name
from probes.experiment import Attempt, Experiment
from probes.failure import TIMEOUT
from probes.followup.throughput import SIZE
from probes.http import HTTPRoundTrip
from probes.measurement import ControlReply
from probes.tls import TLSHandshake

from . import build
from .build import NAME, SITE

LISTENER, OTHER = "203.0.113.7", "203.0.113.8"
FAST, SLOW, CRAWL = 1_000_000.0, 100_000.0, 17_000.0  # bytes a second; 17 kB is Russia's for Twitter in 2021
PAGE = 400_000


def transfer(rate: float, *, innocuous: bool = False, address: str = LISTENER, body: int = SIZE,
             certificate: str | None = None, **fields: Any) -> Attempt:  # fmt: skip
    """A transfer at a rate: as much as comes in ten seconds, of a body of that size."""
    took = min(10.0, body / rate)
    length = int(min(body, took * rate))
    sent = "good.example" if innocuous else NAME
    secure = TLSHandshake(started=0.1, finished=0.2, address=address, port=443, server_name=sent,
                          certificate_failure=certificate)  # fmt: skip
    page = HTTPRoundTrip(
        started=0.2, finished=0.2 + took, first_byte=0.2, address=address, port=443, url="https://x/",
        **({"status": 200, "body_length": length, "cut": "deadline" if length < body else ""} | fields),
    )  # fmt: skip
    return Attempt(sent=sent, innocuous=innocuous, address=address, port=443, started=0.0, finished=page.finished,
                   failure=page.failure, operations=(secure, page))  # fmt: skip


def four(*rates: float, place: str = "neutral", **fields: Any) -> Experiment:
    """Name, innocuous, innocuous, name."""
    where = SITE if place == "own" else LISTENER
    made = [transfer(r, innocuous=n in (1, 2), address=where, **fields) for n, r in enumerate(rates)]
    return Experiment(kind="throughput", place=place, tries=tuple(made))


def alone(*rates: float, **fields: Any) -> Experiment:
    """The site's own address, without another name to compare with."""
    made = tuple(transfer(r, address=SITE, **fields) for r in rates)
    return Experiment(kind="throughput", place="own", tries=made)


def control(rate: float = FAST) -> tuple[ControlReply, ...]:
    return build.twice(page=build.control_page(body_length=PAGE, ttfb=0.0, body_seconds=PAGE / rate))


def found(*experiments: Experiment, replies: tuple[ControlReply, ...] | None = None) -> list[Finding]:
    made = build.measure(build.dns(SITE), build.contact(), replies=control() if replies is None else replies)
    case = build.case(msgspec.structs.replace(made, experiments=experiments))
    return [*throttled_by_name(case), *throttled(case)]


def techniques(*experiments: Experiment, replies: tuple[ControlReply, ...] | None = None) -> list[str | None]:
    return [finding.technique for finding in found(*experiments, replies=replies)]


LINE = four(FAST, FAST, FAST, FAST)  # both names run through the listener


# With the name only.


def test_a_listener_crawls_with_the_name_only() -> None:
    [finding] = found(four(CRAWL, FAST, FAST, CRAWL))
    assert (finding.technique, finding.weight, finding.failures) == ("throttle.sni", PROOF, 2)
    assert finding.text == (
        f"2 of 2 transfers with {NAME} came at 17.0 kB/s or less, those with good.example in between at 1000.0 kB/s "
        "or more, from a listener that serves every name"
    )


def test_the_proof_needs_no_control() -> None:
    assert techniques(four(CRAWL, FAST, FAST, CRAWL), replies=()) == ["throttle.sni"]


def test_a_transfer_that_stands_still_after_some_bytes_crawls_too() -> None:
    still, whole = transfer(CRAWL, failure=TIMEOUT, cut="", body_length=16_000), four(CRAWL, FAST, FAST, CRAWL)
    assert techniques(msgspec.structs.replace(whole, tries=(still, *whole.tries[1:3], still))) == ["throttle.sni"]


def test_the_sites_own_address_proves_less() -> None:
    [finding] = found(four(CRAWL, FAST, FAST, CRAWL, place="own"))
    assert (finding.technique, finding.weight) == ("throttle.sni", OWN)


@pytest.mark.parametrize(
    "rates",
    [
        (CRAWL, CRAWL, CRAWL, CRAWL),  # the line, or a server that limits each connection
        (FAST, FAST, FAST, FAST),
        (CRAWL, FAST, FAST, FAST),  # one slow run
        (FAST, FAST, FAST, CRAWL),
        (CRAWL, FAST, SLOW / 2, CRAWL),  # a line that comes and goes
        (FAST, CRAWL, CRAWL, FAST),  # the other way round
        (SLOW + 100_001, FAST, FAST, CRAWL),  # just above a fifth
        (FAST, FAST, CRAWL, CRAWL),  # it became slow meanwhile
        (CRAWL, CRAWL, FAST, FAST),
    ],
)
@pytest.mark.parametrize("place", ["neutral", "own"])
def test_what_is_not_slow_with_the_name_only(rates: tuple[float, ...], place: str) -> None:
    assert not techniques(four(*rates, place=place))


def test_one_run_is_no_proof() -> None:
    whole = four(CRAWL, FAST, FAST, CRAWL)
    for count in range(4):
        assert not techniques(msgspec.structs.replace(whole, tries=whole.tries[:count]))


def test_a_transfer_below_256_kib_that_ended_is_none() -> None:
    assert not techniques(four(CRAWL, FAST, FAST, CRAWL, body=100_000))  # 6 s for the name, whole
    assert techniques(four(CRAWL / 2, FAST, FAST, CRAWL / 2, body=100_000)) == ["throttle.sni"]  # 10 s and not whole


def test_another_path_is_no_comparison() -> None:
    whole = four(CRAWL, FAST, FAST, CRAWL)
    elsewhere = transfer(FAST, innocuous=True, address=OTHER)
    assert not techniques(msgspec.structs.replace(whole, tries=(*whole.tries[:2], elsewhere, whole.tries[3])))


@pytest.mark.parametrize("fields", [{"status": 403}, {"failure": "connection_reset", "cut": ""}])
def test_refused_or_reset_is_not_slow(fields: dict[str, Any]) -> None:
    whole, bad = four(CRAWL, FAST, FAST, CRAWL), transfer(CRAWL, **fields)
    assert not techniques(msgspec.structs.replace(whole, tries=(bad, *whole.tries[1:])))


def test_a_server_that_is_slow_for_the_control_too_has_its_own_mind_about_names() -> None:
    assert not techniques(four(CRAWL, FAST, FAST, CRAWL, place="own"), replies=control(CRAWL * 3))
    assert not techniques(four(CRAWL, FAST, FAST, CRAWL, place="own"), replies=build.twice())  # it timed nothing


def test_somebody_elses_certificate_is_not_the_sites_speed() -> None:
    crawling = four(CRAWL, FAST, FAST, CRAWL, place="own", certificate="ssl_unknown_authority")
    assert not techniques(crawling, LINE)


# Only the site's own address.


def test_the_site_crawls_here_and_the_line_does_not() -> None:
    [finding] = found(LINE, alone(CRAWL, CRAWL))
    assert (finding.technique, finding.weight, finding.failures, finding.address) == ("throttle", 1.5, 2, SITE)
    assert finding.text == (
        "2 of 2 transfers of the page came at 17.0 kB/s or less, to the control at 1000.0 kB/s, while this line "
        "carried 1000.0 kB/s from elsewhere"
    )


def test_the_address_crawls_under_any_name() -> None:
    assert techniques(LINE, four(CRAWL, CRAWL, CRAWL, CRAWL, place="own")) == ["throttle"]


def test_with_a_proof_the_suspicion_is_not_told_again() -> None:
    assert techniques(four(CRAWL, FAST, FAST, CRAWL), alone(CRAWL, CRAWL)) == ["throttle.sni"]


@pytest.mark.parametrize(
    "experiments, theirs",
    [
        ((alone(CRAWL, CRAWL),), FAST),  # nothing is known of the line
        ((four(CRAWL, CRAWL, CRAWL, CRAWL), alone(CRAWL, CRAWL)), FAST),  # a slow line
        ((four(FAST, FAST, CRAWL, FAST), alone(CRAWL, CRAWL)), FAST),  # a line that comes and goes
        ((LINE, alone(CRAWL, CRAWL)), CRAWL * 4),  # a slow site
        ((LINE, alone(CRAWL, CRAWL)), 0.0),  # a control that timed nothing
        ((LINE, alone(CRAWL, FAST)), FAST),  # one slow run
        ((LINE, alone(CRAWL)), FAST),
        ((LINE, alone(CRAWL, CRAWL, body=100_000)), FAST),  # a short page
        ((LINE, alone(FAST, FAST)), FAST),
        ((LINE,), FAST),
        ((), FAST),
    ],
)
def test_what_is_an_innocent_slowness(experiments: tuple[Experiment, ...], theirs: float) -> None:
    assert not techniques(*experiments, replies=control(theirs) if theirs else build.twice())

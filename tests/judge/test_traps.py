"""Traps that a rule once fell into: each is a wrong verdict that must not come back."""

from datetime import UTC, datetime, timedelta

from blocklists import Fingerprints
from monitor.judge.analyze import analyze
from monitor.judge.detect import Point, detect
from monitor.judge.verdict import Verdict
from probes.measurement import Measurement

from . import build
from .build import (
    FINGERPRINTS,
    PLAIN,
    RESET,
    SITE,
    SIX,
    STRANGER,
    WALL_BODY,
    WRONG_NAME,
    contact,
    dns,
    fingerprint,
    measure,
    twice,
)  # fmt: skip

SINKHOLE = "10.10.34.35"
IRAN = Fingerprints([fingerprint("ir", "dns", SINKHOLE, countries=("IR",))])


def judged(measurement: Measurement, fingerprints: Fingerprints = FINGERPRINTS) -> Verdict:
    return analyze(measurement, fingerprints)


def test_a_known_sinkhole_is_proof_without_a_control() -> None:
    failed = measure(dns(SINKHOLE), contact(SINKHOLE, tcp="generic_timeout_error"), replies=build.FAILED, country="IR")
    missing = measure(dns(SINKHOLE), replies=(), control_configured=False, country="IR")
    for measurement in (failed, missing):
        verdict = judged(measurement, IRAN)
        assert (verdict.outcome, verdict.technique) == ("blocked", "dns.injection.bogon")


def test_a_bot_wall_at_a_strangers_address_does_not_hide_a_forged_answer() -> None:
    parts = []
    for attempt in range(4):
        page = contact(STRANGER, attempt=attempt, url=PLAIN, body=WALL_BODY, title="x", status=403)
        beside = contact(STRANGER, attempt=attempt, certificate=WRONG_NAME, at=0.5)
        parts += [dns(STRANGER, attempt=attempt), *page, *beside]
    verdict = judged(measure(parts, url=PLAIN))
    assert (verdict.outcome, verdict.technique) == ("likely_blocked", "dns.injection.other")


def test_a_body_that_is_still_coming_is_no_other_page() -> None:
    parts = []
    for attempt in range(4):
        page = contact(attempt=attempt, url=PLAIN, cut="deadline", body_length=40, title="")
        parts += [dns(SITE, attempt=attempt), *page]
    assert judged(measure(parts, url=PLAIN)).outcome == "insufficient"


def test_a_lucky_first_look_does_not_clear_the_target() -> None:
    parts = [dns(SITE), *contact()]
    for attempt in (1, 2, 3):
        parts += [dns(SITE, attempt=attempt), *contact(attempt=attempt, tls=RESET)]
    verdict = judged(measure(parts))
    assert (verdict.outcome, verdict.cause) == ("insufficient", "ambiguous")


def test_only_ipv6_failing_is_ok_even_where_ipv6_works() -> None:
    parts = []
    for attempt in range(4):
        lookups = [dns(SITE, attempt=attempt), dns(SIX, attempt=attempt, kind="AAAA")]
        parts += [*lookups, *contact(attempt=attempt), *contact(SIX, attempt=attempt, tls=RESET, at=0.5)]
    assert judged(measure(parts, replies=twice(addresses=(SITE, SIX)))).outcome == "ok"


def test_two_different_techniques_confirm_no_change_of_technique() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    names = ["tls.reset", "dns.injection", "http.diff"]
    points = [Point(start + timedelta(days=day), "blocked", name) for day, name in enumerate(names)]
    assert detect(points, target="t", vantage="v")[0] == []

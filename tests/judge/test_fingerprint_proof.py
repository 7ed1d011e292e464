"""What a fingerprint proves: by scope, country and confidence, and what a look-alike beside it says against."""

import pytest

from blocklists import Fingerprint, Fingerprints
from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from probes.measurement import AnyOperation, Measurement

from . import build as b
from .build import contact, control_page, dns, http_control, measure

SCOPES = ("nat", "isp", "prod", "inst", "vbw", "fp", "injb", "prov")


def known(place: str, pattern: str, *, scope: str = "nat", confidence: int = 5, countries: tuple[str, ...] = ("IR",)) -> Fingerprint:  # fmt: skip
    kind = "full" if place == "dns" else "contains"
    return Fingerprint(
        name=f"{scope}.{place}", scope=scope, location=place, pattern_type=kind, pattern=pattern,
        confidence=confidence, countries=countries, source="test",
    )  # fmt: skip


def page(country: str, *prints: Fingerprint, tries: int = 1) -> Verdict:
    """The verdict on a page over plain HTTP that the control does not get."""
    parts: list[AnyOperation] = []
    for attempt in range(tries):
        parts += [dns(b.SITE, attempt=attempt)]
        parts += [*contact(url=b.PLAIN, attempt=attempt, body=b.BLOCK_BODY, title="", body_length=26)]
    return analyze(measure(*parts, url=b.PLAIN, country=country), Fingerprints(prints))


def answer(country: str, *prints: Fingerprint) -> Verdict:
    """The verdict on an address that the control does not get."""
    measurement: Measurement = measure(
        dns(b.BLOCK_ADDRESS), contact(b.BLOCK_ADDRESS, tcp="generic_timeout_error"), country=country
    )
    return analyze(measurement, Fingerprints(prints))


BODY = b.BLOCK_BODY.decode()


@pytest.mark.parametrize("scope", SCOPES)
def test_what_each_scope_proves(scope: str) -> None:
    """(expected country, country not said, elsewhere, vantage unknown): a page, and the same for an address."""
    proves = {
        "nat": (True, True, False, True), "isp": (True, True, False, True),
        "prod": (True, False, False, False), "injb": (True, False, False, False), "prov": (True, False, False, False),
        "inst": (False,) * 4, "vbw": (False,) * 4, "fp": (False,) * 4,
    }[scope]  # fmt: skip
    for place, pattern, judge in (("body", BODY, page), ("dns", b.BLOCK_ADDRESS, answer)):
        said, unsaid = known(place, pattern, scope=scope), known(place, pattern, scope=scope, countries=())
        seen = tuple(
            judge(country, row).outcome == "blocked"
            for country, row in (("IR", said), ("IR", unsaid), ("IT", said), ("", said))
        )
        assert seen == proves, place


def test_an_iranian_page_seen_in_italy_is_no_proof() -> None:
    here, there = page("IR", known("body", BODY)), page("IT", known("body", BODY))
    assert (here.outcome, here.technique) == ("blocked", "http.blockpage")
    assert there.outcome in ("insufficient", "likely_blocked")
    assert "http.known_block_page" not in there.rules
    assert page("IT", known("body", BODY, countries=("IR", "IT"))).outcome == "blocked"


@pytest.mark.parametrize(("confidence", "outcome"), [(0, False), (4, False), (5, True), (10, True)])
def test_a_fingerprint_rated_below_five_proves_nothing_alone(confidence: int, outcome: bool) -> None:
    assert (page("IR", known("body", BODY, confidence=confidence)).outcome == "blocked") is outcome
    assert (answer("IR", known("dns", b.BLOCK_ADDRESS, confidence=confidence)).outcome == "blocked") is outcome


def test_a_weak_fingerprint_beside_a_strong_one_takes_nothing_away() -> None:
    assert page("IR", known("body", BODY), known("body", "<h1>", scope="vbw", countries=())).outcome == "blocked"


@pytest.mark.parametrize(("page_rated", "wall_rated", "blocked"), [(5, 5, False), (5, 9, False), (8, 5, True)])
def test_a_look_alike_in_the_same_page_speaks_against(page_rated: int, wall_rated: int, blocked: bool) -> None:
    wall = known("body", "<h1>Blocked", scope="fp", confidence=wall_rated, countries=())
    verdict = page("IR", known("body", BODY, confidence=page_rated), wall)
    assert (verdict.outcome == "blocked") is blocked
    elsewhere = known("body", "Attention Required", scope="fp", confidence=9, countries=())
    assert page("IR", known("body", BODY), elsewhere).outcome == "blocked"


def test_a_look_alike_is_no_unlike_page_either() -> None:
    wall = known("body", BODY, scope="fp", countries=())
    assert page("IR", tries=4).outcome == "likely_blocked"
    assert page("IR", wall, tries=4).outcome == "down"


def test_an_address_marked_as_a_look_alike_is_no_proof() -> None:
    other = known("dns", b.BLOCK_ADDRESS, scope="fp", confidence=9, countries=())
    assert answer("IR", known("dns", b.BLOCK_ADDRESS)).outcome == "blocked"
    assert answer("IR", known("dns", b.BLOCK_ADDRESS), other).outcome != "blocked"


def test_what_the_control_sees_too_is_no_proof() -> None:
    row = known("body", BODY)
    seen_too = http_control(page=control_page(title="", body_length=26))
    page_of_both = measure(
        dns(b.SITE), contact(url=b.PLAIN, body=b.BLOCK_BODY, title="", body_length=26), url=b.PLAIN, country="IR",
        replies=seen_too,
    )  # fmt: skip
    assert analyze(page_of_both, Fingerprints([row])).outcome != "blocked"


@pytest.mark.parametrize(
    ("rated", "status", "verdict"),
    [
        (5, 200, ("ok", None)),
        (9, 200, ("down", "server_refusal")),
        (5, 403, ("down", "server_refusal")),
        (9, 403, ("down", "server_refusal")),
    ],
)
def test_an_ordinary_page_that_some_list_calls_a_look_alike_is_reached(
    rated: int, status: int, verdict: tuple[str, str | None]
) -> None:
    wall = known("body", BODY, scope="fp", confidence=rated, countries=())
    over_tls = measure(dns(b.SITE), contact(body=b.BLOCK_BODY, status=status))
    judged = analyze(over_tls, Fingerprints([wall]))
    assert (judged.outcome, judged.cause) == verdict

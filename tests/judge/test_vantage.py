"""What a self-test means for its measurement: where the way out ended, and answers that a resolver invents."""

from typing import Any

import msgspec
import pytest

from monitor.judge.analyze import analyze
from monitor.judge.vantage import is_quarantined, situations
from probes.measurement import Measurement, SelfTest, VantageFacts

from . import build as b
from .build import contact, control, dns, measure

HERE = VantageFacts(name="home", country="CN", asn=4134)
WILD = SelfTest(wildcard=(b.BLOCK_ADDRESS, b.STRANGER))


def moved(*, country: str = "", asn: int = 0, facts: VantageFacts = HERE) -> str:
    """The sentence about a vantage whose way out ended there."""
    found = situations(SelfTest(egress_country=country, egress_asn=asn), facts)
    return next((one.text for one in found if one.id == "moved_egress"), "")


def test_another_country_or_network_is_told_with_both() -> None:
    assert moved(country="DE", asn=9009) == (
        "its way out moved from AS4134 (CN) to AS9009 (DE); results wait until `wallwatch confirm home`"
    )
    assert moved(country="CN", asn=4837).startswith("its way out moved from AS4134 (CN) to AS4837 (CN);")
    assert moved(country="HK", asn=4134)
    assert moved(country="DE").startswith("its way out moved from AS4134 (CN) to DE;")
    assert moved(asn=9009).startswith("its way out moved from AS4134 (CN) to AS9009;")


def test_what_is_not_known_on_one_side_has_not_moved() -> None:
    assert not moved()
    assert not moved(country="CN")
    assert not moved(asn=4134)
    assert not moved(country="CN", asn=9009, facts=VantageFacts(name="home", country="CN"))
    assert not moved(country="DE", asn=4134, facts=VantageFacts(name="home", asn=4134))
    assert not moved(country="DE", asn=9009, facts=VantageFacts(name="home"))


def test_a_vantage_that_moved_in_the_middle_of_a_measurement_proves_nothing() -> None:
    forged = measure(dns(b.STRANGER, b.SITE), contact(b.STRANGER, tcp="generic_timeout_error"))
    assert analyze(forged, b.FINGERPRINTS).outcome == "blocked"
    after = (*forged.self_tests, SelfTest(at=20.0, opened=("a.example",), egress_country="DE", egress_asn=9009))
    verdict = analyze(msgspec.structs.replace(forged, self_tests=after), b.FINGERPRINTS)
    assert (verdict.outcome, verdict.cause, verdict.rules) == (
        "insufficient",
        "not_measurable",
        ("vantage.moved_egress",),
    )
    assert verdict.reason == (
        "The vantage's way out moved from AS4134 (CN) to AS9009 (DE); results wait until `wallwatch confirm home`."
    )


def wild(*addresses: str, test: SelfTest = WILD, page: dict[str, Any] | None = None, **how: Any) -> Measurement:
    """Four tries in which the own resolver gave these addresses, and somebody else answered there."""
    page = {"certificate": b.WRONG_NAME} if page is None else page
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns(addresses, attempt=attempt), *contact(addresses[0], attempt=attempt, **page)]
    return measure(parts, test=test, **how)


DEAD = tuple(control(n, addresses=(), endpoints=(), dns_failure="dns_nxdomain_error", page=b.control_page(status=0, failure="dns_nxdomain_error")) for n in (0, 3))  # fmt: skip


@pytest.mark.parametrize(
    ("why", "made", "outcome"),
    [
        ("one address that is invented", wild(b.STRANGER), "insufficient"),
        ("one of two is not invented", wild(b.STRANGER, b.SECOND), "likely_blocked"),
        ("nothing is invented", wild(b.STRANGER, test=b.FINE), "likely_blocked"),
        ("the site itself is there", wild(b.STRANGER, page={}), "ok"),
        ("the control is given it too", wild(b.STRANGER, replies=b.twice(addresses=(b.STRANGER,))), "likely_blocked"),
        ("the name is dead (row 16)", wild(b.STRANGER, replies=DEAD), "down"),
        ("an address that is known to be a block page", wild(b.BLOCK_ADDRESS, page={"tcp": "connection_refused"}), "blocked"),
    ],
)  # fmt: skip
def test_invented_answers_are_no_evidence_and_hide_none(why: str, made: Measurement, outcome: str) -> None:
    assert analyze(made, b.FINGERPRINTS).outcome == outcome, why


def test_a_second_answer_is_proof_beside_a_resolver_that_invents() -> None:
    parts = [dns(b.STRANGER, b.SITE), contact(b.STRANGER, tcp="generic_timeout_error")]
    assert analyze(measure(*parts, test=WILD), b.FINGERPRINTS).outcome == "blocked"


def test_an_address_that_somebody_else_vouches_for_is_judged_by_what_is_there() -> None:
    by_control = wild(b.STRANGER, replies=b.twice(addresses=(b.STRANGER,)))
    encrypted = dns(b.STRANGER, resolver=b.DOH)
    by_resolver = msgspec.structs.replace(wild(b.STRANGER), operations=(*wild(b.STRANGER).operations, encrypted))
    for made in (by_control, by_resolver):
        assert "vantage.wildcard_answer" not in analyze(made, b.FINGERPRINTS).rules
    assert analyze(wild(b.STRANGER), b.FINGERPRINTS).rules == ("vantage.wildcard_answer",)


def test_quarantines_come_first() -> None:
    test = SelfTest(wildcard=("203.0.113.9",), ipv6=False, clock_skew=7200.0, fake_addresses=True, egress_asn=4134)
    effects = [one.effect for one in situations(test, HERE)]
    assert effects == ["quarantine", "quarantine", "notice", "notice"]
    assert is_quarantined(test, HERE)
    assert not is_quarantined(SelfTest(wildcard=("203.0.113.9",), ipv6=False), HERE)

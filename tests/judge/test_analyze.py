"""The verdict: order of decision, what counts as repeated, techniques, scores, and that nothing raises."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.judge import suspects as looks
from monitor.judge.analyze import analyze, probability
from monitor.judge.techniques import TECHNIQUES, ordered, rank
from monitor.judge.verdict import Verdict
from probes.failure import NOT_TRIED_RESIDUAL
from probes.http import HTTPRoundTrip
from probes.measurement import ControlReply, Measurement, SelfTest
from tests.publish.sample import certificate, hostile

from . import build as b
from .build import contact, control, control_page, dns, endpoint, measure, repeated, twice

FORGED = (dns(b.STRANGER, b.SITE), *contact(b.STRANGER, tcp="generic_timeout_error"))
SAME_FAILURE = twice(endpoints=(endpoint(tls=False, failure=b.RESET),), page=control_page(status=0, failure=b.RESET))
OFFLINE = SelfTest(failed=("a.example", "b.example", "c.example"))


def judged(measurement: Measurement) -> Verdict:
    return analyze(measurement, b.FINGERPRINTS)


# Order of decision.


def test_an_unusable_vantage_comes_before_everything() -> None:
    for parts in (FORGED, (dns(b.SITE), contact()), repeated(4, tls=b.RESET)):
        verdict = judged(measure(*parts, test=OFFLINE))
        assert (verdict.outcome, verdict.cause, verdict.techniques) == ("insufficient", "offline", ())


def test_an_artefact_comes_before_down() -> None:
    down = twice(page=control_page(status=0, failure=b.RESET), endpoints=(endpoint(tls=False, failure=b.RESET),))
    encrypted = dns(b.SITE, resolver=b.DOH)
    verdict = judged(measure(*FORGED, encrypted, replies=down))
    assert (verdict.outcome, verdict.technique) == ("blocked", "dns.injection.other")


def test_down_comes_before_a_difference() -> None:
    """Both of the site's addresses fail; one of them fails for the control too."""
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns((b.SITE, b.SECOND), attempt=attempt), *contact(attempt=attempt, tls=b.RESET)]
        parts += contact(b.SECOND, attempt=attempt, tls=b.RESET, at=0.5)
    replies = twice(addresses=(b.SITE, b.SECOND), endpoints=(endpoint(tls=False, failure=b.RESET), endpoint(b.SECOND)))
    made = measure(parts, replies=replies)
    assert judged(made).outcome == "down"


def test_a_repeated_difference_comes_before_ok_and_the_reason_says_how_often() -> None:
    verdict = judged(measure(repeated(4, tls=b.RESET)))
    assert verdict.outcome == "likely_blocked"
    assert "4 of 4 tries" in verdict.reason
    assert verdict.reason.endswith("The name was sent in clear text (SNI).")


def test_interference_beside_a_reached_site_is_impaired() -> None:
    for made in (measure(dns(b.STRANGER, b.SITE), contact(b.STRANGER)), measure(dns(b.SITE, b.STRANGER), contact())):
        assert (judged(made).outcome, judged(made).technique) == ("impaired", "dns.injection.other")


def test_an_artefact_needs_no_control() -> None:
    parts = (dns(b.BLOCK_ADDRESS), contact(b.BLOCK_ADDRESS, tls=b.RESET))
    for fields in ({"replies": b.FAILED}, {"replies": (), "control_configured": False}):
        verdict = judged(measure(*parts, **fields))
        assert (verdict.outcome, verdict.technique) == ("blocked", "dns.injection.blockpage")


def test_a_page_behind_a_valid_certificate_needs_no_control() -> None:
    for fields in ({"replies": b.FAILED}, {"replies": (), "control_configured": False}):
        assert judged(measure(dns(b.SITE), contact(), **fields)).outcome == "ok"


def test_a_certificate_on_443_does_not_vouch_for_a_page_from_port_80() -> None:
    made = measure(
        dns(b.SITE),
        contact(url=b.PLAIN),
        contact(page=False, at=0.5),
        url=b.PLAIN,
        replies=(),
        control_configured=False,
    )
    assert (judged(made).outcome, judged(made).cause) == ("insufficient", "no_control")


def test_the_controls_country_is_refused_and_the_vantage_reads_the_site() -> None:
    geoblocked = twice(page=control_page(status=403, title="Forbidden", body_length=90))
    assert judged(measure(dns(b.SITE), contact(), replies=geoblocked)).outcome == "ok"
    plain = b.http_control(page=control_page(status=403, title="Forbidden", body_length=90))
    made = measure(dns(b.SITE), contact(url=b.PLAIN), url=b.PLAIN, replies=plain)
    assert judged(made).outcome == "insufficient"


# Repetition.


@pytest.mark.parametrize(
    ("tries", "outcome"), [(1, "insufficient"), (2, "insufficient"), (3, "likely_blocked"), (4, "likely_blocked")]
)
def test_three_tries_make_a_difference(tries: int, outcome: str) -> None:
    verdict = judged(measure(repeated(tries, tls=b.RESET)))
    assert verdict.outcome == outcome
    assert verdict.technique == ("tls.reset" if outcome == "likely_blocked" else None)
    if outcome == "insufficient":
        assert (verdict.cause, verdict.techniques) == ("ambiguous", ())
        assert f"{tries} of {tries} tries" in verdict.reason


@pytest.mark.parametrize("attempt", [0, 3])
def test_the_control_must_be_good_before_and_after(attempt: int) -> None:
    replies = (control(attempt), control(3 - attempt, failure="helper_unreachable"))
    assert judged(measure(repeated(4, tls=b.RESET), replies=replies)).outcome == "insufficient"


def test_one_success_makes_a_difference_uneven() -> None:
    assert judged(measure(repeated(3, good=1, tls=b.RESET))).outcome == "insufficient"


def test_a_recorded_measurement_is_judged_on_what_it_has() -> None:
    recorded = judged(measure(repeated(1, tls=b.RESET), replies=(control(),), recorded="ooni"))
    assert (recorded.outcome, recorded.technique) == ("likely_blocked", "tls.reset")
    assert recorded.score < judged(measure(repeated(4, tls=b.RESET))).score


def test_a_recorded_page_without_a_handshake_was_verified() -> None:
    operations = [op for op in (dns(b.SITE), *contact()) if getattr(op, "certificate_failure", "-") == "-"]
    made = measure(operations, replies=(), control_configured=False)
    assert judged(made).outcome == "insufficient"
    assert judged(msgspec.structs.replace(made, recorded="ooni")).outcome == "ok"


# Techniques.


def _forged_and_reset() -> Measurement:
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns(b.STRANGER, b.SITE, attempt=attempt), *contact(attempt=attempt, tls=b.RESET)]
    return measure(parts)


def test_techniques_come_lowest_layer_first_and_the_technique_is_the_strongest() -> None:
    verdict = judged(_forged_and_reset())
    assert verdict.outcome == "blocked"
    assert verdict.techniques == ("dns.injection.other", "tls.reset")
    assert verdict.technique == "dns.injection.other"
    assert verdict.rules[0] == "dns.two_answers"
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns((b.SITE, b.SECOND), attempt=attempt), *contact(attempt=attempt, tcp=b.REFUSED)]
        parts += contact(b.SECOND, attempt=attempt, tls=b.RESET, at=0.5)
    both = judged(measure(parts, replies=twice(addresses=(b.SITE, b.SECOND))))
    assert both.techniques == ("tcp.refused", "tls.reset")
    assert both.technique == "tls.reset"


def test_a_parent_is_not_named_beside_its_child() -> None:
    assert ordered({"dns.injection", "dns.injection.other", "tls.reset"}) == ("dns.injection.other", "tls.reset")
    assert [rank(name) for name in TECHNIQUES] == list(range(len(TECHNIQUES)))


@pytest.mark.parametrize(
    ("how", "technique"),
    [
        ({"tcp": "connection_refused"}, "tcp.refused"), ({"tcp": "generic_timeout_error"}, "tcp.timeout"),
        ({"tcp": "host_unreachable"}, "tcp.unreachable"), ({"tls": "connection_reset"}, "tls.reset"),
        ({"tls": "generic_timeout_error"}, "tls.timeout"), ({"tls": "eof_error"}, "tls.eof"),
        ({"http": "connection_reset"}, "http.reset"), ({"http": "eof_error"}, "http.eof"),
        ({"http": "generic_timeout_error"}, "http.timeout"),
    ],
)  # fmt: skip
def test_a_failure_is_named_by_its_layer_and_kind(how: dict[str, str], technique: str) -> None:
    verdict = judged(measure(repeated(4, **how)))
    assert (verdict.outcome, verdict.technique, verdict.techniques) == ("likely_blocked", technique, (technique,))


@pytest.mark.parametrize(
    ("rcode", "technique"), [(3, "dns.nxdomain"), (0, "dns.no_answer"), (2, "dns.servfail"), (5, "dns.refused"), (None, "dns.timeout")]
)  # fmt: skip
def test_a_failure_of_dns_is_named_by_its_kind(rcode: int | None, technique: str) -> None:
    answers = () if rcode is None else (rcode,)
    made = measure(*(dns(*answers, attempt=n, at=n * 30.0) for n in range(4)))
    assert (judged(made).outcome, judged(made).technique) == ("likely_blocked", technique)


def test_a_resolver_that_fails_for_control_names_too_is_no_evidence() -> None:
    made = measure(*(dns(3, attempt=n) for n in range(4)), test=SelfTest(failed_resolvers=("system",)))
    assert judged(made).outcome == "insufficient"


def test_a_wrong_certificate_at_a_strangers_address_is_injection() -> None:
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns(b.STRANGER, attempt=attempt), *contact(b.STRANGER, attempt=attempt, certificate=b.UNKNOWN)]
    verdict = judged(measure(parts))
    assert (verdict.outcome, verdict.techniques) == ("likely_blocked", ("dns.injection.other",))


@pytest.mark.parametrize(
    ("known", "technique"), [(True, "tls.mitm.self_signed"), (False, "tls.mitm"), (None, "tls.mitm")]
)
def test_a_self_signed_certificate_is_named_where_it_is_kept(known: bool | None, technique: str) -> None:
    der = certificate() if known else b"no certificate"
    kept = {} if known is None else {b.sha256(der): der}
    made = measure(dns(b.SITE), contact(certificate=b.UNKNOWN, chain=(b.sha256(der),)), certificates=kept)
    assert (judged(made).outcome, judged(made).technique) == ("blocked", technique)


@pytest.mark.parametrize(
    ("address", "technique"),
    [(b.STRANGER, "dns.injection.other"), (b.BOGON, "dns.injection.bogon"), (b.BLOCK_ADDRESS, "dns.injection.blockpage"),
     (3, "dns.injection")],
)  # fmt: skip
def test_the_forgery_of_two_answers_is_named_by_its_address(address: str | int, technique: str) -> None:
    verdict = judged(
        measure(dns(address, b.SITE), *(contact(b.STRANGER, tcp=b.REFUSED) if address == b.STRANGER else []))
    )
    assert (verdict.outcome, verdict.technique) == ("blocked", technique)


def test_a_page_redirected_to_a_block_page_is_a_redirect() -> None:
    elsewhere = "http://notice.example/"
    made = measure(
        dns(b.SITE), contact(url=b.PLAIN, status=302, location=elsewhere, body_length=0),
        dns(b.STRANGER, hop=1, name="notice.example", at=0.3),
        contact(b.STRANGER, hop=1, url=elsewhere, body=b.BLOCK_BODY, title="Notice", at=0.4), url=b.PLAIN,
    )  # fmt: skip
    assert (judged(made).outcome, judged(made).technique) == ("blocked", "http.redirect")


def test_a_block_page_at_a_forged_address_is_injection() -> None:
    made = measure(dns(b.STRANGER), contact(b.STRANGER, url=b.PLAIN, body=b.BLOCK_BODY, title="Notice"), url=b.PLAIN)
    assert (judged(made).outcome, judged(made).technique) == ("blocked", "dns.injection.blockpage")


def test_https_beside_a_reset_of_plain_http_is_said() -> None:
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns(b.SITE, attempt=attempt), *contact(attempt=attempt, url=b.PLAIN, http=b.RESET)]
    parts += contact(page=False, at=1.0)
    verdict = judged(measure(parts, url=b.PLAIN))
    assert (verdict.outcome, verdict.technique) == ("likely_blocked", "http.reset")
    assert verdict.reason.endswith("The same host completes TLS on port 443.")


# Addresses.


def _dual(tries: int, address: str, *, six: bool | None = True) -> Measurement:
    """Two addresses of the site, of which one fails."""
    parts: list[Any] = []
    for attempt in range(tries):
        kind = "AAAA" if ":" in address else "A"
        parts += [dns(b.SITE, attempt=attempt), dns(address, attempt=attempt, kind=kind)]
        parts += [*contact(attempt=attempt), *contact(address, attempt=attempt, tcp="generic_timeout_error", at=0.5)]
    return measure(parts, replies=twice(addresses=(b.SITE, address)), test=SelfTest(ipv6=six))


@pytest.mark.parametrize("six", [False, None])
def test_only_ipv6_failing_is_ok(six: bool | None) -> None:
    assert judged(_dual(4, b.SIX, six=six)).outcome == "ok"


@pytest.mark.parametrize(("tries", "outcome"), [(1, "ok"), (2, "ok"), (3, "impaired")])
def test_one_of_the_sites_own_addresses_cut_off_is_impaired_after_three_tries(tries: int, outcome: str) -> None:
    assert judged(_dual(tries, b.SECOND)).outcome == outcome


def test_a_nat64_address_is_the_site() -> None:
    made = measure(dns(f"64:ff9b::{b.SITE}", kind="AAAA"), contact(f"64:ff9b::{b.SITE}"))
    assert judged(made).outcome == "ok"


# Residual.


def test_a_skipped_contact_is_no_evidence() -> None:
    verdict = judged(measure(dns(b.SITE), contact(tcp=NOT_TRIED_RESIDUAL)))
    assert (verdict.outcome, verdict.cause) == ("insufficient", "residual")
    parts = repeated(2, tls=b.RESET)
    for attempt in (2, 3):
        parts += [dns(b.SITE, attempt=attempt), *contact(attempt=attempt, tcp=NOT_TRIED_RESIDUAL)]
    assert judged(measure(parts)).outcome == "insufficient"


def test_nothing_was_done() -> None:
    verdict = judged(measure())
    assert (verdict.outcome, verdict.cause) == ("insufficient", "ambiguous")


# Scores.


def test_scores_grow_with_tries_and_stay_within_bounds() -> None:
    scores = [judged(measure(repeated(n, tls=b.RESET))).score for n in (3, 4, 5, 6)]
    assert scores == sorted(scores)
    assert scores[0] < scores[1] < scores[2]  # then the ceiling is near
    assert judged(measure(repeated(2, tls=b.RESET))).score < scores[0]
    assert all(0 < score < 1 for score in scores)
    assert judged(measure(dns(b.SITE), contact())).score < 0.05
    assert judged(measure(*FORGED)).score > 0.95


@given(st.floats(-300, 300))
def test_a_probability_is_never_certain(odds: float) -> None:
    assert 0 < probability(odds) < 1


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_probability_is_monotone(one: float, other: float) -> None:
    assert (probability(one) <= probability(other)) or one > other


# Whole measurements.

SAMPLES = {
    "forged": measure(*FORGED),
    "reset": measure(repeated(4, tls=b.RESET)),
    "both": _forged_and_reset(),
    "bogon": measure(*(dns(b.BOGON, attempt=n) for n in range(4))),
    "mitm": measure(dns(b.SITE), contact(certificate=b.UNKNOWN)),
    "block page": measure(dns(b.SITE), contact(url=b.PLAIN, body=b.BLOCK_BODY, title="Notice"), url=b.PLAIN),
    "nxdomain": measure(*(dns(3, attempt=n) for n in range(4))),
    "calm": measure(dns(b.SITE), contact()),
    "down": measure(repeated(4, tls=b.RESET), replies=SAME_FAILURE),
}
BLOCKED = [name for name in SAMPLES if name not in ("calm", "down")]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_verdict_survives_json(name: str) -> None:
    made = SAMPLES[name]
    again = msgspec.json.decode(msgspec.json.encode(made), type=Measurement)
    assert again == made
    assert judged(again) == judged(made)
    assert msgspec.json.decode(msgspec.json.encode(judged(made)), type=Verdict) == judged(made)


@pytest.mark.parametrize("name", BLOCKED)
def test_the_blocked_samples_are_blocked(name: str) -> None:
    assert judged(SAMPLES[name]).outcome in ("blocked", "likely_blocked")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_part_of_a_blocked_measurement_is_ok(data: st.DataObject) -> None:
    made = SAMPLES[data.draw(st.sampled_from(BLOCKED))]
    kept = data.draw(st.lists(st.sampled_from(range(len(made.operations))), unique=True))
    replies: list[ControlReply] = data.draw(st.lists(st.sampled_from(made.control), unique_by=lambda r: r.attempt))
    operations = tuple(made.operations[index] for index in kept)
    part = msgspec.structs.replace(
        made, operations=operations, control=tuple(replies), recorded=data.draw(st.sampled_from(["", "ooni"]))
    )
    verdict = judged(part)
    assert 0 < verdict.score < 1
    assert (verdict.technique is None) == (verdict.outcome in ("ok", "down", "insufficient"))
    assert list(verdict.techniques) == sorted(verdict.techniques, key=rank)
    if not any(isinstance(op, HTTPRoundTrip) for op in operations):
        assert verdict.outcome != "ok"


def test_hostile_texts_do_not_raise() -> None:
    made, _verdict = hostile()
    for recorded in ("", "ooni"):
        verdict = judged(msgspec.structs.replace(made, recorded=recorded))
        assert verdict.outcome not in ("ok", "blocked")


# Is a second look needed?


@pytest.mark.parametrize("name", ["calm", "down"])
def test_a_first_look_that_settles_it_needs_no_second(name: str) -> None:
    assert looks.suspects(b.case(SAMPLES[name])) is None


def test_what_cannot_be_compared_is_not_looked_at_again() -> None:
    assert looks.suspects(b.case(measure(repeated(1, tls=b.RESET), replies=b.FAILED))) is None
    assert looks.suspects(b.case(measure(repeated(1, tls=b.RESET), test=OFFLINE))) is None


def test_what_is_looked_at_again() -> None:
    assert looks.suspects(b.case(measure(repeated(1, tls=b.RESET)))) == looks.Suspicion(again=(b.SITE,))
    assert looks.suspects(b.case(_dual(1, b.SECOND))) == looks.Suspicion(again=(b.SECOND,))
    assert looks.suspects(b.case(measure(dns(2)))) == looks.Suspicion(apart=True)
    assert looks.suspects(b.case(measure(*FORGED))) == looks.Suspicion()


def test_where_a_censor_may_now_react() -> None:
    assert looks.touched(b.case(measure(repeated(1, tls=b.RESET)))) == {(b.SITE, 443)}
    assert looks.touched(b.case(measure(dns(b.SITE), contact()))) == set()
    lied = measure(dns(b.STRANGER), contact(b.STRANGER, certificate=b.WRONG_NAME))
    assert looks.touched(b.case(lied)) == {(b.STRANGER, 443)}

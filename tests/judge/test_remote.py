"""What DNS shows from outside: what proves, what is likely, and what looks alike and is innocent."""

import msgspec
import pytest

from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from probes.experiment import Experiment
from probes.measurement import Measurement

from . import build as b
from .outside import GOOD_CONTROL, OURS_ONLY, STRANGERS, UNREACHABLE, certificates, measured, resolver, silent

RIGHT = (b.SITE,)
WRONG = [(b.STRANGER,)] * 4
CDN = certificates(a93_184_215_14=None, a31_13_94_37=None)


def judged(*experiments: Experiment, **fields: object) -> Verdict:
    return analyze(measured(*experiments, **fields), b.FINGERPRINTS)


def all_of(*tries: tuple[str | int, ...], count: int = 3) -> list[Experiment]:
    return [resolver(number, *tries) for number in range(1, count + 1)]


def test_nothing_differs() -> None:
    verdict = judged(*all_of(RIGHT))
    assert (verdict.outcome, verdict.rules) == ("ok", ("ok.nothing_from_outside",))
    assert "looked at from outside only" in verdict.reason
    assert "what a plain client inside gets" in verdict.reason


def test_a_cdn_gives_each_country_its_own_addresses() -> None:
    assert judged(*all_of((b.STRANGER,)), CDN).outcome == "ok"


def test_another_address_of_the_controls_network_is_the_sites() -> None:
    made = measured(*all_of((b.SECOND,)), OURS_ONLY)
    made = msgspec.structs.replace(made, asns=((b.SITE, 64500), (b.SECOND, 64500)))
    assert analyze(made, b.FINGERPRINTS).outcome == "ok"


@pytest.mark.parametrize(
    ("answers", "technique"),
    [
        ([(3,)] * 4, "dns.nxdomain"),
        ([(5,)] * 4, "dns.refused"),
        ([((),)] * 4, "dns.no_answer"),
        (WRONG, "dns.injection.other"),
    ],
)
def test_two_of_three_resolvers_fail_for_the_name_only(answers: list[tuple[str | int, ...]], technique: str) -> None:
    two = [resolver(1, *answers), resolver(2, *answers)]
    verdict = judged(*two, resolver(3, RIGHT), STRANGERS)
    assert (verdict.outcome, verdict.technique) == ("likely_blocked", technique)
    assert "2 of 3 resolvers" in verdict.reason


@pytest.mark.parametrize("answers", [[(3,)] * 4, [(5,)] * 4, WRONG])
def test_one_resolver_alone_settles_nothing(answers: list[tuple[str | int, ...]]) -> None:
    for others in ([], [resolver(2, RIGHT), resolver(3, RIGHT)]):
        verdict = judged(resolver(1, *answers), *others, STRANGERS)
        assert (verdict.outcome, verdict.cause) == ("insufficient", "ambiguous"), verdict


def test_half_of_the_resolvers_is_no_majority() -> None:
    made = [resolver(1, *[(3,)] * 4), resolver(2, *[(3,)] * 4), resolver(3, RIGHT), resolver(4, RIGHT)]
    assert judged(*made).cause == "ambiguous"


@pytest.mark.parametrize("answers", [[(2,)] * 4, [()] * 4])
def test_servfail_and_silence_are_what_a_geoblocked_zone_looks_like(answers: list[tuple[str | int, ...]]) -> None:
    assert judged(*all_of(*answers)).cause == "ambiguous"


def test_one_right_answer_in_four_clears_a_resolver() -> None:
    made = [resolver(number, (3,), (3,), (3,), RIGHT) for number in (1, 2, 3)]
    assert judged(*made).outcome == "ok"


def test_an_address_that_shows_no_certificate_at_all_may_be_a_node_for_that_network_only() -> None:
    assert judged(*all_of(*WRONG), UNREACHABLE).cause == "ambiguous"


def test_where_the_site_itself_has_no_certificate_nobody_can_be_shown_wrong() -> None:
    neither = certificates(a93_184_215_14=b.WRONG_NAME, a31_13_94_37=b.WRONG_NAME)
    assert judged(*all_of(*WRONG), neither).cause == "ambiguous"


def test_three_tries_are_needed() -> None:
    assert judged(resolver(1, (3,)), resolver(2, (3,))).cause == "ambiguous"


def test_the_control_must_be_good_before_and_after() -> None:
    assert judged(*all_of(*[(3,)] * 4), replies=(b.control(0),)).outcome == "insufficient"


def test_resolvers_that_fail_for_control_names_say_nothing() -> None:
    bad = [resolver(number, *[(3,)] * 4, after=(2,)) for number in (1, 2, 3)]
    verdict = judged(*bad)
    assert (verdict.outcome, verdict.cause) == ("insufficient", "not_measurable")
    left_out = [msgspec.structs.replace(one, left_out="its control query failed") for one in bad]
    assert "its control query failed (3)" in judged(*left_out).reason


def test_a_dead_site_is_not_called_down_from_outside() -> None:
    dead = b.twice(addresses=(), endpoints=(), page=b.control_page(failure="dns_nxdomain_error", status=0),
                   dns_failure="dns_nxdomain_error")  # fmt: skip
    verdict = judged(*all_of(*[(3,)] * 4), replies=dead)
    assert (verdict.outcome, verdict.cause) == ("insufficient", "ambiguous")


def test_without_control_nothing_is_said() -> None:
    assert judged(*all_of(RIGHT), replies=(), control_configured=False).cause == "no_control"
    assert judged(*all_of(RIGHT), replies=b.FAILED).cause == "control_failed"


@pytest.mark.parametrize(
    ("address", "technique"), [(b.BLOCK_ADDRESS, "dns.injection.blockpage"), (b.BOGON, "dns.injection.bogon")]
)
def test_a_block_address_is_proof(address: str, technique: str) -> None:
    verdict = judged(resolver(1, (address,)))
    assert (verdict.outcome, verdict.technique) == ("blocked", technique)


def test_a_foreign_block_address_is_none() -> None:
    assert judged(resolver(1, (b.FOREIGN_BLOCK_ADDRESS,))).outcome == "insufficient"


def test_one_resolver_with_a_filter_of_its_own_is_outvoted() -> None:
    verdict = judged(resolver(1, ("0.0.0.0",)), resolver(2, RIGHT), resolver(3, RIGHT))
    assert (verdict.outcome, verdict.cause) == ("insufficient", "ambiguous")


def test_a_zone_that_itself_holds_a_bogon() -> None:
    assert judged(*all_of((b.BOGON,)), replies=b.twice(addresses=(b.BOGON,), endpoints=())).outcome != "blocked"


def test_two_answers_one_of_them_false() -> None:
    verdict = judged(resolver(1, (b.STRANGER, b.SITE)), STRANGERS)
    assert (verdict.outcome, verdict.technique) == ("blocked", "dns.injection.other")
    assert "answered twice" in verdict.reason


@pytest.mark.parametrize("shown", [CDN, OURS_ONLY])
def test_two_answers_that_may_both_be_right(shown: Experiment) -> None:
    """A resolver that asks two others, each told another node; one of them may not have been looked at."""
    assert judged(resolver(1, (b.STRANGER, b.SITE)), shown).outcome != "blocked"


def test_a_resolver_that_answers_control_names_twice_too() -> None:
    twice = (GOOD_CONTROL, "198.51.100.8")
    assert judged(resolver(1, (b.STRANGER, b.SITE), before=twice), STRANGERS).outcome != "blocked"


def test_an_answer_from_a_silent_address_is_injected() -> None:
    verdict = judged(silent(1, b.STRANGER), silent(2, b.STRANGER), method="injection")
    assert (verdict.outcome, verdict.technique) == ("blocked", "dns.injection.other")
    assert f"answered a query for {b.NAME} with {b.STRANGER}" in verdict.reason


def test_silence_is_fine() -> None:
    verdict = judged(silent(1), silent(2), method="injection")
    assert (verdict.outcome, verdict.rules) == ("ok", ("ok.nothing_from_outside",))


def test_row_28_an_interceptor_that_answers_rightly() -> None:
    whole = silent(1, b.SITE, control=(GOOD_CONTROL,), left_out="it answers for control names too")
    assert judged(whole, method="injection").cause == "not_measurable"
    assert judged(whole, silent(2), method="injection").outcome == "ok"


def test_row_28_an_interceptor_that_lies_about_the_name() -> None:
    liar = silent(1, b.STRANGER, control=(GOOD_CONTROL,), left_out="it answers for control names too")
    assert judged(liar, STRANGERS, method="injection").outcome == "blocked"
    assert judged(liar, CDN, method="injection").outcome == "insufficient"
    assert judged(liar, UNREACHABLE, method="injection").outcome == "insufficient"


def test_a_true_answer_from_a_silent_address_is_a_resolver_that_dropped_the_others() -> None:
    assert judged(silent(1, b.SITE), method="injection").outcome == "insufficient"
    assert judged(silent(1, b.STRANGER), CDN, method="injection").outcome == "insufficient"


def test_a_phrase_cannot_be_asked_for() -> None:
    made: Measurement = msgspec.structs.replace(measured(), url="", target=b.PHRASE)
    verdict = analyze(made, b.FINGERPRINTS)
    assert (verdict.outcome, verdict.cause) == ("insufficient", "not_measurable")
    assert "says nothing about a phrase" in verdict.reason

"""What web and echo servers and a silent sink show from outside: proof, suspicion, and what looks alike and is not."""

import pytest
from msgspec.structs import replace

from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from probes.experiment import Experiment
from probes.failure import EOF, RESET, TIMEOUT
from probes.measurement import SelfTest

from . import build as b
from .outside import measured
from .servers_outside import ALWAYS, How, from_outside, lasting, server, sink, tried

BLOCK_PAGE: How = {"status": 200, "title": "Notice", "body": b.BLOCK_BODY}
NOTICE: How = {"status": 200, "title": "Notice", "body": b"somebody else's words"}
OTHER_LEAF: How = {"leaf": "a middlebox"}


def judged(*experiments: Experiment, **fields: object) -> Verdict:
    return analyze(from_outside(*experiments, **fields), b.FINGERPRINTS)


def at_the_sink(*experiments: Experiment) -> Verdict:
    return analyze(measured(*experiments, method="sink"), b.FINGERPRINTS)


def all_of(*named: How, kind: str = "sni", count: int = 3) -> list[Experiment]:
    return [server(number, *named, kind=kind) for number in range(1, count + 1)]


def told(verdict: Verdict) -> tuple[str, str | None]:
    return verdict.outcome, verdict.technique or verdict.cause


@pytest.mark.parametrize("kind", ["sni", "host", "echo"])
def test_nothing_differs(kind: str) -> None:
    verdict = judged(*all_of(None, kind=kind))
    assert (verdict.outcome, verdict.rules) == ("ok", ("ok.servers_from_outside",))
    assert "3 servers in the network" in verdict.reason
    assert "looked at from outside only" in verdict.reason
    assert "what a plain client inside gets" in verdict.reason


@pytest.mark.parametrize(
    ("kind", "failure", "technique"),
    [
        ("sni", RESET, "tls.reset.sni"),
        ("sni", EOF, "tls.eof.sni"),
        ("sni", TIMEOUT, "tls.timeout.sni"),
        ("host", RESET, "http.reset.host"),
        ("host", EOF, "http.eof.host"),
        ("host", TIMEOUT, "http.timeout.host"),
        ("echo", RESET, "http.reset.host"),
    ],
)
def test_cut_off_with_the_name_only(kind: str, failure: str, technique: str) -> None:
    verdict = judged(*all_of(*[failure] * 5, kind=kind))
    assert told(verdict) == ("blocked", technique)
    assert verdict.rules == ("remote.only_with_the_name",)
    assert f"failed with {b.NAME} in 5 of 5 tries ({failure})" in verdict.reason
    assert "at 3 of 3 servers" in verdict.reason


@pytest.mark.parametrize("kind", ["sni", "host"])
def test_two_servers_prove_by_resets_where_some_tries_come_through(kind: str) -> None:
    """A censor that is overloaded lets some pass."""
    leaky: tuple[How, ...] = (RESET, None, RESET, None, None)
    assert judged(*all_of(*leaky, kind=kind, count=2)).outcome == "blocked"
    assert told(judged(server(1, *leaky, kind=kind))) == ("insufficient", "ambiguous")


def test_silence_needs_every_try_since_packets_get_lost() -> None:
    lossy: tuple[How, ...] = (TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT, None)
    assert told(judged(*all_of(*lossy))) == ("insufficient", "ambiguous")


@pytest.mark.parametrize("others", [1, 2])
def test_one_server_of_several_may_have_a_filter_of_its_own(others: int) -> None:
    verdict = judged(server(1, *ALWAYS), *(server(2 + number, None) for number in range(others)))
    assert told(verdict) == ("insufficient", "ambiguous")
    assert judged(server(1, *ALWAYS), server(2, *ALWAYS), server(3, None)).outcome == "blocked"


def test_where_only_one_server_was_fit_every_try_must_fail_and_nothing_is_proved() -> None:
    verdict = judged(server(1, *ALWAYS))
    assert told(verdict) == ("likely_blocked", "tls.reset.sni")
    assert "no other server was asked" in verdict.reason
    assert told(judged(server(1, *ALWAYS[1:]))) == ("insufficient", "ambiguous")  # four tries are too few


def test_a_reset_before_the_name_was_sent_is_no_difference() -> None:
    """The connection itself fails: the port has gone, whatever the name."""
    made = server(1, *ALWAYS)
    tries = tuple(t if t.innocuous else replace(t, operations=t.operations[:1]) for t in made.tries)
    assert told(judged(replace(made, tries=tries))) == ("insufficient", "ambiguous")


def test_an_alert_is_the_servers_own_word() -> None:
    assert judged(*all_of({"alert": "ssl_invalid_hostname"})).outcome == "ok"


def test_a_server_that_serves_the_name_itself() -> None:
    """A CDN's node: the site's own certificate is proof that nobody is between."""
    page: How = {"leaf": "the site's", "valid": True, "status": 200, "title": b.TITLE, "body": b"news"}
    assert judged(*all_of(page)).outcome == "ok"


@pytest.mark.parametrize(
    ("where", "outcome"),
    [(f"https://{b.NAME}/", "ok"), (f"http://www.{b.NAME}/", "ok"), ("http://wall.example/", "insufficient")],
)
def test_a_server_that_sends_on_to_the_name(where: str, outcome: str) -> None:
    redirect: How = {"status": 301, "location": where, "body": b""}
    assert judged(server(1, *[redirect] * 5, kind="host")).outcome == outcome


def test_a_control_name_that_failed_in_between_leaves_a_doubt() -> None:
    made = [server(number, *ALWAYS, between=(None, RESET)) for number in (1, 2)]
    verdict = judged(*made)
    assert verdict.outcome == "likely_blocked"  # they recovered: somebody remembers
    assert verdict.rules == ("remote.lasting",)
    last = [server(number, *ALWAYS, between=(None, None, None, RESET)) for number in (1, 2)]
    assert told(judged(*last)) == ("insufficient", "ambiguous")


@pytest.mark.parametrize(("kind", "technique"), [("sni", "tls.reset"), ("host", "http.reset"), ("echo", "http.reset")])
def test_a_block_that_lasts(kind: str, technique: str) -> None:
    verdict = judged(lasting(1, kind=kind), lasting(2, kind=kind))
    assert told(verdict) == ("likely_blocked", technique)
    assert "two minutes later" in verdict.reason


def test_one_server_that_fell_silent_for_a_while_had_a_bad_moment() -> None:
    assert told(judged(lasting(1, TIMEOUT), server(2, None))) == ("insufficient", "ambiguous")
    assert told(judged(lasting(1, TIMEOUT))) == ("insufficient", "ambiguous")


def test_a_difference_needs_the_control_before_and_after() -> None:
    lasted, page = [lasting(1), lasting(2)], all_of(*[NOTICE] * 5, kind="host")
    for made in (lasted, page):
        assert judged(*made).outcome == "likely_blocked"
        assert judged(*made, replies=(b.control(0),)).outcome == "insufficient"


def test_a_known_block_page() -> None:
    verdict = judged(server(1, *[BLOCK_PAGE] * 5, kind="host"), server(2, None, kind="host"))
    assert told(verdict) == ("blocked", "http.blockpage")
    assert "cn.page" in verdict.reason


@pytest.mark.parametrize("kind", ["host", "echo"])
def test_a_block_page_and_a_reset_after_it(kind: str) -> None:
    assert isinstance(BLOCK_PAGE, dict)
    verdict = judged(server(1, *[{**BLOCK_PAGE, "failure": RESET}] * 5, kind=kind))
    assert (verdict.outcome, verdict.rules[0]) == ("blocked", "remote.known_block_page")


def test_a_wall_that_asks_for_humans_is_no_block_page() -> None:
    wall: How = {"status": 403, "body": b.WALL_BODY}
    assert told(judged(*all_of(*[wall] * 5, kind="host"))) == ("insufficient", "ambiguous")


def test_a_foreign_block_page_is_none() -> None:
    made = from_outside(server(1, *[BLOCK_PAGE] * 5, kind="host"))
    elsewhere = replace(made, vantage=replace(made.vantage, country="IR"))
    assert told(analyze(elsewhere, b.FINGERPRINTS)) == ("insufficient", "ambiguous")


def test_two_servers_share_another_page() -> None:
    verdict = judged(*all_of(*[NOTICE] * 5, kind="host", count=2))
    assert told(verdict) == ("likely_blocked", "http.diff")
    assert verdict.rules == ("remote.other_answer",)


def test_two_servers_share_another_certificate() -> None:
    assert told(judged(*all_of(*[OTHER_LEAF] * 5, count=2))) == ("likely_blocked", "tls.mitm")
    own = [server(number, *[{"leaf": f"other {number}"}] * 5) for number in (1, 2)]
    assert told(judged(*own)) == ("insufficient", "ambiguous")


def test_a_shared_page_in_one_try_of_five_is_a_passing_fault() -> None:
    assert told(judged(*all_of(None, NOTICE, None, None, None, kind="host"))) == ("insufficient", "ambiguous")


def test_the_sites_own_page_at_two_servers_is_no_difference() -> None:
    """Two nodes of one CDN that serve the site over plain HTTP."""
    page: How = {"status": 200, "title": b.TITLE, "body": b"news"}
    assert told(judged(*all_of(*[page] * 5, kind="host"))) == ("insufficient", "ambiguous")


@pytest.mark.parametrize("status", [403, 451, 503])
def test_servers_that_refuse_a_name_they_do_not_serve(status: int) -> None:
    assert told(judged(*all_of(*[{"status": status, "body": b"no"}] * 5, kind="host"))) == ("insufficient", "ambiguous")


def test_servers_that_are_unfit_say_nothing() -> None:
    made = [server(number, left_out="a control name fails there") for number in (1, 2)]
    verdict = judged(*made, server(3, *ALWAYS, left_out="no time left"))
    assert told(verdict) == ("insufficient", "not_measurable")
    assert "a control name fails there (2), no time left (1)" in verdict.reason


def test_a_server_whose_usual_answers_differ_is_no_witness() -> None:
    made = server(1, *ALWAYS)
    another = tried(1, NOTICE, kind="sni", innocuous=True, at=5.2)
    odd = replace(made, tries=(made.tries[0], another, *made.tries[2:]))
    assert told(judged(odd)) == ("insufficient", "not_measurable")


def test_what_is_offline_here_says_nothing_there() -> None:
    names = ("a.example", "b.example", "c.example")
    offline = SelfTest(failed=names)
    assert told(judged(*all_of(*ALWAYS), test=offline)) == ("insufficient", "offline")


@pytest.mark.parametrize(("kind", "technique"), [("sni", "tls.reset.sni"), ("host", "http.reset.host")])
def test_resets_at_the_sink_with_the_name_only(kind: str, technique: str) -> None:
    verdict = at_the_sink(sink((RESET, RESET, None), kind=kind))
    assert told(verdict) == ("blocked", technique)
    assert "2 of 3 connections to a silent listener" in verdict.reason


@pytest.mark.parametrize("ends", [(RESET,), (RESET, EOF, EOF), (EOF,) * 3, ("unknown_failure: answered",) * 3])
def test_one_reset_or_another_end_at_the_sink_is_a_doubt(ends: tuple[str, ...]) -> None:
    cause = "not_measurable" if len(ends) < 2 else "ambiguous"
    assert told(at_the_sink(sink(ends))) == ("insufficient", cause)


def test_resets_for_every_name_at_the_sink() -> None:
    verdict = at_the_sink(sink((RESET, RESET, RESET), innocuous=RESET))
    assert told(verdict) == ("insufficient", "ambiguous")
    assert "Innocuous names did not go in silence" in verdict.reason


def test_silence_at_the_sink_is_fine() -> None:
    verdict = at_the_sink(sink((None,) * 3))
    assert (verdict.outcome, verdict.rules) == ("ok", ("ok.silent_sink",))
    assert "looked at from outside only" in verdict.reason


def test_a_sink_that_could_not_be_used() -> None:
    verdict = at_the_sink(Experiment(kind="sni", place="sink", left_out="no port of the sink is free"))
    assert told(verdict) == ("insufficient", "not_measurable")
    assert "no port of the sink is free" in verdict.reason

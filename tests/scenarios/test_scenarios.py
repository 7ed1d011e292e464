"""Every scenario, end to end: simulated Internet, real probes, real helper, real rules."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from monitor.collect.work import Result
from monitor.judge.rules import RULES

from . import (
    connection_scenarios,
    dns_scenarios,
    encrypted_scenarios,
    experiment_scenarios,
    page_scenarios,
    vantage_scenarios,
)
from .harness import Scenario, play

FILES = (dns_scenarios, encrypted_scenarios, connection_scenarios, page_scenarios, experiment_scenarios, vantage_scenarios)
SCENARIOS = tuple(scenario for file in FILES for scenario in file.SCENARIOS)
AT_ONCE = 3
ROWS = 30  # of the page of tricky situations, which docs/rules.md tells again
LATER = {  # rows that the simulated Internet cannot settle, and why
    18: "needs QUIC: tests/network",
    25: "is about the events of many targets at once: tests/publish/test_wide.py",
    30: "needs QUIC: tests/network",
}


ELSEWHERE = {  # rules whose facts the simulated Internet cannot make, and where they are made
    "tcp.reset_not_the_servers": "tests/network: packets",
    "quic.fails_only_with_the_name": "tests/network: QUIC",
    "throttle.only_with_the_name": "tests/network: a queue that polices",
    "throttle.only_here": "tests/judge: facts alone",
    **dict.fromkeys(
        (
            "dns.outside_two_answers",
            "dns.outside_block_address",
            "dns.outside_differs",
            "ok.nothing_from_outside",
            "insufficient.from_outside",
        ),
        "tests/collect/test_remote_dns.py and tests/judge/test_remote.py",
    ),
    **dict.fromkeys(
        (
            "remote.only_with_the_name",
            "remote.only_at_one",
            "remote.known_block_page",
            "remote.lasting",
            "remote.other_answer",
            "ok.servers_from_outside",
            "insufficient.servers",
        ),
        "tests/collect/test_remote_tcp.py and tests/judge/test_remote_servers.py",
    ),
    **dict.fromkeys(
        ("tcp.reset_at_the_sink", "ok.silent_sink", "insufficient.sink"),
        "tests/collect/test_sink.py and tests/judge/test_remote_servers.py",
    ),
    **dict.fromkeys(("vantage.proxy", "tls.stranger_by_name"), "tests/collect/test_proxied.py"),
    "content.withheld_here": "tests/judge and tests/probes/test_search.py",
}


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Result]]]:
    """The scenarios that were chosen, some at once: each waits for nine tenths of its time."""
    chosen = {item.name for item in request.session.items if item.path == request.path}
    wanted = [s for s in SCENARIOS if f"test_scenario[{s.name}]" in chosen]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {scenario.name: pool.submit(play, scenario) for scenario in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario: Scenario, played: dict[str, Future[Result]]) -> None:
    result = played[scenario.name].result()
    verdict = result.verdict
    found = (verdict.outcome, verdict.technique, verdict.cause)
    assert found == (scenario.outcome, scenario.technique, scenario.cause), verdict
    assert scenario.techniques is None or verdict.techniques == scenario.techniques, verdict
    assert not scenario.rule or scenario.rule in verdict.rules, verdict
    if scenario.check is not None:
        scenario.check(result)


def test_names_are_unique() -> None:
    names = [s.name for s in SCENARIOS]
    assert len(names) == len(set(names))
    assert len(names) >= 100


def test_every_rule_has_a_scenario_that_fires_it() -> None:
    named = {s.rule for s in SCENARIOS}
    known = {rule.id for rule in RULES}
    assert named - {""} <= known
    assert known - named == set(ELSEWHERE)


def test_every_row_of_the_tricky_situations_has_a_scenario() -> None:
    settled = {s.row for s in SCENARIOS} - {0}
    assert settled <= set(range(1, ROWS + 1))
    assert not settled & set(LATER)
    assert settled | set(LATER) == set(range(1, ROWS + 1))


def test_a_row_with_a_block_has_an_innocent_twin_or_a_near_miss() -> None:
    """Where a row is ever called blocked, a scenario beside it must show what is not."""
    for row in {s.row for s in SCENARIOS} - {0}:
        outcomes = {s.outcome for s in SCENARIOS if s.row == row}
        assert outcomes != {"blocked"}, row
        assert not outcomes & {"blocked", "likely_blocked"} or len(outcomes) > 1, row

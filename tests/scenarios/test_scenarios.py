"""Every scenario, end to end: simulated Internet, real probes, real helper, real rules."""

import pytest

from monitor.judge.rules import RULES

from . import connection_scenarios, dns_scenarios, page_scenarios
from .harness import Scenario, play

SCENARIOS = (*dns_scenarios.SCENARIOS, *connection_scenarios.SCENARIOS, *page_scenarios.SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario: Scenario) -> None:
    result = play(scenario)
    verdict = result.verdict
    assert (verdict.outcome, verdict.technique, verdict.cause) == (
        scenario.outcome, scenario.technique, scenario.cause or verdict.cause,
    ), verdict  # fmt: skip
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
    assert known <= named

"""Every scenario in the lab: namespaces, real servers, a censor on the path, the real service and helper."""

import pytest

from .conftest import Answers
from .every import SCENARIOS
from .scenario import Scenario

ROWS = 30  # of the page of tricky situations


@pytest.mark.timeout(300)  # the first one waits until the lab is up and its own turn has come
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario: Scenario, answers: Answers) -> None:
    played = answers.of(scenario.name).played
    assert played is not None
    verdict = played.verdict
    found = (verdict.outcome, verdict.technique, verdict.cause)
    assert found == (scenario.outcome, scenario.technique, scenario.cause), (verdict, played.counts)
    assert scenario.techniques is None or verdict.techniques == scenario.techniques, verdict
    assert not scenario.rule or scenario.rule in verdict.rules, verdict
    if scenario.check is not None:
        scenario.check(played)


def test_names_are_unique_and_twins_exist() -> None:
    names = [s.name for s in SCENARIOS]
    assert len(names) == len(set(names))
    outcomes = {s.name: s.outcome for s in SCENARIOS}
    for scenario in SCENARIOS:
        if scenario.outcome in ("blocked", "likely_blocked", "impaired"):
            assert scenario.twin, f"{scenario.name} has no innocent twin"
        if scenario.twin:
            assert outcomes[scenario.twin] in ("ok", "down", "insufficient"), scenario.twin


def test_every_row_of_the_tricky_situations_is_settled_here_or_later() -> None:
    """All of judgement.md but 20 and 21 (tests/scenarios), and 25 (tests/publish/test_wide.py)."""
    assert {s.row for s in SCENARIOS} - {0} == set(range(1, ROWS + 1)) - {20, 21, 25}
    assert len(SCENARIOS) >= 60

"""A tenth of the benchmark of 200 agents: nothing is lost, and pages go on answering."""

import pytest

from benchmarks.agents import play


@pytest.mark.timeout(180)
def test_two_hundred_agents_hand_in_at_once() -> None:
    found = play(200, 50, minutes=0.5)
    assert len(found.sent) > 4_500
    assert sorted(found.stored) == sorted(found.sent)  # each exactly once, and nothing else
    assert not found.refused
    assert found.pages
    assert found.metrics

"""Long work gives the interpreter back, and what it yields is all there."""

import threading
import time

import pytest
from prometheus_client import generate_latest

from monitor import turns
from monitor.publish.metrics import Metrics

from . import sample


def test_the_items_are_the_same_and_short_work_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(turns, "WORK", 1000.0)
    monkeypatch.setattr(time, "sleep", rests.append)
    assert list(turns.in_turns("abc")) == ["a", "b", "c"]
    assert list(turns.in_turns([])) == rests == []


def test_long_work_rests_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(turns, "WORK", 0.0)
    monkeypatch.setattr(time, "sleep", rests.append)
    assert list(turns.in_turns(range(100))) == list(range(100))
    assert len(rests) >= 50
    assert set(rests) == {turns.REST}


def test_metrics_that_are_made_in_turns_are_what_the_library_writes() -> None:
    metrics = Metrics()
    metrics.set_vantages([sample.VANTAGE])
    metrics.observe(*sample.resets())
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(metrics.render("")[0]))
    thread.start()
    thread.join()
    assert found == [generate_latest(metrics.registry) + metrics.pairs.text()]
    assert b'wallwatch_phase_seconds_count{phase="tls",vantage="home"}' in found[0]

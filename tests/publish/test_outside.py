"""A measurement from outside as it is shown: no plain client in it, and never read as one that reached the site."""

from datetime import UTC, datetime

import msgspec
import pytest

from blocklists import target_of
from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from monitor.publish.account import account
from monitor.publish.matrix import matrix
from monitor.publish.pages import matrix_page
from monitor.publish.probe import render
from monitor.publish.record import as_json
from monitor.publish.way import walked
from probes.measurement import Measurement
from tests.judge import build as b
from tests.judge.outside import STRANGERS, measured, resolver, silent

NOW = datetime(2026, 1, 31, 13, tzinfo=UTC)
CLEAR = measured(resolver(1, (b.SITE,)), resolver(2, (b.SITE,)))
LED_AWAY = measured(*(resolver(n, *[(b.STRANGER,)] * 4) for n in (1, 2)), resolver(3, (b.SITE,)), STRANGERS)
INJECTED = measured(silent(1, b.STRANGER), method="injection")


def judged(made: Measurement) -> Verdict:
    return analyze(made, b.FINGERPRINTS)


@pytest.mark.parametrize("made", [CLEAR, LED_AWAY, INJECTED])
def test_it_says_from_where_and_what_was_not_measured(made: Measurement) -> None:
    told = account(made, judged(made))
    assert "outside (remote, CN, AS4134, outside-in" in told
    assert "Not measured from here: the answers of its own resolver" in " ".join(told.split())
    assert "First look" not in told
    assert walked(made) == []


def test_what_resolvers_were_asked_stands_there() -> None:
    told = account(LED_AWAY, judged(LED_AWAY))
    assert "Does a resolver there lead to the site, and does it answer rightly for innocuous names?" in told
    assert f"count: answered 4 of 4 for {b.NAME}, answered 2 of 2 for {b.OTHER_NAME}" in told
    assert "in question: DNS for “site.example”, 203.0.113.1 port 53" in told
    assert "in question: TLS as “site.example”, 31.13.94.37 port 443" in told


@pytest.mark.parametrize(("made", "shown"), [(CLEAR, None), (LED_AWAY, 0.0), (INJECTED, 0.0)])
def test_success_is_never_claimed_for_a_plain_client_that_was_not_there(made: Measurement, shown: float | None) -> None:
    body = render(made, judged(made), now=NOW, accept="")[0].decode()
    lines = [line for line in body.splitlines() if line.startswith("probe_success ")]
    assert lines == ([] if shown is None else [f"probe_success {shown}"])


def test_its_direction_is_in_the_json() -> None:
    line = msgspec.json.decode(as_json(CLEAR, judged(CLEAR), version="0"))
    assert line["vantage"]["direction"] == "outside-in"
    assert line["verdict"]["outcome"] == "ok"


def test_its_column_in_the_matrix_says_so() -> None:
    target = target_of(b.SECURE)
    found = matrix([], {}, targets=[target], vantages=["home", "outside"])
    page = matrix_page(found, now=NOW, simulated=False, outside=["outside"])
    assert "outside <small>from outside</small>" in page
    assert page.count("from outside") == 2  # the head, and the cell where it stands alone on a small screen

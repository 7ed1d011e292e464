"""A foreign helper has no empty page of its own: that is no captive portal."""

from tests.scenarios.harness import Scenario, default_site, play


def test_a_helper_that_answers_400_or_404_is_no_portal() -> None:
    for status in (400, 404, 405):
        empty = default_site("empty.example", "146.75.30.10", status=status, http="serve", certificate="none")
        result = play(Scenario(name="foreign helper", outcome="ok", sites=(default_site(), empty)))
        assert (result.verdict.outcome, result.verdict.cause) == ("ok", None)
        assert result.measurement.self_tests[0].not_empty == ()

"""When tries differ: the contract's table of 2 of 6 against 0 of as many."""

import pytest

from probes.experiment import Attempt
from probes.failure import NOT_TRIED_RESIDUAL, RESET
from probes.followup.tally import Tally, tally


def tries(named: str, innocuous: str) -> list[Attempt]:
    """`x` failed, `.` passed."""
    return [
        Attempt(sent=str(without), started=0.0, finished=0.1, innocuous=without, failure=RESET if how == "x" else None)
        for without, ends in ((False, named), (True, innocuous))
        for how in ends
    ]


@pytest.mark.parametrize(
    ("named", "innocuous", "differs"),
    [
        ("xx", "..", True),
        ("xxx", "...", True),
        ("x.", "..", False),
        ("xx....", "......", True),
        ("x.....", "......", False),
        ("xxxxxx", "x.....", False),
        ("xxx", "xxx", False),
        ("xxx", "..", False),
        ("xxx", "", False),
        ("", "...", False),
        ("......", "......", False),
    ],
)
def test_differs(named: str, innocuous: str, differs: bool) -> None:
    assert tally(tries(named, innocuous)).differs is differs


def test_a_try_that_was_not_made_counts_for_nothing() -> None:
    skipped = Attempt(sent="a", started=0.0, finished=0.0, failure=NOT_TRIED_RESIDUAL)
    assert tally([skipped]) == Tally()
    assert tally([skipped, *tries("xx", "..")]) == Tally(2, 0, 0, 2)


@pytest.mark.parametrize(("named", "decided"), [("xxx", True), ("xx", False), ("xx.", False), ("xxxx", True)])
def test_decided_needs_enough_tries_that_all_fail(named: str, decided: bool) -> None:
    assert tally(tries(named, "." * len(named))).decided(3) is decided

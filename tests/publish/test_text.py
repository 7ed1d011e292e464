"""Texts from the network, made safe to show."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.publish.text import age, moment, pad, printable, seconds, width, wrap

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\rd", "a b c d"),
        ("\u202egnp", "\\u202egnp"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("六四", "六四"),
    ],
)
def test_control_and_direction_characters_are_written_as_numbers(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_too_long_is_cut() -> None:
    assert printable("x" * 10_000, 10) == "x" * 10 + "…"
    assert printable("x" * 10, 10) == "x" * 10


@given(st.text(max_size=300), st.integers(4, 60))
def test_lines_are_never_wider_than_asked_and_lose_no_letter(text: str, columns: int) -> None:
    shown = printable(text)
    lines = wrap(shown, columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")


def test_wide_letters_take_two_columns() -> None:
    assert width("六四ab") == 6
    assert pad("六四", 6) == "六四  "
    assert wrap("六四六四", 5) == ["六四", "六四"]


def test_durations_and_ages() -> None:
    assert seconds(0.0123) == "12.3 ms"
    assert seconds(4.5612) == "4.56 s"
    assert age(NOW, NOW) == "just now"
    assert age(NOW + timedelta(hours=1), NOW) == "just now"
    assert age(NOW - timedelta(minutes=12), NOW) == "12 min"
    assert age(NOW - timedelta(hours=30), NOW) == "30 h"
    assert age(NOW - timedelta(days=5), NOW) == "5 d"
    assert moment(NOW) == "2026-01-31 12:00:00 UTC"

"""Certificates as text, whatever a censor sends for one."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.publish.certificate import describe

from . import sample

GOOD = sample.certificate()


def test_it_tells_subject_issuer_and_dates() -> None:
    found = describe(sample.sha256(GOOD), GOOD)
    assert (found.subject, found.issuer) == ("O=example.com", "O=example.com")
    assert (found.dates, found.fault) == ("2026-01-31 to 2026-05-01", "")


def test_one_that_was_not_kept() -> None:
    assert describe("00", None).fault == "not kept"
    assert describe("00", b"").fault == "not kept"


def test_a_subject_cannot_move_the_cursor() -> None:
    der = sample.certificate("<script>\x1b[2J\u202e")
    assert describe(sample.sha256(der), der).subject.isprintable()


@given(st.binary(max_size=200))
def test_rubbish_is_tolerated(der: bytes) -> None:
    assert describe("00", der).fault


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_damaged_one_is_tolerated(where: int, value: int) -> None:
    der = bytearray(GOOD)
    der[where] = value
    describe("00", bytes(der))

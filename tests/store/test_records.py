"""A measurement as bytes: what comes back, and what is refused."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.store import RecordError, records
from tests.store.sample import BODY, CERTIFICATES, measurement, sha256, whole


def test_everything_but_the_contents_comes_back() -> None:
    saved = whole()
    loaded = records.decode(records.encode(saved))
    assert loaded.operations == saved.operations
    assert loaded.bodies == {sha256(BODY): b""}
    assert records.fill(loaded, saved.bodies, saved.certificates) == saved


def test_contents_are_not_in_the_record() -> None:
    packed = zlib.decompress(records.encode(whole()))
    assert all(content[:40] not in packed for content in (BODY, *CERTIFICATES))


def test_contents_that_are_gone_are_left_out() -> None:
    loaded = records.fill(records.decode(records.encode(whole())), {}, {})
    assert (loaded.bodies, loaded.certificates) == ({}, {})


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"nonsense",
        records.encode(measurement(1))[:-3],
        records.encode(measurement(1)) + b"x",
        zlib.compress(b"{}"),
        zlib.compress(b"\xff"),
        zlib.compress(b"[" * 100_000),
        zlib.compress(b'{"uid":"a","time":"2026-01-01T00:00:00","target":"a","url":"","vantage":{"name":"v"}}'),
        zlib.compress(bytes(records.MAX_BYTES + 1)),
    ],
)
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(RecordError):
        records.decode(record)


@given(st.binary(max_size=200), st.booleans())
def test_bad_bytes_raise_nothing_else(content: bytes, packed: bool) -> None:
    with pytest.raises(RecordError):
        records.decode(zlib.compress(content) if packed else content)


def test_too_much_for_one_record_is_refused() -> None:
    with pytest.raises(RecordError, match="too many"):
        records.pack(bytes(records.MAX_BYTES + 1))

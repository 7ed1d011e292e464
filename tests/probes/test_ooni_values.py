"""Values out of OONI's JSON come out bounded and of their type, whatever they were."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import ooni_values as values


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0.0), (1.5, 1.5), (True, 0.0), ("1", 0.0), (-1, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (2e6, 0.0)],
)
def test_seconds(value: Any, expected: float) -> None:
    assert values.seconds(value) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [({"t0": 1, "t": 2}, (1.0, 2.0)), ({"t": 2}, (2.0, 2.0)), ({"t0": 3, "t": 2}, (2.0, 2.0)), ({}, (0.0, 0.0))],
)
def test_spans(record: dict[str, Any], expected: tuple[float, float]) -> None:
    assert values.span(record) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (False, None), ("", None), (True, "unknown_failure"), (7, "unknown_failure"),
        ("connection_reset", "connection_reset"), ("dns_lookup_error", "dns_nxdomain_error"),
        ("response_never_received", "eof_error"), ("x" * 999, "x" * 200),
    ],
)  # fmt: skip
def test_failures(value: Any, expected: str | None) -> None:
    assert values.failure(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.3.4:443", ("1.2.3.4", 443)), ("[2001:DB8::1]:80", ("2001:db8::1", 80)), ("1.2.3.4", None),
        ("1.2.3.4:0", None), ("1.2.3.4:65536", None), ("1.2.3.4:٤", None), ("a.example:1", None), (None, None),
        ("[fe80::1%a]:1", None),
    ],
)  # fmt: skip
def test_endpoints(value: Any, expected: tuple[str, int] | None) -> None:
    assert values.endpoint(value) == expected


def test_ports_and_whole_numbers() -> None:
    assert [values.port(value) for value in (443, 0, 65536, True, "443", None)] == [443, 0, 0, 0, 0, 0]
    assert values.whole(-1, default=-1) == -1
    assert values.transaction({"transaction_id": 7}) == 7
    assert values.transaction({}) == 0


def test_bodies() -> None:
    encoded = base64.b64encode(b"\x00\xff body").decode()
    assert values.data({"format": "base64", "data": encoded}) == (b"\x00\xff body", False)
    assert values.data("text") == (b"text", False)
    assert values.data("text", 2) == (b"te", True)
    assert values.data({"data": "abcde"}) == (b"", False)
    assert values.data({"data": 7}) == (b"", False)
    assert values.data(None) == (b"", False)
    assert values.data("\ud800") == (b"?", False)


def test_headers() -> None:
    listed = {"headers_list": [["A", "1"], ["A", {"format": "base64", "data": "Mg=="}], ["", "x"], ["B"], 7]}
    assert values.headers(listed) == (("A", "1"), ("A", "2"))
    assert values.headers({"headers": {"A": "1", "B": None}}) == (("A", "1"), ("B", ""))
    assert values.headers({}) == ()


@pytest.mark.parametrize(
    ("tags", "hop"),
    [(["x", "depth=2"], 2), (["depth=0"], 0), (["depth=99"], None), (["depth=-1"], None), ([], None), (None, None), ([7], None)],
)  # fmt: skip
def test_hops(tags: Any, hop: int | None) -> None:
    assert values.tagged_hop({"tags": tags}) == hop


def test_records() -> None:
    assert values.records([{"a": 1}, 7, None, {}]) == [{"a": 1}, {}]
    assert len(values.records([{}] * 1000)) == 512
    assert values.records("text") == []
    assert values.mapping([]) == {}


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.lists(st.text())))
def test_nothing_upsets_a_value(value: Any) -> None:
    assert len(values.text(value, 10)) <= 10
    values.text(value).encode()
    assert isinstance(values.address(value), str)
    assert 0 <= values.port(value) <= 65535
    assert 0 <= values.seconds(value) <= 1e6
    values.endpoint(value)
    values.failure(value)
    values.headers({"headers_list": value, "headers": {"A": value}})
    values.tagged_hop({"tags": value})
    assert len(values.decoded(value, 9)) <= 9

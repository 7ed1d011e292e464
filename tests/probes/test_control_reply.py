"""A helper's reply: what a good one says, and that nothing in a bad one can do harm."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.control_reply import ReplyError, read_reply
from probes.measurement import ControlEndpoint, ControlReply

URL, SOURCE = "https://good.example/", "https://helper.example/"
GOOD: dict[str, Any] = {
    "dns": {"failure": None, "addrs": ["93.184.215.14", "2606:2800::1", "edge.example", "93.184.215.14"]},
    "tcp_connect": {
        "93.184.215.14:443": {"status": True, "failure": None},
        "[2606:2800::1]:443": {"status": False, "failure": "host_unreachable"},
        "198.51.100.1:443": {"status": False, "failure": None},
        "nonsense": {"status": True},
    },
    "tls_handshake": {
        "93.184.215.14:443": {"server_name": "good.example", "status": True, "failure": None},
        "198.51.100.2:443": {"server_name": "good.example", "status": False, "failure": None},
    },
    "http_request": {
        "status_code": 200, "title": " A\n page ", "body_length": 1234, "failure": None,
        "headers": {"Server": "one", "X-Odd": "two"},
    },
    "ip_info": {"93.184.215.14": {"asn": 15133, "flags": 3}, "x": {"asn": 1}, "198.51.100.1": {"asn": 0}},
    "x_wallwatch": {"ttfb_seconds": 0.5, "body_seconds": 1, "body_sha256": "ab" * 40},
}  # fmt: skip


def read(document: Any) -> ControlReply:
    return read_reply(document, source=SOURCE, url=URL)


def test_a_good_reply() -> None:
    found = read(GOOD)
    assert (found.source, found.url, found.failure) == (SOURCE, URL, None)
    assert (found.dns_known, found.dns_failure) == (True, None)
    assert found.addresses == ("93.184.215.14", "2606:2800::1")
    assert found.asns == (("93.184.215.14", 15133),)
    assert found.endpoints == (
        ControlEndpoint(address="93.184.215.14", port=443, tls=True, server_name="good.example"),
        ControlEndpoint(address="2606:2800::1", port=443, tcp_failure="host_unreachable"),
        ControlEndpoint(address="198.51.100.1", port=443, tcp_failure="unknown_failure: connect"),
        ControlEndpoint(
            address="198.51.100.2", port=443, tls=False, tls_failure="unknown_failure: tls", server_name="good.example"
        ),
    )
    page = found.page
    assert page is not None
    assert (page.status, page.title, page.body_length) == (200, "A page", 1234)
    assert page.headers == (("Server", "one"), ("X-Odd", "two"))
    assert (page.ttfb, page.body_seconds, len(page.body_sha256)) == (0.5, 1.0, 64)


def test_a_foreign_helper_lacks_our_own_part() -> None:
    page = read({key: value for key, value in GOOD.items() if key not in ("x_wallwatch", "ip_info")}).page
    assert page is not None
    assert (page.ttfb, page.body_seconds, page.body_sha256) == (None, None, "")


@pytest.mark.parametrize(
    ("document", "known", "failure"),
    [
        ({"dns": {"failure": "dns_name_error", "addrs": None}}, True, "dns_nxdomain_error"),
        ({"dns": {"failure": None, "addrs": []}}, True, None),
        ({"dns": None, "http_request": {"failure": "timeout_error"}}, False, None),
        ({"tcp_connect": {"1.1.1.1:1": None}}, False, None),
        ({"tls_handshake": {"1.1.1.1:1": {"status": True}}}, False, None),
    ],
)
def test_what_is_known_of_dns(document: Any, known: bool, failure: str | None) -> None:
    found = read(document)
    assert (found.dns_known, found.dns_failure) == (known, failure)


@pytest.mark.parametrize(
    "document",
    [
        None, [], "text", 7, {}, {"dns": {"addrs": None, "failure": None}}, {"http_request": {"status_code": 0}},
        {"tcp_connect": {"x": {}}}, {"dns": {"addrs": "93.184.215.14"}}, {"http_request": {"status_code": True}},
    ],
)  # fmt: skip
def test_a_reply_that_says_nothing(document: Any) -> None:
    with pytest.raises(ReplyError, match="says nothing"):
        read(document)


def test_what_is_kept_is_bounded() -> None:
    found = read(
        {
            "dns": {"addrs": [f"10.{n // 256}.{n % 256}.1" for n in range(2000)], "failure": "x" * 5000},
            "tcp_connect": {f"10.0.0.1:{n}": {"status": True} for n in range(1, 2000)},
            "http_request": {
                "status_code": 200,
                "title": "y" * 5000,
                "headers": {f"H{n}": "z" * 9000 for n in range(500)},
            },
            "ip_info": {f"10.{n // 256}.{n % 256}.1": {"asn": n + 1} for n in range(2000)},
        }
    )
    assert len(found.addresses) == len(found.endpoints) == len(found.asns) == 256
    assert len(found.dns_failure or "") == 200
    assert found.page is not None
    assert (len(found.page.title), len(found.page.headers), len(found.page.headers[0][1])) == (512, 200, 8192)


_KEYS = st.sampled_from(
    [*GOOD, "addrs", "failure", "status", "status_code", "title", "headers", "body_length", "server_name", "asn",
     "93.184.215.14:443", "93.184.215.14", "ttfb_seconds", "body_sha256", ""]
)  # fmt: skip
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=20), st.just("\ud800"),
    st.sampled_from(["93.184.215.14", "::1", "1.2.3.4:99999", "[::1]:443", "fe80::1%eth0"]),
)  # fmt: skip
_JUNK = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=25
)


@given(_JUNK)
def test_junk_is_read_or_refused_and_what_was_read_can_be_kept(document: Any) -> None:
    for candidate in (
        document,
        {"dns": document},
        {**GOOD, "http_request": document},
        {**GOOD, "tcp_connect": document},
    ):
        try:
            found = read(candidate)
        except ReplyError as error:
            assert str(error).isprintable()
        else:
            kept = msgspec.json.encode(found)
            assert msgspec.json.decode(kept, type=ControlReply) == found
            json.loads(kept)

"""What the helper takes for a request, whom it dials, how often one client may ask; no network needed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.collect.helper_protocol import BadRequest, may_dial, parse_request
from monitor.collect.rate_limit import RateLimit, client_key
from probes.clock import Clock

BAD = [
    b"", b"{", b"[]", b"null", b"\xff", b"[" * 60_000, b'{"http_request": 1}', b'{"http_request": "\\ud800"}',
    b'{"http_request": "ftp://a/"}', b'{"http_request": "http://a/", "tcp_connect": ["a:80"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["1.2.3.4"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["1.2.3.4:0"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["1.2.3.4:99999"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["[fe80::1%1]:80"]}',
    b'{"http_request": "http://a/", "http_request_headers": {"accept": ["a\\r\\nb: c"]}}',
    json.dumps({"http_request": "http://a/", "tcp_connect": ["1.2.3.4:80"] * 21}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_bad_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(body)


def test_go_s_nulls_and_unknown_keys_are_taken() -> None:
    request = parse_request(
        b'{"http_request": "http://a.example/", "http_request_headers": null, "tcp_connect": null, "x": {}}'
    )
    assert (str(request.url), request.endpoints, request.headers) == ("http://a.example/", (), {})


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(
    ["http://a.example/", "https://[::1]/", "1.2.3.4:80", "[::1]:443", "[::]:1", "Accept", "a\r\nb", "\ud800"]
)  # fmt: skip
ANYTHING = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner))
ENDPOINT = st.text("0123456789abcdef.:[]%", max_size=30)
BODY = st.fixed_dictionaries(
    {"http_request": ANYTHING | st.just("http://a.example/")},
    optional={
        "http_request_headers": ANYTHING
        | st.dictionaries(st.sampled_from(["Accept", "user-agent", "x"]), st.lists(st.text())),
        "tcp_connect": ANYTHING | st.lists(ENDPOINT),
        "x_quic_enabled": ANYTHING,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(BODY, ANYTHING).map(lambda value: json.dumps(value).encode()) | st.binary())
def test_no_body_upsets_the_parser(body: bytes) -> None:
    try:
        request = parse_request(body)
    except BadRequest as refusal:
        assert str(refusal).isprintable()
    else:
        assert all(0 < port < 65536 for _address, port, _text in request.endpoints)
        assert all(value.isascii() and value.isprintable() for value in request.headers.values())


def test_what_may_be_dialled() -> None:
    assert may_dial("93.184.215.14", allow_private=False) and may_dial("10.0.0.1", allow_private=True)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::"):
        assert not may_dial(address, allow_private=True)
    for address in ("10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "fd00::1"):
        assert not may_dial(address, allow_private=False)


class _Stopped(Clock):
    time = 0.0

    def monotonic(self) -> float:
        return self.time


def test_a_bucket_refills_and_clients_do_not_share_it() -> None:
    clock = _Stopped()
    limit = RateLimit(2.0, 3, clock)
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.take("b") == 0.0
    clock.time = 0.5
    assert limit.take("a") == 0.0
    assert limit.take("a") == 0.5
    clock.time = 1000.0
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_who_is_one_client() -> None:
    assert client_key("192.0.2.1") == client_key("::ffff:192.0.2.1") != client_key("192.0.2.2")
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff%eth0") != client_key("2001:db8:0:1::1")
    assert isinstance(client_key(None), str)

"""Address classes, endpoints and what hides in a NAT64 address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.address import embedded_ipv4, endpoint, is_bogon, is_ipv6, kind, parse, split_endpoint


@pytest.mark.parametrize(
    ("address", "expected", "bogon"),
    [
        ("127.8.9.1", "loopback", True),
        ("::1", "loopback", True),
        ("0.0.0.0", "unspecified", True),
        ("0.1.2.3", "unspecified", True),
        ("::", "unspecified", True),
        ("10.10.34.36", "private", True),
        ("172.31.255.255", "private", True),
        ("172.32.0.0", "global", False),
        ("192.168.1.1", "private", True),
        ("fd00::1", "private", True),
        ("169.254.169.254", "link_local", True),
        ("fe80::1", "link_local", True),
        ("100.64.0.1", "shared", True),
        ("100.128.0.1", "global", False),
        ("243.185.187.39", "reserved", True),
        ("255.255.255.255", "reserved", True),
        ("198.18.0.5", "fake", False),
        ("198.20.0.1", "global", False),
        ("64:ff9b::101:101", "nat64", False),
        ("2001::453f:ba1e", "teredo", False),
        ("2001:4860:4860::8888", "global", False),
        ("224.0.0.1", "multicast", True),
        ("ff02::1", "multicast", True),
        ("::ffff:127.0.0.1", "loopback", True),
        ("::ffff:8.8.8.8", "global", False),
        ("8.8.8.8", "global", False),
        ("example.com", "invalid", False),
        ("", "invalid", False),
    ],
)
def test_the_class_of_an_address(address: str, expected: str, bogon: bool) -> None:
    assert kind(address) == expected
    assert is_bogon(address) is bogon


@pytest.mark.parametrize(
    ("address", "prefixes", "inner"),
    [
        ("64:ff9b::7f00:1", (), "127.0.0.1"),
        ("2001:db8:64::808:808", ("2001:db8:64::/96",), "8.8.8.8"),
        ("2001:db8:64::808:808", (), "2001:db8:64::808:808"),
        ("8.8.8.8", (), "8.8.8.8"),
        ("nonsense", (), "nonsense"),
    ],
)
def test_the_address_inside_a_nat64_address(address: str, prefixes: tuple[str, ...], inner: str) -> None:
    assert embedded_ipv4(address, prefixes) == inner


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_endpoint_and_back(address: object, port: int) -> None:
    text = endpoint(str(address), port)
    assert split_endpoint(text) == (str(address), port)
    assert is_ipv6(str(address)) == text.startswith("[")
    assert parse(str(address)) == address


@pytest.mark.parametrize("text", ["", ":53", "8.8.8.8", "8.8.8.8:", "8.8.8.8:x", "8.8.8.8:65536", "8.8.8.8:0", "8.8.8.8:-1", "8.8.8.8: 1", "8.8.8.8:٥", "dns.example:53"])  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        split_endpoint(text)

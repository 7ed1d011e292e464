"""The site of a host is its registrable domain."""

import pytest

from blocklists import site_of


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("www.bbc.co.uk", "bbc.co.uk"),
        ("bbc.co.uk", "bbc.co.uk"),
        ("cn.nytimes.com", "nytimes.com"),
        ("a.b.xn--55qx5d.cn", "b.xn--55qx5d.cn"),
        ("blog.github.io", "blog.github.io"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("a.b.no-such-tld", "b.no-such-tld"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("a_b.example.com", "example.com"),
        ("", ""),
    ],
)
def test_the_site_is_the_registrable_domain(host: str, site: str) -> None:
    assert site_of(host) == site

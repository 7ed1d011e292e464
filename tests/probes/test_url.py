"""URLs: one spelling each, a reason for each refusal, and no text that upsets the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.url import URL, InvalidURL, join, parse_url

HOSTILE = st.text(
    st.one_of(st.sampled_from("/:?#[]@%.\\ \t\r\n&=0x1aé。\u200d\ud800\udce9💩-_"), st.characters()),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://www.example.com", "https://www.example.com/"),
        ("HTTP://WWW.Example.COM:80/Path?Q#frag", "http://www.example.com/Path?Q"),
        ("https://www.example.com.:443/", "https://www.example.com/"),
        ("https://example.com:8443", "https://example.com:8443/"),
        ("https://example.com:/x", "https://example.com/x"),
        ("https://user:p@ss@example.com/", "https://example.com/"),
        ("https://example.com?a=b", "https://example.com/?a=b"),
        ("https://example.com/#/route", "https://example.com/"),
        ("http://münchen.de/straße", "http://xn--mnchen-3ya.de/stra%C3%9Fe"),
        ("http://ＭÜＮＣＨＥＮ。de/", "http://xn--mnchen-3ya.de/"),
        ("http://💩.la/", "http://xn--ls8h.la/"),
        ("http://维吾尔.com/六四?q=六", "http://xn--srr45phv5a.com/%E5%85%AD%E5%9B%9B?q=%E5%85%AD"),
        ("http://a_b.example.com/", "http://a_b.example.com/"),
        ("http://r3---sn-4g5e.example.com/", "http://r3---sn-4g5e.example.com/"),
        ("http://192.0.2.7:8080/", "http://192.0.2.7:8080/"),
        ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
        ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x"),
        ("http://example.com/a/./b/../c", "http://example.com/a/c"),
        ("http://example.com/a/..", "http://example.com/"),
        ("http://example.com/a/b/..", "http://example.com/a/"),
        ("http://example.com/../../x", "http://example.com/x"),
        ("http://example.com//x//y", "http://example.com//x//y"),
        ("http://example.com/100%?p=%zz&q=%2f", "http://example.com/100%25?p=%25zz&q=%2f"),
        ('http://example.com/<"a">|{b}^`', "http://example.com/%3C%22a%22%3E%7C%7Bb%7D%5E%60"),
        ("http://example.com/\udce9", "http://example.com/%E9"),
        ("http://example.com/\ud800", "http://example.com/%ED%A0%80"),
    ],
)
def test_a_url_has_one_spelling(text: str, normal: str) -> None:
    assert str(parse_url(text)) == normal
    assert str(parse_url(normal)) == normal


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the URL must start with http:// or https://"),
        ("www.example.com", "the URL must start with http:// or https://"),
        ("localhost:8080", "the URL must start with http:// or https://"),
        ("javascript:alert(1)", "the URL must start with http:// or https://"),
        ("ftp://example.com/", "the scheme 'ftp' is neither http nor https"),
        ("http:example.com", "'//' is missing after 'http:'"),
        ("http:///path", "the host is missing"),
        ("http://user@/", "the host is missing"),
        ("http://:80/", "the host is missing"),
        ("http://./", "the host has an empty label"),
        ("http://a..b/", "the host has an empty label"),
        ("http://a%62.com/", "the host contains '%'"),
        ("http://a b.com/", "the URL contains whitespace (U+0020)"),
        ("http://a.com/\n", "the URL contains whitespace (U+000A)"),
        ("http://a.com/\x00", "the URL contains a control character (U+0000)"),
        ("http://a.com/\u3000", "the URL contains whitespace (U+3000)"),
        ("http://a.com\\b", "the URL contains a backslash"),
        ("http://a!b.com/", "the host contains a character that no host name may have: a!b"),
        ("http://é!.com/", "the host contains a character that no host name may have: xn--!-9fa"),
        ("http://\ud800.com/", "the host contains a character that no host name may have"),
        ("http://2130706433/", "the host '2130706433' is a number but no IPv4 address in dotted form"),
        ("http://0x7f.1/", "the host '0x7f.1' is a number but no IPv4 address in dotted form"),
        ("http://127.0.0.0x1/", "the host '127.0.0.0x1' is a number but no IPv4 address in dotted form"),
        ("http://010.0.0.1/", "the host '010.0.0.1' is a number but no IPv4 address in dotted form"),
        ("http://1.2.3.256/", "the host '1.2.3.256' is a number but no IPv4 address in dotted form"),
        ("http://[::1/", "an IPv6 address is not closed by ']' in the host"),
        ("http://[::1]x/", "an IPv6 address is not closed by ']' in the host"),
        ("http://[1.2.3.4]/", "the text in brackets is no IPv6 address"),
        ("http://[fe80::1%25eth0]/", "the text in brackets is no IPv6 address"),
        ("http://a.com:0/", "the port '0' is not a number from 1 to 65535"),
        ("http://a.com:65536/", "the port '65536' is not a number from 1 to 65535"),
        ("http://a.com:http/", "the port 'http' is not a number from 1 to 65535"),
        ("http://a.com:٨٠/", "the port '\\u0668\\u0660' is not a number from 1 to 65535"),
        ("http://::1/", "the host is missing"),
        (f"http://{'a' * 64}.com/", "a label of the host is longer than 63 characters"),
        (f"http://{'é' * 64}.com/", "a label of the host is longer than 63 characters"),
        (f"http://{'é' * 63}.com/", "a label of the host is longer than 63 characters"),
        (f"http://{'a.' * 127}a/", "the host is longer than 253 characters"),
        (f"http://{'é' * 8000}/", "the host is longer than 253 characters"),
        (f"http://{'é.' * 100}com/", "the host is longer than 253 characters"),
        (f"http://a.com/{'x' * 8192}", "the URL is longer than 8192 characters"),
        (f"http://a.com/{'六' * 2000}", "the URL is longer than 8192 characters once it is encoded"),
    ],
)
def test_a_refusal_says_why(text: str, reason: str) -> None:
    with pytest.raises(InvalidURL) as refusal:
        parse_url(text)
    assert str(refusal.value) == reason


def test_the_longest_host_that_the_dns_allows_is_accepted() -> None:
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert parse_url(f"http://{host}/").host == host


def test_the_parts_of_a_url() -> None:
    url = parse_url("https://[2001:db8::1]:8443/a?b")
    assert (url.scheme, url.host, url.port, url.target) == ("https", "2001:db8::1", 8443, "/a?b")
    assert url.authority == "[2001:db8::1]:8443"
    assert url.is_address
    assert parse_url("http://192.0.2.1/").is_address
    assert not parse_url("http://a192.0.2.1.example/").is_address
    assert parse_url("http://example.com:443/").authority == "example.com:443"
    assert hash(url) == hash(parse_url(str(url)))


@pytest.mark.parametrize(
    ("location", "target"),
    [  # RFC 3986 section 5.4, with base http://a/b/c/d;p?q
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("?", "http://a/b/c/d;p?"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q"),
        ("g#s", "http://a/b/c/g"),
        (";x", "http://a/b/c/;x"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        ("./g/.", "http://a/b/c/g/"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("https://Other.Example:443/x", "https://other.example/x"),
        ("/..//evil.example/", "http://a//evil.example/"),
        (" /with space?a b\t", "http://a/with%20space?a%20b"),
        ("/caf\udce9", "http://a/caf%E9"),
        ("1a:b", "http://a/b/c/1a:b"),
    ],
)
def test_a_location_is_resolved(location: str, target: str) -> None:
    assert str(join(parse_url("http://a/b/c/d;p?q"), location)) == target


@pytest.mark.parametrize(
    "location",
    [
        "//", "///x", "http://", "https:///x", "about:blank", "data:text/html,x", "ftp://x/", "http:g",
        "\\\\evil", "//a b/", "/x\r\nSet-Cookie: a", "x" * 8193, "//0x7f.1/", "//a:99999/",
    ],
)  # fmt: skip
def test_a_location_that_leads_nowhere_is_refused(location: str) -> None:
    with pytest.raises(InvalidURL):
        join(parse_url("https://example.com/"), location)


def test_a_relative_location_keeps_scheme_and_port() -> None:
    assert str(join(parse_url("https://example.com:8443/a"), "b")) == "https://example.com:8443/b"
    assert str(join(parse_url("https://example.com:8443/a"), "//other.example/")) == "https://other.example/"


def _is_normal(url: URL) -> bool:
    return (
        parse_url(str(url)) == url
        and str(url).isascii()
        and str(url).isprintable()
        and " " not in str(url)
        and url.target.startswith("/")
    )


@given(HOSTILE)
def test_no_text_upsets_the_parser(text: str) -> None:
    for candidate in (text, "http://" + text, "https://example.com/" + text):
        try:
            url = parse_url(candidate)
        except InvalidURL as refusal:
            assert str(refusal).isprintable()
        else:
            assert _is_normal(url)


@given(HOSTILE, HOSTILE)
def test_no_location_upsets_the_resolution(path: str, location: str) -> None:
    try:
        base = parse_url("https://example.com/" + path)
    except InvalidURL:
        base = parse_url("https://example.com/a/b?c")
    try:
        url = join(base, location)
    except InvalidURL as refusal:
        assert str(refusal).isprintable()
    else:
        assert _is_normal(url)

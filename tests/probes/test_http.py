"""One HTTP exchange: the page, what was cut from it and why, and every way in which it can end badly."""

import asyncio
import gzip
import hashlib
import zlib

import pytest

from probes.http import HTTPRoundTrip, title_of
from probes.trace import Limits, Trace
from probes.url import join, parse_url

from .loopback import HASTY, SITE, Serve, abort, closes, gone, head, page, place, says, silent

NAME = "http://good.example/"
QUICK = Limits(timeout=0.4)


def fetched(
    serve: Serve,
    limits: Limits | None = None,
    *,
    wait: float = 0,
    cookie: str = "",
    referer: str = "",
    expect: str = "",
) -> tuple[HTTPRoundTrip, Trace]:
    async def run() -> tuple[HTTPRoundTrip, Trace]:
        async with place() as here:
            here.limits = limits or here.limits
            await here.listen(serve)
            return await here.fetch(NAME, wait=wait, cookie=cookie, referer=referer, expect=expect)

    return asyncio.run(run())


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def test_a_page_with_all_that_is_kept_of_it() -> None:
    body = b"<html><title lang=en>\n A  good\tpage </title>" + b"x" * 1000
    answer = page(body, "Server: one", "X-Odd: caf\xe9", "X-Odd: two")
    found, trace = fetched(says(answer), expect="good\tpage")
    assert (found.failure, found.status, found.method, found.url) == (None, 200, "GET", NAME)
    assert (found.address, found.port, found.flow) == (SITE, 80, 1)
    assert (found.title, found.body_length, found.cut, found.location) == ("A good page", len(body), "", "")
    assert found.expected is True
    assert found.headers[:1] == (("Server", "one"),)
    assert (found.header("x-odd"), found.header("absent")) == ("caf\xc3\xa9", "")
    assert found.body_sha256 == hashlib.sha256(body).hexdigest()
    assert trace.bodies == {found.body_sha256: body}
    assert found.received == len(answer)
    assert found.started <= found.finished < 5


def test_the_request_is_that_of_a_browser() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(page())

    fetched(serve, cookie='a=1; b="\xe9"', referer="http://before.example/")
    lines = heard[0].split(b"\r\n")
    assert lines[:3] == [b"GET / HTTP/1.1", b"Host: good.example", lines[2]]
    assert lines[2].startswith(b"User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64)")
    assert b"Accept-Encoding: identity" in lines
    assert b"Connection: close" in lines
    assert lines[-4:] == [b'Cookie: a=1; b="\xe9"', b"Referer: http://before.example/", b"", b""]
    fetched(serve)
    assert b"Cookie" not in heard[1]
    assert b"Referer" not in heard[1]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (head("Transfer-Encoding: chunked") + chunked(b"hel", b"lo"), 200, b"hello"),
        (head("Transfer-Encoding: chunked") + b"5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hello"),
        (head("Connection: close") + b"hello", 200, b"hello"),
        (b"HTTP/1.0 200\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\nServer: x\n\nhello", 200, b"hello"),
        (page(b"hello") + b"more than was promised", 200, b"hello"),
        (page(b"hello", status="404 Nicht gefunden \xfc"), 404, b"hello"),
        (head("Content-Length: 99", status="304 Not Modified"), 304, b""),
        (head(status="204 No Content"), 204, b""),
        (page(), 200, b""),
        (head("Connection: close"), 200, b""),
        (head(status="100 Continue") + head("Link: </x>", status="103 Early Hints") + page(b"hello"), 200, b"hello"),
        (head("Content-Encoding: gzip", "Connection: close") + gzip.compress(b"hello", mtime=0), 200, b"hello"),
        (head("Content-Encoding: X-GZIP ", "Connection: close") + gzip.compress(b"hello", mtime=0), 200, b"hello"),
        (head("Content-Encoding: deflate", "Connection: close") + zlib.compress(b"hello"), 200, b"hello"),
        (head("Content-Encoding: deflate", "Connection: close") + zlib.compress(b"hello", wbits=-15), 200, b"hello"),
        (page(b"hello", "Content-Encoding: gzip"), 200, b"hello"),
        (page(b"hello", "Content-Encoding: br"), 200, b"hello"),
    ],
)
def test_bodies(answer: bytes, status: int, body: bytes) -> None:
    found, trace = fetched(says(answer))
    assert (found.failure, found.status, found.cut, found.body_length) == (None, status, "", len(body))
    assert trace.bodies.get(found.body_sha256, b"") == body
    assert bool(found.body_sha256) == bool(body)
    assert found.received <= len(answer)


def test_the_expected_text_is_looked_for_in_the_decoded_body() -> None:
    answer = page(gzip.compress("六四".encode() * 50), "Content-Encoding: gzip")
    assert fetched(says(answer), expect="六四")[0].expected is True
    assert fetched(says(answer), expect="absent")[0].expected is False
    assert fetched(says(answer))[0].expected is None


@pytest.mark.parametrize(
    ("size", "kept", "cut"), [(999, 999, ""), (1000, 1000, ""), (1001, 1000, "limit"), (90_000, 1000, "limit")]
)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_body_is_cut_at_the_limit(framing: str, size: int, kept: int, cut: str) -> None:
    body = b"x" * size
    answers = {
        "length": page(body),
        "chunked": head("Transfer-Encoding: chunked") + chunked(body),
        "close": head("Connection: close") + body,
    }
    found, _trace = fetched(says(answers[framing]), Limits(body_bytes=1000))
    assert (found.failure, found.body_length, found.cut) == (None, kept, cut)


@pytest.mark.parametrize("wbits", [31, 15, -15])
def test_a_bomb_is_bounded_and_known_to_be_cut(wbits: int) -> None:
    coding = "gzip" if wbits == 31 else "deflate"
    bomb = page(zlib.compress(b"x" * 5_000_000, wbits=wbits), f"Content-Encoding: {coding}")
    found, _trace = fetched(says(bomb), Limits(body_bytes=100_000))
    assert (found.failure, found.body_length, found.cut) == (None, 100_000, "limit")
    assert found.received == len(bomb)
    whole = page(zlib.compress(b"x" * 100_000, wbits=wbits), f"Content-Encoding: {coding}")
    found, _trace = fetched(says(whole), Limits(body_bytes=100_000))
    assert (found.body_length, found.cut) == (100_000, "")


def test_a_body_that_keeps_coming_is_cut_and_one_that_stalls_is_a_timeout() -> None:
    parts: list[bytes | float] = [head("Content-Length: 100000")]
    for _ in range(60):
        parts += [b"x" * 10, 0.02]
    coming, _trace = fetched(says(*parts), QUICK)
    assert (coming.failure, coming.cut) == (None, "deadline")
    assert 10 <= coming.body_length < 600
    stalled, _trace = fetched(says(head("Content-Length: 9"), b"x", 1.0), QUICK)
    assert (stalled.failure, stalled.cut, stalled.status, stalled.body_length) == ("generic_timeout_error", "", 200, 1)
    headless, _trace = fetched(says(b"HTTP/1.1 200 OK\r\n", 1.0), QUICK)
    assert (headless.failure, headless.status) == ("generic_timeout_error", 0)
    bodiless, _trace = fetched(says(head("Content-Length: 9"), 1.0), QUICK)
    assert (bodiless.failure, bodiless.status) == ("generic_timeout_error", 200)
    assert fetched(silent, HASTY)[0].failure == "generic_timeout_error"


@pytest.mark.parametrize(
    ("serve", "failure", "status", "body_length"),
    [
        (closes, "eof_error", 0, 0),
        (gone, "connection_reset", 0, 0),
        (says(b"HTTP/1.1 200 OK\r\nSer"), "eof_error", 0, 0),
        (says(head(status="100 Continue")), "eof_error", 0, 0),
        (says(b"HTTP/1.1 200 OK\r\nSer", reset=True), "connection_reset", 0, 0),
        (says(head("Content-Length: 9") + b"half"), "eof_error", 200, 4),
        (says(head("Content-Length: 9") + b"half", reset=True), "connection_reset", 200, 4),
        (says(head("Transfer-Encoding: chunked") + b"9\r\nhalf"), "eof_error", 200, 4),
        (says(head("Transfer-Encoding: chunked") + b"4\r\nhalf\r\n"), "eof_error", 200, 4),
        (says(head("Connection: close") + b"half", reset=True), "connection_reset", 200, 4),
        (says(page(b"whole"), reset=True), None, 200, 5),
        (says(b"220 ftp.example ready\r\n\r\n"), "http_request_failed", 0, 0),
        (says(b"<html>\r\n\r\n</html>"), "http_request_failed", 0, 0),
        (says(b"\x00" * 100 + b"\r\n\r\n"), "http_request_failed", 0, 0),
        (says(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"), "http_request_failed", 0, 0),
        (says(b"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n"), "http_request_failed", 0, 0),
        (says(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), "http_request_failed", 0, 0),
        (says(head("Content-Length: 1", "Content-Length: 2") + b"x"), "http_request_failed", 0, 0),
        (says(head("Content-Length: -1")), "http_request_failed", 0, 0),
        (says(head("Transfer-Encoding: chunked") + b"zz\r\nx"), "http_request_failed", 200, 0),
    ],
)
def test_bad_ends(serve: Serve, failure: str | None, status: int, body_length: int) -> None:
    found, _trace = fetched(serve)
    assert (found.failure, found.status, found.body_length) == (failure, status, body_length)
    assert found.cut == ""


def test_headers_are_bounded() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    found, _trace = fetched(flood)
    assert (found.failure, found.status) == ("http_request_failed", 0)
    assert 64 * 1024 < found.received < 100 * 1024
    many, _trace = fetched(says(page(b"", *[f"X-{n}: y" for n in range(300)])))
    assert (many.failure, len(many.headers)) == (None, 200)


async def hasty_page(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(page(b"<title>blocked</title>", status="403 Forbidden"))
    await abort(writer)


async def hasty_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("Connection: close") + b"some")
    await abort(writer)


async def hasty_part(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("Content-Length: 50") + b"some")
    await abort(writer)


async def hasty_end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await abort(writer)


@pytest.mark.parametrize("wait", [0, 0.2])
@pytest.mark.parametrize(
    ("serve", "failure", "status", "body_length"),
    [
        (hasty_page, None, 403, 22),
        (hasty_body, "connection_reset", 200, 4),
        (hasty_part, "connection_reset", 200, 4),
        (hasty_end, "connection_reset", 0, 0),
    ],
)
def test_an_answer_before_the_request_is_seen_whenever_the_reset_comes(
    serve: Serve, failure: str | None, status: int, body_length: int, wait: float
) -> None:
    found, _trace = fetched(serve, wait=wait)
    assert (found.failure, found.status, found.body_length) == (failure, status, body_length)


@pytest.mark.parametrize(
    ("sent", "kept", "leads_to"),
    [
        ("https://other.example/x?y", "https://other.example/x?y", "https://other.example/x?y"),
        ("/六四", "/六四", "http://good.example/%E5%85%AD%E5%9B%9B"),
        (b"/caf\xe9?q=\xff", "/caf%E9?q=%FF", "http://good.example/caf%E9?q=%FF"),
    ],
)
def test_the_bytes_of_a_location(sent: str | bytes, kept: str, leads_to: str) -> None:
    raw = sent.encode() if isinstance(sent, str) else sent
    found, _trace = fetched(says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + raw + b"\r\n\r\n"))
    assert (found.failure, found.status, found.location) == (None, 302, kept)
    assert str(join(parse_url(NAME), found.location)) == leads_to


@pytest.mark.parametrize(
    ("status", "location"), [(200, ""), (201, ""), (300, ""), (303, "/x"), (307, "/x"), (308, "/x")]
)
def test_only_a_redirect_has_a_location(status: int, location: str) -> None:
    assert fetched(says(page(b"", "Location: /x", status=f"{status} x")))[0].location == location
    assert fetched(says(page(b"", status=f"{status} x")))[0].location == ""


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b"", ""),
        (b"<TITLE>Big</TITLE>", "Big"),
        (b'<title id="a">one</title><title>two</title>', "one"),
        ("<title>六四</title>".encode(), "六四"),
        (b"<title>caf\xe9</title>", "caf\ufffd"),
        (b"<title>not closed", "not closed"),
        (b"<titles>none</titles>", ""),
        (b"<title>" + b"x" * 5000, "x" * 512),
        (b"<title " + b"x" * 500 + b">far</title>", ""),
        (b"<title> a\r\n\tb\x0c </title>", "a b"),
        (b"<title " * 50_000, ""),
    ],
)
def test_titles(body: bytes, title: str) -> None:
    assert title_of(body) == title


def test_cookies_are_kept_among_the_headers() -> None:
    found, _trace = fetched(says(page(b"", "Set-Cookie: a=b; Path=/", "set-cookie: c=d")))
    assert [value for key, value in found.headers if key.lower() == "set-cookie"] == ["a=b; Path=/", "c=d"]

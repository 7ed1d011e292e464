"""One HTTP/1.1 exchange over a stream that is already open, recorded with the page it brought."""

import asyncio
import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import h11

from . import failure as failures
from .trace import Operation, Trace
from .url import URL

# What a desktop browser sends; a censor or a site must not be able to tell the probe by its headers.
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
_HEADERS = (
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Accept-Encoding", "identity"),  # so that body lengths can be compared with the control's
    ("Connection", "close"),
)
_TITLE = re.compile(
    rb"(?is)<title(?:\s[^>]{0,256})?>([^<]{0,2048})"
)  # bounded: a page must not make us search for minutes
_MAX_HEADERS = 200
_STALLED = 0.3  # of the time limit without a byte at the deadline: then the body no longer "keeps coming"
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HTTPRoundTrip(Operation, frozen=True, kw_only=True, omit_defaults=True, tag="http"):
    """A request and its response. `status` is 0 where no response came.

    `body_length` counts the body as received and decoded, up to the limit; `cut` says why it is not whole: `limit`
    (512 KiB) or `deadline` (it was still coming). `first_byte` is when the answer began, on the clock of `started`,
    `version` that of HTTP in its first line. `expected` says whether the target's own text was in the page.
    `received` counts bytes on the connection, those of the TLS handshake included.
    """

    address: str
    port: int
    url: str
    flow: int = 0
    method: str = "GET"
    first_byte: float | None = None
    version: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    title: str = ""
    body_length: int = 0
    body_sha256: str = ""
    cut: str = ""
    location: str = ""
    expected: bool | None = None
    received: int = 0

    def header(self, name: str) -> str:
        """The first value of a header, or the empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "")


class ByteStream(Protocol):
    """What an exchange needs: `tcp.Stream` or `tls.TLSStream`."""

    async def read(self, limit: int = ...) -> bytes:
        """Up to `limit` bytes, empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""


class Page:
    """A response while it arrives."""

    def __init__(self, limit: int) -> None:
        self.status = 0
        self.version = ""
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self.cut = ""
        self.complete = False
        self.first_byte: float | None = None
        self._limit = limit

    def begin(self, response: h11.Response) -> None:
        """Take the status and headers."""
        self.status = response.status_code
        self.version = response.http_version.decode("latin-1")
        raw = list(response.headers.raw_items())[:_MAX_HEADERS]
        self.headers = tuple((key.decode("latin-1"), value.decode("latin-1")) for key, value in raw)

    def add(self, data: bytes) -> bool:
        """Take a piece of the body; False when the limit is reached."""
        room = self._limit - len(self.body)
        self.body += data[:room]
        if len(data) > room:
            self.cut = "limit"
            return False
        return True

    def header(self, name: str) -> str:
        """The first value of a header, or the empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def decoded(self) -> bytes:
        """The body without its content coding; as it came where the coding is unknown or broken."""
        coding = self.header("content-encoding").strip().lower()
        if coding not in ("gzip", "x-gzip", "deflate"):
            return bytes(self.body)
        for wbits in (47, -15):  # gzip or zlib by its header, else the bare deflate that some servers send
            inflate = zlib.decompressobj(wbits)
            try:
                body = inflate.decompress(bytes(self.body), self._limit)
            except zlib.error:
                continue
            if len(body) == self._limit and not inflate.eof:
                self.cut = "limit"
            return body
        return bytes(self.body)


async def fetch(
    trace: Trace,
    stream: ByteStream,
    url: URL,
    *,
    address: str,
    port: int,
    flow: int = 0,
    received: Callable[[], int],
    hop: int = 0,
    cookie: str = "",
    referer: str = "",
    expect: str = "",
    agent: str = USER_AGENT,
) -> HTTPRoundTrip:
    """GET a page over an open stream. What the network did is recorded, never raised."""
    started = trace.now()
    page = Page(trace.limits.body_bytes)
    extra = [("Cookie", cookie)] if cookie else []
    extra += [("Referer", referer)] if referer else []
    failure = await _exchange(trace, stream, page, request(url, extra, agent=agent))
    body = page.decoded()
    digest = hashlib.sha256(body).hexdigest() if body else ""
    if digest:
        trace.bodies[digest] = body
    operation = HTTPRoundTrip(
        started=started, finished=trace.now(), failure=failure, hop=hop, attempt=trace.attempt,
        address=address, port=port, url=str(url), flow=flow, first_byte=page.first_byte, version=page.version,
        status=page.status, headers=page.headers,
        title=title_of(body), body_length=len(body), body_sha256=digest, cut=page.cut,
        location=_location(page) if page.status in REDIRECTS else "",
        expected=expect.encode() in body if expect else None, received=received(),
    )  # fmt: skip
    trace.record(operation)
    return operation


def _location(page: Page) -> str:
    """The Location header, its bytes read as UTF-8; those that are none percent-encoded, as browsers send them."""
    raw = page.header("location")[:8192].encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte.group()) - 0xDC00:02X}", raw)


def request(url: URL, extra: Sequence[tuple[str, str]] = (), *, agent: str = USER_AGENT) -> h11.Request:
    """A GET as this probe sends it. `extra` headers and `agent` must be latin-1."""
    headers = [("Host", url.authority), ("User-Agent", agent), *_HEADERS, *extra]  # a cookie has the site's own bytes
    encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    return h11.Request(method="GET", target=url.target, headers=encoded)


async def _exchange(trace: Trace, stream: ByteStream, page: Page, request: h11.Request) -> str | None:
    """Send the request and fill the page; returns the failure string.

    Where the request cannot be sent any more, an answer that came before is read all the same.
    """
    loop = asyncio.get_running_loop()
    heard = loop.time()
    unsent: OSError | None = None

    def hear() -> None:
        nonlocal heard
        heard = loop.time()
        if page.first_byte is None:
            page.first_byte = trace.now()

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=trace.limits.header_bytes)
    try:
        async with asyncio.timeout(trace.limits.timeout):
            try:
                await stream.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            except OSError as error:
                unsent = error
            await _receive(connection, stream, page, hear)
    except TimeoutError:
        if page.body and loop.time() - heard < _STALLED * trace.limits.timeout:
            page.cut = "deadline"
            return None
        return failures.TIMEOUT
    except h11.RemoteProtocolError:
        if not connection.trailing_data[1]:  # h11 reports an early end and nonsense alike
            return "http_request_failed"
        return failures.of(unsent or EOFError())
    except (OSError, EOFError) as error:
        return failures.of(unsent or error)
    return failures.of(unsent) if unsent and connection.trailing_data[1] else None


async def _receive(connection: h11.Connection, stream: ByteStream, page: Page, hear: Callable[[], None]) -> None:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await stream.read()
            if data:
                hear()
            elif not page.status:
                raise EOFError
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            page.begin(event)
        elif isinstance(event, h11.Data):
            if not page.add(bytes(event.data)):
                return
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            page.complete = True
            return


def title_of(body: bytes) -> str:
    """The text of the page's title, white space folded, at most 512 characters."""
    found = _TITLE.search(body)
    return " ".join(found.group(1).decode("utf-8", "replace").split())[:512] if found else ""

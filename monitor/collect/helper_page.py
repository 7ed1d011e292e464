"""The page that a control test helper gets: GET, every redirect, and how fast the answer came."""

from http.cookies import CookieError, SimpleCookie

from probes import http, tcp, tls
from probes.clock import Clock
from probes.http import HTTPRoundTrip
from probes.tls import TLSHandshake
from probes.trace import Trace
from probes.url import URL, InvalidURL, join

from .helper_means import Lookup, Means, resolve
from .helper_protocol import ControlRequest, HelperPage

_DIALLED = 3  # addresses, one after the other, until one accepts
_MAX_COOKIES = 50  # of one host


async def open_page(means: Means, request: ControlRequest, found: Lookup) -> HelperPage:
    """The page at the end of the redirects, or what stopped it; `found` is where the first host is."""
    trace = means.trace()
    url = request.url
    jars: dict[str, dict[str, str]] = {}
    for hop in range(means.limits.redirects + 1):
        if hop:
            found = await resolve(means, url)
        jar = jars.setdefault(url.host, {})
        page, step = await _visit(means, trace, url, found, request.headers, jar)
        if step is None or page.failure or not step.location:
            return page
        _remember(jar, step)
        try:
            url = join(url, step.location)
        except InvalidURL:
            return HelperPage(failure="http_invalid_redirect_location_host")
    return HelperPage(failure="http_too_many_redirects")


async def _visit(
    means: Means, trace: Trace, url: URL, found: Lookup, headers: dict[str, str], jar: dict[str, str]
) -> tuple[HelperPage, HTTPRoundTrip | None]:
    """One URL on the way: the page, and its HTTP step where it came as far."""
    if found.failure:
        return HelperPage(failure=found.failure), None
    async with means.gate:
        below = await _dial(means, trace, url, found)
        if isinstance(below, str):
            return HelperPage(failure=below), None
        try:
            stream: http.ByteStream = below
            if url.scheme == "https":
                means.use_the_rest(trace)
                secured = await tls.handshake(trace, below, url.host, authorities=means.authorities)
                if secured is None or tls_failure(trace):
                    return HelperPage(failure=tls_failure(trace)), None
                stream = secured
            return await _fetch(means, trace, url, _Exchange(stream, headers, means.clock), below, jar)
        finally:
            below.close()


async def _dial(means: Means, trace: Trace, url: URL, found: Lookup) -> tcp.Stream | str:
    """A connection to the first address that accepts one, or the failure of the last."""
    failure = "not_tried: bogon"
    addresses = means.dialable(found.addresses)[:_DIALLED]
    for tried, address in enumerate(addresses):
        means.use_the_rest(trace, parts=len(addresses) - tried)
        stream = await tcp.connect(trace, address, url.port)
        if stream is not None:
            return stream
        failure = trace.operations[-1].failure or failure
    return failure


async def _fetch(
    means: Means, trace: Trace, url: URL, exchange: "_Exchange", below: tcp.Stream, jar: dict[str, str]
) -> tuple[HelperPage, HTTPRoundTrip]:
    means.use_the_rest(trace)
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    step = await http.fetch(
        trace, exchange, url, address=below.address, port=below.port, cookie=cookie,
        received=lambda: below.received,
    )  # fmt: skip
    trace.bodies.clear()  # only its digest and length are answered
    page = HelperPage(
        failure=step.failure, status=step.status, title=step.title, headers=step.headers,
        body_length=step.body_length, body_sha256=step.body_sha256, cut=step.cut,
        ttfb=exchange.ttfb, body_seconds=exchange.since_first_byte(),
    )  # fmt: skip
    return page, step


def _remember(jar: dict[str, str], step: HTTPRoundTrip) -> None:
    """Keep the cookies of a redirect; many sites send everyone in circles who does not."""
    for name, value in step.headers:
        if name.lower() == "set-cookie" and len(jar) < _MAX_COOKIES:
            try:
                jar.update({key: morsel.value for key, morsel in SimpleCookie(value[:4096]).items()})
            except CookieError:
                continue


class _Exchange:
    """A byte stream that says the client's headers in place of ours, and notes when the answer began."""

    def __init__(self, stream: http.ByteStream, headers: dict[str, str], clock: Clock) -> None:
        self._stream, self._headers, self._clock = stream, headers, clock
        self._sent = self._first = 0.0
        self.ttfb: float | None = None

    async def read(self, limit: int = tcp.CHUNK) -> bytes:
        data = await self._stream.read(limit)
        if data and self.ttfb is None:
            self._first = self._clock.monotonic()
            self.ttfb = round(self._first - self._sent, 6)
        return data

    async def write(self, data: bytes) -> None:
        lines = [self._in_their_words(line) for line in data.split(b"\r\n")]
        self._sent = self._clock.monotonic()
        await self._stream.write(b"\r\n".join(lines))

    def since_first_byte(self) -> float | None:
        """Seconds from the first byte of the answer until now; None where none came."""
        return None if self.ttfb is None else round(self._clock.monotonic() - self._first, 6)

    def _in_their_words(self, line: bytes) -> bytes:
        name, colon, _value = line.partition(b":")
        theirs = self._headers.get(name.decode("latin-1").lower()) if colon else None
        return line if theirs is None else name + b": " + theirs.encode("ascii")


def tls_failure(trace: Trace) -> str | None:
    """What was wrong with the handshake that has just ended, or with its certificate."""
    step = trace.operations[-1]
    assert isinstance(step, TLSHandshake)
    return step.failure or step.certificate_failure

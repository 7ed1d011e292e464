"""Bytes per second under the name and under another: the same transfer on the same path, twice, in swapped order.

Neutral: our helper's listeners give as many bytes as are asked for, under every name. Own: the target's page from the
site's own address, once with its server name and once with another, the same Host in both.
"""

from functools import partial

import msgspec

from probes import http, tcp, tls
from probes.experiment import Attempt, Experiment
from probes.failure import TIMEOUT
from probes.http import HTTPRoundTrip
from probes.trace import Trace
from probes.url import URL, parse_url

from .pairs import LEFT_OUT_LISTENERS, LEFT_OUT_TIME, Once, attempt
from .setting import Endpoint, Setting

SIZE = 256 * 1024  # bytes of a transfer; throttles let 100 to 400 KB pass before they show (IMC 2021)
SECONDS = 10.0  # a transfer that still goes on then has shown its rate
LEAST = 64 * 1024  # bytes of a shorter transfer, below which slow start and not the line decides
_EARLY = 0.05  # seconds by which a deadline may come before its time
ORDER = (False, True, True, False)  # innocuous or not: what changes with time hits both alike
LEFT_OUT_RATE = "a transfer ended too early to show a rate"
_TAKEN = 8  # listeners looked at for one at the same address


async def throughput(
    trace: Trace, setting: Setting, *, url: URL | None = None, size: int = SIZE, seconds: float = SECONDS
) -> Experiment:
    """Four transfers, one after another; `url` is the target's page at its own address, None asks a listener.

    A site that refuses the other name (an alert, 421, 403) or speaks plain HTTP gives no comparison: then only its
    own name is tried.
    """
    started, tries, left_out = trace.now(), list[Attempt](), ""
    once = partial(_fetch, setting, url, size, seconds)
    for innocuous in ORDER:
        if innocuous and url is not None and not _comparable(url, tries, seconds):
            continue
        if trace.now() > setting.until:
            left_out = LEFT_OUT_TIME
            break
        endpoint = await _at(setting, tries[0].address if tries else "")
        if endpoint is None:
            left_out = LEFT_OUT_LISTENERS
            break
        tries.append(await _one(trace, setting, once, endpoint, innocuous, size))
        if rate_of(tries[-1], seconds=seconds) is None and not (innocuous and url is not None):
            left_out = LEFT_OUT_RATE
            break
    return Experiment(
        kind="throughput", place=setting.place, started=started, finished=trace.now(), tries=tuple(tries),
        left_out=left_out,
    )  # fmt: skip


def rate_of(attempt: Attempt, *, seconds: float = SECONDS) -> float | None:
    """Bytes of body per second from the answer's first byte on; None where the transfer is too short to tell."""
    page = _page(attempt)
    if page is None or (page.body_length < LEAST and not _lasted(page, seconds)):
        return None
    since = page.started if page.first_byte is None else page.first_byte
    return page.body_length / max(page.finished - since, 1e-3)


def is_long(attempt: Attempt) -> bool:
    """The transfer was 256 KiB, or went on for 10 s."""
    page = _page(attempt)
    return page is not None and (page.body_length >= SIZE or _lasted(page, SECONDS))


def _page(attempt: Attempt) -> HTTPRoundTrip | None:
    """The page, as far as it came; None where none came or it was broken off."""
    page = attempt.operations[-1] if attempt.operations else None
    good = isinstance(page, HTTPRoundTrip) and page.status == 200 and page.failure in (None, TIMEOUT)
    return page if good and isinstance(page, HTTPRoundTrip) else None


def _lasted(page: HTTPRoundTrip, seconds: float) -> bool:
    return page.finished - page.started >= seconds - _EARLY


def _comparable(url: URL, tries: list[Attempt], seconds: float) -> bool:
    """There is a server name to exchange, and the site did not refuse another one."""
    return url.scheme == "https" and all(rate_of(t, seconds=seconds) is not None for t in tries if t.innocuous)


async def _at(setting: Setting, address: str) -> Endpoint | None:
    """A free endpoint, at that address where one is given: only there is the path the same."""
    others: list[Endpoint] = []
    try:
        while len(others) < _TAKEN:
            endpoint = setting.take()
            if endpoint is None or endpoint[0] == (address or endpoint[0]):
                return endpoint
            others.append(endpoint)
        return None
    finally:
        for other in others:
            await setting.done(other, False)


async def _one(
    trace: Trace, setting: Setting, once: Once, endpoint: Endpoint, innocuous: bool, size: int
) -> Attempt:  # fmt: skip
    slow = not innocuous  # until it is known: whoever is cancelled here has sent the name
    try:
        made = await attempt(trace, setting, once, endpoint, innocuous=innocuous)
        page = _page(made)
        slow = not innocuous and (page is None or page.body_length < size)
    finally:
        await setting.done(endpoint, slow)
    return made


async def _fetch(
    setting: Setting, url: URL | None, size: int, seconds: float,
    branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool,
) -> str | None:  # fmt: skip
    """One transfer on a connection of its own; how it ended."""
    branch.limits = msgspec.structs.replace(branch.limits, body_bytes=size, timeout=seconds)
    branch.bodies = {}  # bytes that are only counted
    stream = await tcp.connect(branch, *endpoint)
    if stream is None:
        return branch.operations[-1].failure
    asked = url or parse_url(f"https://{sent}/bytes/{size}")
    try:
        channel: http.ByteStream | None = stream
        if asked.scheme == "https":
            channel = await tls.handshake(branch, stream, sent, authorities=setting.authorities)
        if channel is None:
            return branch.operations[-1].failure
        page = await http.fetch(
            branch, channel, asked, address=endpoint[0], port=endpoint[1], flow=stream.flow,
            received=lambda: stream.received,
        )  # fmt: skip
    finally:
        stream.close()
    return page.failure

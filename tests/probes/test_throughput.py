"""`probes.followup.throughput`: four transfers in order, the rate of each, and what is no rate."""

import asyncio
import ssl
from collections.abc import Callable

import msgspec
import pytest

from monitor.judge.throttling import throttled, throttled_by_name
from probes.certificate import Authorities
from probes.experiment import Attempt, Experiment
from probes.followup.pairs import LEFT_OUT_LISTENERS, LEFT_OUT_TIME
from probes.followup.setting import Endpoint, Setting
from probes.followup.throughput import LEAST, LEFT_OUT_RATE, SIZE, is_long, rate_of, throughput
from probes.http import HTTPRoundTrip
from probes.url import parse_url
from tests.judge import build
from tests.pki import TestAuthority

from .loopback import OTHER, SITE, Place, head, place

NAME, INNOCUOUS = "bad.example", "good.example"
OWN = parse_url(f"https://{NAME}/page")
LITTLE = 96 * 1024  # bytes, that tests be quick


class Means:
    """Endpoints to take, and what was given back."""

    def __init__(self, authorities: Authorities, places: list[Endpoint], *, until: float = 60.0) -> None:
        self.given: list[tuple[Endpoint, bool]] = []
        self.setting = Setting(
            place="neutral", take=lambda: places.pop(0) if places else None, done=self._done, sent=NAME,
            innocuous=INNOCUOUS, until=until, authorities=authorities,
        )  # fmt: skip

    async def _done(self, endpoint: Endpoint, failed: bool) -> None:
        self.given.append((endpoint, failed))


def slow_for(*names: str, chunk: int = 4096, pause: float = 0.1) -> Callable[[str], tuple[int, float]]:
    """Bytes of a chunk and seconds between two, by server name."""
    return lambda name: (chunk, pause) if name in names else (65536, 0.0)


class Server:
    """Serves `/bytes/N`, or N bytes of a page, at a speed of its own for each server name."""

    def __init__(self, pki: TestAuthority, speed: Callable[[str], tuple[int, float]], *, page: int = 4 * SIZE) -> None:
        self.asked: list[tuple[str, str, str]] = []  # server name, Host, path
        self.refused = ""  # a server name, in the handshake where there is no status for it
        self.refusal = ""
        self.context = pki.server_context(pki.issue(NAME))
        self.context.sni_callback = self._note
        self._speed, self._page = speed, page
        self._names: dict[int, str] = {}

    def _note(self, tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        if name == self.refused and not self.refusal:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        self._names[id(tls)] = name or ""
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = self._names[id(writer.get_extra_info("ssl_object"))]
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = lines[0].split()[1]
        self.asked.append((name, next(line[6:] for line in lines if line.startswith("Host: ")), path))
        if name == self.refused:
            writer.write(head("Content-Length: 0", status=self.refusal))
            return
        left = int(path.rpartition("/")[2]) if path.startswith("/bytes/") else self._page
        chunk, pause = self._speed(name)
        writer.write(head(f"Content-Length: {left}"))
        while left > 0:
            writer.write(b"x" * min(chunk, left))
            await writer.drain()
            left -= chunk
            await asyncio.sleep(pause)

    async def listen(self, here: Place, *endpoints: Endpoint) -> None:
        for endpoint in endpoints:
            await here.listen(self.serve, endpoint, ssl=self.context)


LISTENERS = [(SITE, port) for port in range(20000, 20008)]


def fetched(server: Server, means: Means, **options: object) -> Experiment:
    """The experiment with one server behind all listeners, and behind the site's own address."""

    async def run() -> Experiment:
        async with place() as here:
            await server.listen(here, *LISTENERS, (SITE, 443))
            with here.trace() as trace:
                found = await throughput(trace, means.setting, **options)  # type: ignore[arg-type]
                assert not trace.bodies
                assert not trace.operations
            return found

    return asyncio.run(run())


def rates(found: Experiment, *, innocuous: bool, seconds: float = 10.0) -> list[float]:
    return [rate_of(t, seconds=seconds) or 0.0 for t in found.tries if t.innocuous == innocuous]


def test_256_kib_four_times_in_swapped_order_at_fresh_listeners(pki: TestAuthority, authorities: Authorities) -> None:
    server, means = Server(pki, slow_for(NAME, chunk=16 * 1024, pause=0.03)), Means(authorities, list(LISTENERS))
    found = fetched(server, means)
    assert [t.innocuous for t in found.tries] == [False, True, True, False]
    assert [t.port for t in found.tries] == [20000, 20001, 20002, 20003]
    assert [name for name, _host, _path in server.asked] == [NAME, INNOCUOUS, INNOCUOUS, NAME]
    assert server.asked[0] == (NAME, NAME, f"/bytes/{SIZE}")
    assert all(t.failure is None and is_long(t) for t in found.tries)
    assert (found.place, found.left_out) == ("neutral", "")
    slow, fast = rates(found, innocuous=False), rates(found, innocuous=True)
    assert max(slow) * 5 < min(fast)
    assert max(slow) == pytest.approx(SIZE / 0.48, rel=0.5)
    assert [failed for _endpoint, failed in means.given] == [False] * 4  # all of it came
    case = build.case(msgspec.structs.replace(build.measure(), experiments=(found,)))
    assert [f.technique for f in throttled_by_name(case)] == ["throttle.sni"]


def test_a_body_that_still_comes_at_the_deadline_has_a_rate(pki: TestAuthority, authorities: Authorities) -> None:
    server, means = Server(pki, slow_for(NAME)), Means(authorities, list(LISTENERS))
    found = fetched(server, means, size=LITTLE, seconds=0.6)
    page = found.tries[0].operations[-1]
    assert isinstance(page, HTTPRoundTrip)
    assert (page.failure, page.cut, found.left_out) == (None, "deadline", "")
    assert rates(found, innocuous=False, seconds=0.6)[0] == pytest.approx(40960, rel=0.5)
    assert rate_of(found.tries[0]) is None  # in 10 s there would have been more
    assert [failed for _endpoint, failed in means.given] == [True, False, False, True]  # the slow ones rest


def test_a_line_that_is_slow_for_all_names_shows_the_same_rates(pki: TestAuthority, authorities: Authorities) -> None:
    server = Server(pki, slow_for(NAME, INNOCUOUS, chunk=16 * 1024, pause=0.03))
    found = fetched(server, Means(authorities, list(LISTENERS)))
    assert min(rates(found, innocuous=True)) < 2 * min(rates(found, innocuous=False))
    case = build.case(msgspec.structs.replace(build.measure(), experiments=(found,)))
    assert not throttled_by_name(case)
    assert not throttled(case)


def test_all_four_go_to_one_address(pki: TestAuthority, authorities: Authorities) -> None:
    mixed = [LISTENERS[0], (OTHER, 443), LISTENERS[1], (OTHER, 444), LISTENERS[2], LISTENERS[3]]
    means = Means(authorities, mixed)
    found = fetched(Server(pki, slow_for()), means, size=LITTLE)
    assert {t.address for t in found.tries} == {SITE}
    assert len(found.tries) == 4
    assert means.given.count(((OTHER, 443), False)) == means.given.count(((OTHER, 444), False)) == 1


def test_without_a_listener_at_that_address_the_rest_is_left_out(pki: TestAuthority, authorities: Authorities) -> None:
    means = Means(authorities, [LISTENERS[0], (OTHER, 443)])
    found = fetched(Server(pki, slow_for()), means, size=LITTLE)
    assert (len(found.tries), found.left_out) == (1, LEFT_OUT_LISTENERS)
    assert [e for e, _failed in means.given] == [LISTENERS[0], (OTHER, 443)]


def test_without_time_nothing_is_sent(authorities: Authorities, pki: TestAuthority) -> None:
    means = Means(authorities, list(LISTENERS), until=-1.0)
    found = fetched(Server(pki, slow_for()), means)
    assert (found.tries, found.left_out, means.given) == ((), LEFT_OUT_TIME, [])


def test_a_listener_that_cannot_be_reached_ends_it_and_rests(authorities: Authorities, pki: TestAuthority) -> None:
    means = Means(authorities, [(OTHER, 443)] * 4)
    found = fetched(Server(pki, slow_for()), means)
    assert ([t.failure for t in found.tries], found.left_out) == (["connection_refused"], LEFT_OUT_RATE)
    assert means.given == [((OTHER, 443), True)]


# The site's own address.


def own(authorities: Authorities) -> Means:
    means = Means(authorities, [(SITE, 443)] * 4)
    means.setting = msgspec.structs.replace(means.setting, place="own")
    return means


def test_the_sites_page_under_both_names_with_one_host(pki: TestAuthority, authorities: Authorities) -> None:
    server = Server(pki, slow_for(NAME, chunk=8192, pause=0.03))
    found = fetched(server, own(authorities), url=OWN, size=LITTLE)
    assert server.asked == [(name, NAME, "/page") for name in (NAME, INNOCUOUS, INNOCUOUS, NAME)]
    assert found.place == "own"
    assert max(rates(found, innocuous=False)) * 5 < min(rates(found, innocuous=True))


@pytest.mark.parametrize("status", ["", "421 Misdirected Request", "403 Forbidden"])
def test_a_server_that_refuses_the_other_name_gives_no_comparison(
    pki: TestAuthority, authorities: Authorities, status: str
) -> None:
    server = Server(pki, slow_for())
    server.refused, server.refusal = INNOCUOUS, status
    found = fetched(server, own(authorities), url=OWN, size=LITTLE)
    assert [(t.innocuous, t.failure is None) for t in found.tries] == [
        (False, True),
        (True, bool(status)),
        (False, True),
    ]
    assert rates(found, innocuous=True) == [0.0]
    assert found.left_out == ""


def test_a_short_page_ends_it(pki: TestAuthority, authorities: Authorities) -> None:
    found = fetched(Server(pki, slow_for(), page=LEAST - 1), own(authorities), url=OWN)
    assert (len(found.tries), found.left_out) == (1, LEFT_OUT_RATE)


def test_over_plain_http_there_is_no_server_name_to_exchange(authorities: Authorities) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(f"Content-Length: {LITTLE}") + b"x" * LITTLE)
        await writer.drain()

    async def run() -> Experiment:
        async with place() as here:
            await here.listen(plain, (SITE, 80))
            means = Means(authorities, [(SITE, 80)] * 4)
            return await throughput(here.trace(), means.setting, url=parse_url(f"http://{NAME}/"), size=LITTLE)

    found = asyncio.run(run())
    assert [(t.innocuous, t.failure) for t in found.tries] == [(False, None)] * 2


# What a rate is.


def page(length: int, took: float, *, first: float | None = 0.5, **fields: object) -> Attempt:
    made = HTTPRoundTrip(
        started=1.0, finished=1.0 + took, first_byte=None if first is None else 1.0 + first, address=SITE, port=443,
        url="https://x/", body_length=length, **({"status": 200} | fields),  # type: ignore[arg-type]
    )  # fmt: skip
    return Attempt(sent=NAME, started=1.0, finished=1.0 + took, operations=(made,))


@pytest.mark.parametrize(
    "attempt, rate, long",
    [
        (page(SIZE, 2.5), SIZE / 2, True),  # from the first byte on: a server may think as long as it likes
        (page(LEAST, 1.5), LEAST / 1.0, False),
        (page(LEAST - 1, 1.5), None, False),
        (page(LEAST - 1, 9.9), None, False),
        (page(1000, 10.0), 1000 / 9.5, True),
        (page(1000, 10.0, failure="generic_timeout_error"), 1000 / 9.5, True),  # it stood still at the end
        (page(0, 10.0, first=None, failure="generic_timeout_error", status=0), None, False),  # nothing came at all
        (page(SIZE, 2.5, status=403), None, False),
        (page(SIZE // 2, 2.5, failure="connection_reset"), None, False),  # cut off is not slow
        (page(SIZE, 0.5), SIZE / 1e-3, True),
        (Attempt(sent=NAME, started=0, finished=1), None, False),
    ],
)
def test_the_rate_of_a_transfer(attempt: Attempt, rate: float | None, long: bool) -> None:
    assert rate_of(attempt) == (None if rate is None else pytest.approx(rate))
    assert is_long(attempt) is long

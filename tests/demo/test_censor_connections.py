"""What the censor does to TCP and TLS, seen through the probes."""

import asyncio
import time

import pytest

from monitor.demo.censor import Rule
from probes.clock import Clock
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from .scene import CALM, FORGED, NEWS, NEWS_2, scene

ABOUT = ("news.test",)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("tcp_refuse", "connection_refused"),
        ("tcp_blackhole", "generic_timeout_error"),
        ("tcp_unreachable", "network_unreachable"),
        ("tcp_reset", None),
    ],
)
def test_a_connect_to_an_address_is_stopped(kind: str, failure: str | None) -> None:
    async def run() -> None:
        rule = Rule(kind=kind, addresses=("151.101.64.0/24",), ports=(443,))  # type: ignore[arg-type]
        async with scene(rule, hasty=failure == "generic_timeout_error") as here:
            assert (await here.dial()).failure == failure
            if failure is None:
                assert (await here.shake()).failure == "connection_reset"
            assert (await here.dial(port=80)).failure is None
            assert (await here.shake(address=NEWS_2)).valid

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("tls_reset", "connection_reset"),
        ("tls_close", "eof_error"),
        ("tls_drop", "generic_timeout_error"),
    ],
)
def test_a_handshake_with_the_name_is_stopped(kind: str, failure: str) -> None:
    async def run() -> None:
        async with scene(Rule(kind=kind, names=ABOUT), hasty=failure == "generic_timeout_error") as here:  # type: ignore[arg-type]
            stopped = await here.shake()
            assert stopped.failure == failure
            assert stopped.received == 0
            assert (await here.shake("www.news.test", CALM)).failure == failure
            assert (await here.shake("www.calm.test", CALM)).valid
            innocuous = await here.shake("www.calm.test", NEWS)
            assert (innocuous.failure, innocuous.certificate_failure) == (None, "ssl_invalid_hostname")

    asyncio.run(run())


@pytest.mark.parametrize("authority", ["self_signed", "untrusted"])
def test_a_strange_certificate_in_the_sites_place(authority: str) -> None:
    async def run() -> None:
        rule = Rule(kind="mitm", names=ABOUT, authority=authority)  # type: ignore[arg-type]
        async with scene(rule) as here:
            seen = await here.shake()
            assert (seen.failure, seen.certificate_failure) == (None, "ssl_unknown_authority")
            assert (await here.fetch("https://www.news.test/")).title == "The News"
            here.censor.rules[:] = [Rule(kind="mitm", names=ABOUT, body=b"<title>No</title>", status=403)]
            page = await here.fetch("https://www.news.test/")
            assert (page.status, page.title) == (403, "No")
            assert (await here.shake("www.calm.test", CALM)).valid

    asyncio.run(run())


def test_a_forged_address_with_a_certificate_of_its_own() -> None:
    rules = (
        Rule(kind="dns_forge", names=ABOUT, forged=(FORGED,), query_types=("A",)),
        Rule(kind="mitm", addresses=(FORGED,), body=b"<title>No</title>"),
    )

    async def run() -> None:
        async with scene(*rules) as here:
            trace = await here.open("https://www.news.test/", "https://dns.example/dns-query?bootstrap=9.9.9.9")
            seen = {step.address: step for step in trace.operations if isinstance(step, TLSHandshake)}
            assert seen[FORGED].certificate_failure == "ssl_unknown_authority"
            assert seen[NEWS].valid

    asyncio.run(run())


def test_a_forged_address_of_nobodys_is_silent() -> None:
    async def run() -> None:
        rule = Rule(kind="dns_forge", names=ABOUT, forged=(FORGED,), query_types=("A",))
        async with scene(rule, hasty=True) as here:
            trace = await here.open("https://www.news.test/")
            first = next(step for step in trace.operations if isinstance(step, TCPConnect))
            assert (first.address, first.failure) == (FORGED, "generic_timeout_error")

    asyncio.run(run())


def test_a_flaky_filter_resets_some_and_the_same_ones_for_a_seed() -> None:
    async def tries(seed: int) -> list[str | None]:
        async with scene(Rule(kind="tls_reset", names=ABOUT, probability=0.75), seed=seed) as here:
            return [(await here.shake()).failure for _ in range(16)]

    first = asyncio.run(tries(1))
    assert 4 < first.count("connection_reset") < 16
    assert first == asyncio.run(tries(1)) != asyncio.run(tries(2))


class Later(Clock):
    """A clock that is turned by hand."""

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.mark.parametrize(
    ("kind", "failure"), [("tls_reset", "connection_reset"), ("tls_drop", "generic_timeout_error")]
)
def test_after_a_hit_the_address_and_port_stay_dead_for_a_while(kind: str, failure: str) -> None:
    async def run() -> None:
        rule = Rule(kind=kind, names=ABOUT, residual=180)  # type: ignore[arg-type]
        async with scene(rule, hasty=failure == "generic_timeout_error") as here:
            clock = Later()
            here.censor._clock = clock
            assert (await here.shake("www.calm.test")).failure is None
            assert (await here.shake()).failure == failure
            assert (await here.shake("www.calm.test")).failure == failure
            assert (await here.shake("www.calm.test", NEWS_2)).failure is None
            assert (await here.fetch()).status == 200
            clock.ahead = 181
            assert (await here.shake("www.calm.test")).failure is None

    asyncio.run(run())


def test_throttled_bytes_come_slowly() -> None:
    async def run() -> None:
        async with scene(Rule(kind="throttle", names=ABOUT, rate=20_000)) as here:
            here.world.change("www.news.test", body=b"x" * 6_000)
            slow = await here.fetch("https://www.news.test/")
            assert slow.body_length == 6_000
            assert slow.finished - slow.started > 0.25
            here.censor.rules.clear()
            fast = await here.fetch("https://www.news.test/")
            assert fast.finished - fast.started < slow.finished - slow.started

    asyncio.run(run())

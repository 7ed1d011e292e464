"""What the censor does to plain HTTP, seen through the probes."""

import asyncio

import pytest

from monitor.demo.censor import Rule

from .scene import CALM, FORGED, HASTY, NEWS, pages, scene

ABOUT = ("news.test",)
STOPS = [
    ("http_reset", "connection_reset"),
    ("http_close", "eof_error"),
    ("http_drop", "generic_timeout_error"),
]


@pytest.mark.parametrize(("kind", "failure"), STOPS)
def test_a_request_with_the_host_is_stopped(kind: str, failure: str) -> None:
    async def run() -> None:
        async with scene(Rule(kind=kind, names=ABOUT), hasty=failure == "generic_timeout_error") as here:  # type: ignore[arg-type]
            stopped = await here.fetch()
            assert (stopped.failure, stopped.status) == (failure, 0)
            assert (await here.fetch("http://www.calm.test/", NEWS)).status == 200
            assert (await here.fetch("https://www.news.test/")).status == 200

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/search?q=falun", "/%E5%85%AD%E5%9B%9B", "/%C1%F9%CB%C4", "/a/FALUN"])
def test_a_phrase_in_the_request_line_is_seen(path: str) -> None:
    async def run() -> None:
        async with scene(Rule(kind="http_reset", phrases=("falun", "六四"))) as here:
            assert (await here.fetch(f"http://www.news.test{path}")).failure == "connection_reset"
            assert (await here.fetch("http://www.news.test/search?q=flowers")).failure is None
            assert (await here.fetch(f"https://www.news.test{path}")).failure is None

    asyncio.run(run())


def test_a_block_page_in_the_sites_place_and_at_a_forged_address() -> None:
    shown = {"status": 403, "headers": (("Server", "Filter"),), "body": b"<title>Access denied</title>"}
    rule = Rule(kind="block_page", names=ABOUT, **shown)  # type: ignore[arg-type]

    async def run() -> None:
        async with scene(rule) as here:
            page = await here.fetch()
            assert (page.status, page.title, page.header("server")) == (403, "Access denied", "Filter")
            assert page.header("x-wallwatch-simulated") == "1"
            assert (await here.fetch("http://www.calm.test/", CALM)).status == 301
            here.censor.rules[:] = [
                Rule(kind="dns_forge", names=ABOUT, forged=(FORGED,), query_types=("A",)),
                Rule(kind="block_page", addresses=(FORGED,), **shown),  # type: ignore[arg-type]
            ]
            here.limits = HASTY
            first = pages(await here.open("http://www.news.test/"))[0]
            assert (first.address, first.title) == (FORGED, "Access denied")
            assert (await here.dial(FORGED, 443)).failure == "generic_timeout_error"

    asyncio.run(run())


def test_a_redirect_to_a_block_page() -> None:
    rules = (
        Rule(kind="redirect", names=ABOUT, location="http://203.0.113.34/?type=Invalid"),
        Rule(kind="block_page", addresses=("203.0.113.34",), body=b"<title>Blocked</title>"),
    )

    async def run() -> None:
        async with scene(*rules) as here:
            trace = await here.open("http://www.news.test/")
            seen = [(page.status, page.title) for page in pages(trace) if page.address in (NEWS, "203.0.113.34")]
            assert seen == [(302, ""), (200, "Blocked")]

    asyncio.run(run())


def test_the_first_rule_that_matches_acts() -> None:
    async def run() -> None:
        rules = (Rule(kind="http_close", names=ABOUT, ports=(8080,)), Rule(kind="http_reset", names=ABOUT))
        async with scene(*rules) as here:
            assert (await here.fetch()).failure == "connection_reset"
            here.censor.rules.insert(0, Rule(kind="http_close", names=ABOUT))
            assert (await here.fetch()).failure == "eof_error"

    asyncio.run(run())

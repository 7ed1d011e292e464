"""What goes wrong innocently, seen through the probes."""

import asyncio

import pytest

from monitor.demo.trouble import NONE, Trouble
from monitor.demo.world import Site
from probes.address import kind

from .scene import CALM, NEWS, NEWS_6, NOBODY, SITES, pages, scene

CHECK = Site("check.test", ("198.51.100.20",), status=204, http="serve")


@pytest.mark.parametrize(
    ("how", "failure"), [("unreachable", "network_unreachable"), ("silent", "generic_timeout_error")]
)
def test_offline(how: str, failure: str) -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(offline=how), hasty=how == "silent") as here:  # type: ignore[arg-type]
            asked, dialled = await asyncio.gather(here.ask("www.news.test"), here.dial())
            assert (asked.failure, dialled.failure) == (failure, failure)
            here.network.trouble = NONE
            assert (await here.dial()).failure is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("how", "failure"), [("unreachable", "network_unreachable"), ("silent", "generic_timeout_error")]
)
def test_broken_ipv6(how: str, failure: str) -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(ipv6=how), hasty=how == "silent") as here:  # type: ignore[arg-type]
            assert (await here.dial(NEWS_6)).failure == failure
            assert (await here.dial(NEWS)).failure is None
            here.network.trouble = NONE
            assert (await here.shake(address=NEWS_6)).valid

    asyncio.run(run())


def test_loss_swallows_some_queries_and_connects() -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(loss=0.5), hasty=True) as here:
            dialled = await asyncio.gather(*(here.dial() for _ in range(20)))
            asked = await asyncio.gather(*(here.ask("www.news.test") for _ in range(20)))
            for found in (dialled, asked):
                lost = [step.failure for step in found].count("generic_timeout_error")
                assert 3 < lost < 17

    asyncio.run(run())


@pytest.mark.parametrize("how", ["page", "redirect"])
def test_a_captive_portal(how: str) -> None:
    async def run() -> None:
        trouble = Trouble(captive_portal=how)  # type: ignore[arg-type]
        async with scene(sites=[*SITES, CHECK], trouble=trouble) as here:
            assert (await here.ask("www.news.test")).addresses()[0] == NEWS
            seen = pages(await here.open("http://check.test/generate_204"))[-1]
            # A redirect into a private network is seen and not followed.
            expected = {"page": (200, "Guest Wi-Fi - sign in"), "redirect": (302, "")}
            assert (seen.status, seen.title) == expected[how]
            shown = await here.shake()
            assert (shown.failure, shown.certificate_failure) == (None, "ssl_unknown_authority")
            here.network.trouble = NONE
            empty = await here.fetch("http://check.test/generate_204", "198.51.100.20")
            assert (empty.status, empty.body_length) == (204, 0)

    asyncio.run(run())


def test_a_transparent_proxy_passes_pages_unchanged() -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(transparent_proxy=True)) as here:
            proxied = await here.fetch()
            assert proxied.header("via")
            assert (await here.fetch("http://www.news.test/", NOBODY)).body_sha256 == proxied.body_sha256
            assert (await here.shake()).valid
            here.network.trouble = NONE
            plain = await here.fetch()
            assert (plain.body_sha256, plain.header("via")) == (proxied.body_sha256, "")

    asyncio.run(run())


def test_intercepted_dns_is_right_wherever_it_is_sent() -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(intercepted_dns=True)) as here:
            for name in ("www.news.test", "www.calm.test"):
                found = await here.ask(name, server=NOBODY)
                assert found.addresses() == (await here.ask(name)).addresses()

    asyncio.run(run())


def test_local_fake_addresses_lead_to_the_site() -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(fake_addresses=True)) as here:
            (fake,) = (await here.ask("www.calm.test")).addresses()
            assert kind(fake) == "fake"
            assert (await here.ask("www.news.test")).addresses() != (fake,)
            assert (await here.shake("www.calm.test", fake)).valid
            assert (await here.ask("unheard-of.test")).failure == "dns_nxdomain_error"

    asyncio.run(run())


def test_nat64_and_dns64() -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(nat64="64:ff9b::/96")) as here:
            own = here.network.nameservers()[0][0]
            assert (await here.ask("ipv4only.arpa", "AAAA", own)).addresses()[0] == "64:ff9b::c000:aa"
            (made,) = (await here.ask("www.calm.test", "AAAA", own)).addresses()
            assert kind(made) == "nat64"
            assert (await here.shake("www.calm.test", made)).valid
            assert (await here.ask("www.calm.test", "AAAA")).failure == "dns_no_answer"

    asyncio.run(run())


def test_latency_slows_every_step() -> None:
    async def run() -> None:
        async with scene(trouble=Trouble(latency=0.1)) as here:
            for step in (await here.ask("www.calm.test"), await here.dial(CALM), await here.shake()):
                assert step.failure is None
                assert step.finished - step.started > 0.09

    asyncio.run(run())

"""Sites that are fine, and sites that fail by themselves, seen through the probes."""

import asyncio

import pytest

from monitor.demo.censor import Censor, Rule
from monitor.demo.network import SimulatedNetwork
from monitor.demo.sites import real_names_world
from monitor.demo.world import Site
from probes.address import kind
from probes.dns import DNSLookup
from probes.tls import TLSHandshake

from .scene import NEWS, NEWS_2, SITES, Scene, authorities_of, pages, scene

AT = "198.51.100.7"
DOH = "https://dns.example/dns-query?bootstrap=9.9.9.9"
DOT = Site("dot.example", ("9.9.9.10",), dot=True, http="closed")


def test_a_page_opens_from_dns_to_http() -> None:
    async def run() -> None:
        async with scene() as here:
            trace = await here.open("http://www.calm.test/", DOH)
            assert [(p.status, p.title) for p in pages(trace)] == [(301, ""), (200, "Calm")]
            assert all(s.valid for s in trace.operations if isinstance(s, TLSHandshake))
            sealed = [s for s in trace.operations if isinstance(s, DNSLookup) and s.engine == "doh"]
            assert {s.query_type: s.failure for s in sealed} == {"A": None, "AAAA": "dns_no_answer"}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "failures"),
    [
        ("tls://dot.example?bootstrap=9.9.9.10", {"A": None, "AAAA": "dns_no_answer"}),
        ("tls://dot.example", {"A": None, "AAAA": "dns_no_answer"}),
        ("tls://dns.example", dict.fromkeys(("A", "AAAA"), "connection_refused")),  # it speaks HTTPS only
        ("tls://9.9.9.10", dict.fromkeys(("A", "AAAA"), "ssl_invalid_hostname")),
    ],
)
def test_a_resolver_over_tls(text: str, failures: dict[str, str | None]) -> None:
    async def run() -> None:
        async with scene(sites=[*SITES, DOT]) as here:
            trace = await here.open("http://www.calm.test/", text)
            sealed = [s for s in trace.operations if isinstance(s, DNSLookup) and s.engine == "dot"]
            assert {s.query_type: s.failure for s in sealed} == failures

    asyncio.run(run())


@pytest.mark.parametrize(
    ("certificate", "failure"),
    [
        ("valid", None),
        ("expired", "ssl_invalid_certificate"),
        ("wrong_name", "ssl_invalid_hostname"),
        ("self_signed", "ssl_unknown_authority"),
    ],
)
def test_certificates(certificate: str, failure: str | None) -> None:
    async def run() -> None:
        site = Site("a.test", (AT,), certificate=certificate)  # type: ignore[arg-type]
        async with scene(sites=[site]) as here:
            assert (await here.shake("a.test", AT)).certificate_failure == failure
            here.world.change("a.test", certificate="none")
            assert (await here.dial(AT)).failure == "connection_refused"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "connect", "page"),
    [
        ("down", "connection_refused", None),
        ("silent", "generic_timeout_error", None),
        ("reset", None, "connection_reset"),
        ("close", None, "eof_error"),
        ("stall", None, "generic_timeout_error"),
    ],
)
def test_a_site_fails_by_itself(behaviour: str, connect: str | None, page: str | None) -> None:
    async def run() -> None:
        site = Site("a.test", (AT,), http="serve", behaviour=behaviour)  # type: ignore[arg-type]
        async with scene(sites=[site], hasty="generic_timeout_error" in (connect, page)) as here:
            assert (await here.dial(AT, 80)).failure == connect
            if page and behaviour != "stall":
                assert (await here.fetch("http://a.test/", AT)).failure == page
                assert (await here.shake("a.test", AT)).failure == page
            if behaviour == "stall":
                half = await here.fetch("http://a.test/", AT)
                assert (half.failure, half.body_length > 0) == (page, True)

    asyncio.run(run())


def test_names_that_fail_by_themselves() -> None:
    sites = (Site("dead.test", (AT,), behaviour="dns_dead"), Site("fault.test", (AT,), behaviour="servfail"))

    async def run() -> None:
        async with scene(sites=sites) as here:
            assert (await here.ask("dead.test")).failure == "dns_nxdomain_error"
            assert (await here.ask("unheard-of.test")).failure == "dns_nxdomain_error"
            assert (await here.ask("fault.test")).failure == "dns_servfail_error"
            assert (await here.ask("fault.test", cd=True)).addresses() == (AT,)
            assert (await here.getaddrinfo("dead.test")).failure == "dns_nxdomain_error"
            assert (await here.getaddrinfo("fault.test")).failure == "dns_temporary_failure"
            assert (await here.ask("ipv4only.arpa")).addresses() == ("192.0.0.170", "192.0.0.171")
            assert (await here.ask("ipv4only.arpa", "AAAA")).failure == "dns_no_answer"

    asyncio.run(run())


def test_a_redirect_loop_and_a_slow_page() -> None:
    sites = (
        Site("loop.test", (AT,), behaviour="loop"),
        Site("slow.test", ("198.51.100.8",), behaviour="slow", seconds=0.2),
    )

    async def run() -> None:
        async with scene(sites=sites) as here:
            assert pages(await here.open("https://loop.test/"))[-1].failure == "http_too_many_redirects"
            page = await here.fetch("https://slow.test/", "198.51.100.8")
            assert page.status == 200
            assert page.finished - page.started > 0.19

    asyncio.run(run())


def test_one_address_serves_many_names_of_which_one_is_reset() -> None:
    sites = (Site("one.test", (AT,), title="One"), Site("two.test", (AT,), title="Two"))

    async def run() -> None:
        async with scene(Rule(kind="tls_reset", names=("two.test",)), sites=sites) as here:
            assert (await here.fetch("https://one.test/", AT)).title == "One"
            assert (await here.shake("two.test", AT)).failure == "connection_reset"
            here.censor.rules.clear()
            assert (await here.shake("two.test", AT)).valid
            assert (await here.fetch("https://two.test/", AT)).title == "Two"

    asyncio.run(run())


def test_a_site_may_be_another_toward_one_client() -> None:
    geo = {"addresses": ("198.51.100.9",), "status": 451, "title": "Not in your country"}
    site = Site("a.test", (AT,), title="Open", per_client={"abroad": geo})

    async def run() -> None:
        async with scene(sites=[site]) as here:
            abroad = Scene(here.world, SimulatedNetwork(here.world, "abroad"), here.authorities)
            assert (await here.ask("a.test")).addresses() == (AT,)
            assert (await abroad.ask("a.test")).addresses() == ("198.51.100.9",)
            for address in (AT, "198.51.100.9"):  # both are the site's, for everybody
                assert (await here.fetch("https://a.test/", address)).status == 200
                assert (await abroad.fetch("https://a.test/", address)).status == 451
                assert (await here.shake("a.test", address)).valid

    asyncio.run(run())


def test_a_misspelt_field_is_refused() -> None:
    async def run() -> None:
        async with scene() as here:
            with pytest.raises(TypeError):
                here.world.add(Site("a.test", per_client={"home": {"adresses": ()}}))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("how", "failure"), [("default", None), ("alert", "ssl_invalid_hostname"), ("reset", "connection_reset")]
)
def test_an_unknown_name_at_a_server(how: str, failure: str | None) -> None:
    async def run() -> None:
        async with scene(sites=[Site("a.test", (AT,), unknown_name=how)]) as here:  # type: ignore[arg-type]
            seen = await here.shake("b.test", AT)
            assert seen.failure == failure
            assert (how == "alert") == bool(seen.received and seen.failure)
            assert (await here.shake("a.test", AT)).valid

    asyncio.run(run())


def test_records_of_other_kinds_and_names() -> None:
    site = Site("a.test", (AT,), ("b.test",), cname="edge.cdn.test", https_record='1 . alpn="h2"', wildcard=True)

    async def run() -> None:
        async with scene(sites=[site]) as here:
            kinds = [record.type for record in (await here.ask("a.test")).responses[0].records]
            assert kinds == ["CNAME", "A"]
            assert (await here.ask("a.test", "HTTPS")).failure is None
            assert (await here.ask("any.a.test")).addresses() == (AT,)
            assert (await here.shake("any.a.test", AT)).valid
            assert (await here.shake("b.test", AT)).valid

    asyncio.run(run())


def test_the_demos_world_is_whole() -> None:
    async def run() -> None:
        async with real_names_world() as world:
            addresses = {address for site in world.sites for address in site.everywhere()}
            assert {kind(address) for address in addresses} == {"global"}
            here = Scene(world, SimulatedNetwork(world, "home", Censor()), authorities_of(world))
            for url in ("https://www.bbc.com/zhongwen/simp", "https://twitter.com/", "https://www.nytimes.com/"):
                page = pages(await here.open(url))[-1]
                assert (page.status, page.failure) == (200, None)
                assert page.body_length > 3000
            assert (await here.ask("www.uighurbiz.net")).failure == "dns_nxdomain_error"
            assert (await here.fetch("http://connectivitycheck.example/", "146.75.30.10")).status == 204

    asyncio.run(run())


def test_addresses_keep_their_order() -> None:
    async def run() -> None:
        async with scene() as here:
            for _ in range(5):
                assert (await here.getaddrinfo("www.news.test")).addresses()[:2] == (NEWS, NEWS_2)

    asyncio.run(run())

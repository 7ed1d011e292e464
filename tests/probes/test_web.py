"""A page as a user opens it: which addresses are dialled, where redirects lead, and what is left alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from probes import web
from probes.certificate import Authorities
from probes.http import HTTPRoundTrip
from probes.resolvers import parse_resolvers
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.trace import Limits, Operation, Trace
from probes.url import parse_url
from probes.web import Plan, choose, open_page
from tests.pki import TestAuthority

from .loopback import OTHER, SITE, SIX, THIRD, Place, Serve, closes, page, place, zone

HOST, SECURE = "http://good.example/", "https://good.example/"
LIMITS = Limits(timeout=5, dns_timeout=2, listen=0.02)


class Site:
    """Answers each path with what it is told; `heads` are the requests that it saw."""

    def __init__(self, answers: dict[str, bytes | Callable[[str], bytes]] | None = None) -> None:
        self.heads: list[str] = []
        self._answers = answers or {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(top)
        answer = self._answers.get(top.split()[1], page(b"<title>here</title>"))
        writer.write(answer if isinstance(answer, bytes) else answer(top))


def moved(location: str, *headers: str) -> bytes:
    return page(b"", f"Location: {location}", *headers, status="302 Found")


T = TypeVar("T", bound=Operation)


def of(trace: Trace, kind: type[T]) -> list[T]:
    return [op for op in trace.operations if isinstance(op, kind)]


class Web:
    """A place with a zone, and pages opened in it."""

    def __init__(self, here: Place, pki: TestAuthority, authorities: Authorities) -> None:
        self.here, self.pki, self.authorities = here, pki, authorities
        here.limits = LIMITS

    async def secure(self, serve: Serve, *names: str, at: str = SITE, make: str = "issue") -> None:
        context = self.pki.server_context(getattr(self.pki, make)(*(names or ("good.example",))))
        await self.here.listen(serve, (at, 443), ssl=context)

    async def open(self, url: str, *resolvers: str, trace: Trace | None = None, **options: Any) -> Trace:
        trace = trace or self.here.trace()
        plan = Plan(resolvers=parse_resolvers(resolvers or ["system"]), authorities=self.authorities, **options)
        await open_page(trace, parse_url(url), plan)
        await trace.settle()
        return trace

    @property
    def dialled(self) -> list[tuple[str, int]]:
        return [(address, port) for address, port in self.here.network.dialled]


@asynccontextmanager
async def world(pki: TestAuthority, authorities: Authorities, **names: list[str]) -> AsyncIterator[Web]:
    async with place() as here:
        await here.resolve(zone(**(names or {"good_example": [SITE]})))
        yield Web(here, pki, authorities)


def test_every_step_of_a_page_is_recorded(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            site = Site()
            await net.secure(site)
            trace = await net.open(SECURE, expect="here")
            (connect,), (shake,), (got,) = of(trace, TCPConnect), of(trace, TLSHandshake), of(trace, HTTPRoundTrip)
            assert connect.flow == shake.flow == got.flow
            assert (shake.valid, got.failure, got.title, got.expected) == (True, None, "here", True)
            assert len(trace.operations) == 7  # A, AAAA, HTTPS, getaddrinfo, and the three
            assert site.heads[0].startswith("GET / HTTP/1.1\r\nHost: good.example\r\n")

    asyncio.run(run())


def test_a_page_of_plain_http_is_vouched_for_by_port_443(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            await net.here.listen(Site())
            refused = await net.open(HOST)
            assert [op.port for op in of(refused, TCPConnect) if op.failure] == [443]
            assert of(refused, HTTPRoundTrip)[0].failure is None
            await net.secure(closes)
            assert [op.valid for op in of(await net.open(HOST), TLSHandshake)] == [True]
            assert of(await net.open("http://good.example:8080/"), TLSHandshake) == []

    asyncio.run(run())


def test_redirects_start_from_dns_again_and_carry_cookies_and_referer(
    pki: TestAuthority, authorities: Authorities
) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[SITE], other_example=[OTHER]) as net:
            cookies = (
                "Set-Cookie: a=b; Path=/",
                "Set-Cookie: bad@name=x",
                'Set-Cookie: q="x\\012y"',
                'Set-Cookie: e="\xe9"',
            )
            first = Site({"/": moved("//other.example/next?x#y", *cookies).replace("\xe9".encode(), b"\xe9")})
            second = Site({"/next?x": moved("http://good.example/end")})
            await net.here.listen(first)
            await net.here.listen(second, (OTHER, 80))
            trace = await net.open(HOST)
            pages = of(trace, HTTPRoundTrip)
            assert [(p.hop, p.status, p.address) for p in pages] == [(0, 302, SITE), (1, 302, OTHER), (2, 200, SITE)]
            assert {op.hop for op in trace.operations} == {0, 1, 2}
            assert "Cookie" not in second.heads[0]
            assert "\r\nReferer: http://good.example/\r\n" in second.heads[0]
            assert '\r\nCookie: a=b; q="x\\012y"; e="\xe9"\r\n' in first.heads[1]
            assert "\r\nReferer: http://other.example/next?x\r\n" in first.heads[1]

    asyncio.run(run())


def test_a_cookie_that_is_asked_for_breaks_the_circle(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            site = Site(
                {"/": lambda top: page(b"<title>in</title>") if "Cookie: k=1" in top else moved("/", "Set-Cookie: k=1")}
            )
            await net.here.listen(site)
            assert [p.status for p in of(await net.open(HOST), HTTPRoundTrip)] == [302, 200]

    asyncio.run(run())


def test_circles_and_endless_redirects_end(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            site = Site({"/circle": moved("/circle"), **{f"/{n}": moved(f"/{n + 1}") for n in range(9)}})
            await net.here.listen(site)
            circle = of(await net.open("http://good.example/circle"), HTTPRoundTrip)
            assert [(p.hop, p.failure) for p in circle] == [(0, None), (1, "http_too_many_redirects")]
            net.here.limits = Limits(redirects=3, listen=0.02)
            endless = of(await net.open("http://good.example/0"), HTTPRoundTrip)
            assert [p.failure for p in endless] == [None] * 4 + ["http_too_many_redirects"]
            assert (endless[-1].hop, endless[-1].url, endless[-1].address) == (4, "/4", "")

    asyncio.run(run())


@pytest.mark.parametrize("location", ["http://", "//0x7f.1/", "ftp://x/", "https://a b/", "\\\\x"])
def test_a_redirect_that_leads_nowhere(pki: TestAuthority, authorities: Authorities, location: str) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            await net.here.listen(Site({"/": moved(location)}))
            first, last = of(await net.open(HOST), HTTPRoundTrip)
            assert (first.failure, first.location) == (None, location)
            assert (last.failure, last.hop, last.url) == ("http_invalid_redirect_location_host", 1, location)

    asyncio.run(run())


def test_the_second_address_is_used_where_the_first_refuses(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[OTHER]) as net:
            net.here.network.hosts = {"good.example": [SITE]}
            advised = frozenset({OTHER, SITE})
            await net.secure(Site(), at=OTHER)

            async def advise(_url: object, _found: list[str], _hop: int) -> frozenset[str]:
                return advised

            # getaddrinfo alone knows the first
            net.here.network.udp.clear()
            net.here.network.hosts = {"good.example": [SITE, OTHER]}
            trace = await net.open(SECURE, advise=advise)
            assert {(op.address, op.failure) for op in of(trace, TCPConnect)} == {
                (SITE, "connection_refused"),
                (OTHER, None),
            }
            (got,) = of(trace, HTTPRoundTrip)
            assert (got.address, got.status) == (OTHER, 200)

    asyncio.run(run())


def test_only_the_first_address_that_accepts_gives_the_page(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            net.here.network.udp.clear()
            net.here.network.hosts = {"good.example": [SITE, OTHER]}
            for at in (SITE, OTHER):
                await net.secure(Site(), at=at)
                await net.here.listen(Site(), (at, 80))
            trace = await net.open(SECURE)
            assert {op.address for op in of(trace, TLSHandshake)} == {SITE, OTHER}
            assert [op.address for op in of(trace, HTTPRoundTrip)] == [SITE]
            clear = await net.open(HOST)
            assert [op.address for op in of(clear, HTTPRoundTrip)] == [SITE]

    asyncio.run(run())


@pytest.mark.parametrize(("make", "proved"), [("issue", True), ("self_signed", False)])
def test_of_strangers_only_one_is_dialled_unless_it_proves_itself(
    pki: TestAuthority, authorities: Authorities, make: str, proved: bool
) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            net.here.network.udp.clear()
            net.here.network.hosts = {"good.example": [SITE, OTHER]}
            await net.secure(Site(), make=make)
            await net.secure(Site(), at=OTHER)
            await net.open(SECURE)
            assert net.dialled == [(SITE, 443)] + [(OTHER, 443)] * proved

    asyncio.run(run())


def test_what_the_control_vouches_for_is_dialled_beside_a_lie(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[THIRD]) as net:
            asked: list[tuple[str, list[str], int]] = []

            async def advise(url: object, found: list[str], hop: int) -> frozenset[str]:
                asked.append((str(url), found, hop))
                return frozenset({SITE})

            await net.here.listen(Site())
            trace = await net.open(HOST, advise=advise, vouched=frozenset({OTHER}))
            assert asked == [(HOST, [THIRD], 0)]
            assert {address for address, _port in net.dialled} == {THIRD, SITE, OTHER}
            # An extra look at a page is no page of the plain client's.
            assert [(op.address, op.status) for op in of(trace, HTTPRoundTrip)] == [(SITE, 200)]

            redirecting = Site({"/x": moved("/y")})
            await net.here.listen(redirecting)
            await net.open("http://good.example/x", advise=advise)
            assert len(redirecting.heads) == 1

    asyncio.run(run())


def test_an_extra_address_of_https_is_shaken_and_not_read(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[THIRD]) as net:
            await net.secure(Site())
            trace = await net.open(SECURE, vouched=frozenset({SITE}))
            assert [op.address for op in of(trace, TLSHandshake)] == [SITE]
            assert of(trace, HTTPRoundTrip) == []

    asyncio.run(run())


def test_a_refused_contact_is_not_made(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            await net.here.listen(Site())
            trace = await net.open(HOST, refuse=lambda _address, port: "not_tried: residual" if port == 443 else "")
            assert net.dialled == [(SITE, 80)]
            failures = {op.port: op.failure for op in of(trace, TCPConnect)}
            assert failures == {80: None, 443: "not_tried: residual"}
            assert of(trace, HTTPRoundTrip)[0].status == 200

    asyncio.run(run())


def test_every_contact_passes_the_gate(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        entered: list[str] = []

        @asynccontextmanager
        async def gate(address: str) -> AsyncIterator[None]:
            entered.append(address)
            yield

        async with world(pki, authorities) as net:
            await net.open(SECURE, gate=gate)
            assert entered == [SITE]

    asyncio.run(run())


def test_a_contact_whose_gate_breaks_keeps_nobody_waiting(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        @asynccontextmanager
        async def gate(address: str) -> AsyncIterator[None]:
            raise RuntimeError(address)
            yield

        async with world(pki, authorities) as net:
            with pytest.raises(ExceptionGroup):
                await net.open(SECURE, gate=gate)

    asyncio.run(run())


def test_a_further_try_dials_what_it_is_told_and_at_most_one_more_stranger(
    pki: TestAuthority, authorities: Authorities
) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[THIRD]) as net:
            trace = net.here.trace()
            trace.attempt = 1
            await net.secure(closes)
            await net.open(SECURE, trace=trace, again=(SITE,), met={SITE})
            assert {address for address, _port in net.dialled} == {SITE, THIRD}
            assert {op.attempt for op in trace.operations} == {1}
            assert sum(getattr(op, "query_type", "") == "HTTPS" for op in trace.operations) == 0
            net.here.network.dialled.clear()
            met = {OTHER}
            await net.open(SECURE, trace=trace, again=(OTHER, SITE), met=met)
            assert met == {OTHER, SITE, THIRD}

    asyncio.run(run())


def test_an_address_needs_no_dns(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            await net.here.listen(Site())
            trace = await net.open(f"http://{SITE}/")
            assert [type(op) for op in trace.operations if op.hop == 0 and not isinstance(op, TCPConnect)] == [
                HTTPRoundTrip
            ]

    asyncio.run(run())


def test_without_the_system_resolver_nothing_is_plain(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            await net.secure(Site())
            trace = await net.open(SECURE, "udp://192.0.2.53")
            assert [op.address for op in of(trace, TLSHandshake)] == [SITE]
            assert of(trace, HTTPRoundTrip) == []

    asyncio.run(run())


def test_a_name_that_does_not_exist_is_no_page(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            trace = await net.open("http://missing.example/")
            assert {op.failure for op in trace.operations} == {"dns_nxdomain_error"}
            assert net.dialled == []

    asyncio.run(run())


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1"])
def test_a_redirect_into_our_own_network_is_not_followed_there(
    pki: TestAuthority, authorities: Authorities, inside: str
) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[SITE], inside_example=[inside]) as net:
            await net.here.listen(Site({"/": moved("http://inside.example/")}))
            await net.here.listen(Site(), (inside, 80))
            trace = await net.open(HOST)
            failures = {op.failure or "" for op in of(trace, TCPConnect) if op.hop == 1}
            assert failures
            assert all(failure.startswith("not_tried: ") for failure in failures)
            assert {address for address, _port in net.dialled} == {SITE}

    asyncio.run(run())


def test_a_private_address_is_dialled_where_the_site_is_known_to_be_elsewhere(
    pki: TestAuthority, authorities: Authorities
) -> None:
    async def run() -> None:
        async with world(pki, authorities, good_example=[BOGON]) as net:
            await net.here.listen(Site({"/": page(b"<title>blocked</title>")}), (BOGON, 80))
            assert of(await net.open(HOST), HTTPRoundTrip) == []
            trace = await net.open(HOST, vouched=frozenset({SITE}))
            assert [(p.address, p.title) for p in of(trace, HTTPRoundTrip)] == [(BOGON, "blocked")]

    asyncio.run(run())


def test_a_handshake_that_fails_brings_no_page(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities) as net:
            await net.here.listen(closes, (SITE, 443))
            trace = await net.open(SECURE)
            assert [op.failure for op in of(trace, TLSHandshake)] == ["eof_error"]
            assert of(trace, HTTPRoundTrip) == []

    asyncio.run(run())


BOGON, SIX_2 = "10.10.34.36", "2606:2800:21f:cb07::2"


@pytest.mark.parametrize(
    ("plain", "control", "known", "chosen"),
    [
        ([], [], [], []),
        ([SITE], [], [SITE], [SITE]),
        ([SITE, OTHER, THIRD], [], [], [SITE, OTHER]),
        ([SITE], [OTHER, THIRD], [], [SITE, OTHER, THIRD]),
        ([SIX], [], [], [SIX]),
        ([SIX, SIX_2, "2606:2800::3"], [], [], [SIX, SIX_2, "2606:2800::3"]),
        ([SITE, SIX], [SIX_2], [], [SITE, SIX_2, SIX]),
        ([BOGON], [SITE], [], [BOGON, SITE]),  # the plain client would go there
        ([SITE], [BOGON], [BOGON, "fd00::1"], [SITE]),  # nobody else may send us there
        ([SITE], [], [OTHER, THIRD, SIX], [SITE, SIX, OTHER]),
        ([SITE, OTHER], ["1.1.1.1", "1.0.0.1", "8.8.8.8"], ["9.9.9.9", SIX], None),
    ],
)
def test_which_addresses_are_dialled(
    plain: list[str], control: list[str], known: list[str], chosen: list[str] | None
) -> None:
    found = choose(plain, frozenset(control), known)
    assert len(found) == len(set(found)) <= web.MAX_ADDRESSES
    if chosen is None:
        assert found[:2] == plain and len(found) == 6 and SIX in found and "9.9.9.9" in found
    else:
        assert sorted(found) == sorted(chosen)
        assert found[:1] == chosen[:1]

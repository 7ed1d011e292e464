"""Where a site offers HTTP/3, and the one QUIC handshake at the end of a first look."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import dns.message
import dns.rrset
import pytest

from probes import quic
from probes.certificate import Authorities
from probes.dns import DNSLookup, Record, Response
from probes.http import HTTPRoundTrip
from probes.http3 import alternative, offer
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.trace import Operation
from probes.url import parse_url
from tests.pki import TestAuthority

from .loopback import OTHER, SITE, SIX, closes, gone, page, records, zone
from .quic_server import take, take_first
from .test_quic import NAME, Scene
from .test_web import SECURE, Site, Web, moved, of, world

URL = parse_url(SECURE)
H3 = 'Alt-Svc: h3=":443"; ma=86400, h3-29=":443"'


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (['h3=":443"'], ("", 443)),
        (['h2="x:1", h3="other.example:8443"; ma=1'], ("other.example", 8443)),
        (['h3-29=":443"', 'h3=":4433"'], ("", 4433)),
        (["clear"], None),
        (['h3-29=":443"'], None),
        (['h3=":0"'], None),
        (['h3=":65536"'], None),
        (['h3=":99999999"'], None),
        (['h3="[::1]:443"'], None),
        (['xh3=":443"'], None),
        ([], None),
    ],
)
def test_alt_svc(values: list[str], found: tuple[str, int] | None) -> None:
    assert alternative([("x", "y"), *(("Alt-Svc", value) for value in values)]) == found


def got(*headers: str, address: str = SITE, hop: int = 0, attempt: int = 0) -> HTTPRoundTrip:
    named = tuple(tuple(h.split(": ", 1)) for h in headers)
    return HTTPRoundTrip(started=1, finished=2, hop=hop, attempt=attempt, address=address, port=443, url=SECURE,
                         status=200, headers=named)  # type: ignore[arg-type]  # fmt: skip


def answered(kind: str, *values: str, resolver: str = "system") -> DNSLookup:
    found = (Response(at=0.1, records=tuple(Record(kind, value) for value in values)),)
    return DNSLookup(started=0, finished=1, engine="udp", resolver=resolver, name=NAME, query_type=kind,
                     responses=found)  # fmt: skip


def dialled(address: str, failure: str | None = None, started: float = 1, port: int = 443) -> TCPConnect:
    return TCPConnect(started=started, finished=started + 1, address=address, port=port, failure=failure)


OFFERS = answered("HTTPS", '1 . alpn="h2,h3" ipv4hint="192.0.2.1"')


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ([got(H3)], (SITE, 443)),
        ([got('Alt-Svc: h3=":8443"'), OFFERS], (SITE, 8443)),
        ([got('Alt-Svc: h3="GOOD.example:8443"')], (SITE, 8443)),
        ([got('Alt-Svc: h3="other.example:443"')], None),
        ([got('Alt-Svc: h3="other.example:443"'), OFFERS], (SITE, 443)),
        ([got(H3, hop=1)], None),
        ([got(H3, attempt=1)], None),
        ([got(), OFFERS], (SITE, 443)),
        ([got(), answered("HTTPS", '1 . alpn="h2"')], None),
        ([got(), answered("HTTPS", '1 . alpn="h3-29"')], None),
        ([got(), answered("HTTPS", '1 . port="8443" alpn="h3"')], (SITE, 8443)),
        ([got(), answered("HTTPS", '1 . port="99999" alpn="h3"')], None),
        ([got(), answered("HTTPS", '1 other.example. alpn="h3"')], None),
        ([got(), answered("HTTPS", "0 other.example")], None),
        ([got(), answered("HTTPS", '1 . alpn="h3"', resolver="udp://8.8.8.8:53")], None),
        ([OFFERS, answered("A", SITE, OTHER), dialled(SITE, "generic_timeout_error")], (SITE, 443)),
        ([OFFERS, answered("A", SITE), dialled(OTHER), dialled(SITE, started=3)], (SITE, 443)),
        ([OFFERS, answered("A", SITE), dialled(SITE, "not_tried: bogon")], None),
        ([OFFERS, answered("A", SITE), dialled(SITE, port=80)], None),
        ([OFFERS], None),
        ([], None),
    ],
)
def test_where_it_is_offered(operations: list[Operation], found: tuple[str, int] | None) -> None:
    assert offer(operations, URL) == found


@pytest.fixture
def run(pki: TestAuthority, authorities: Authorities) -> Callable[..., Any]:
    def play(story: Callable[[Web, Scene], Any], **names: list[str]) -> Any:
        async def inner() -> Any:
            async with world(pki, authorities, **names) as net:
                limits = net.here.limits
                scene = Scene(net.here, pki, authorities)
                net.here.limits = limits
                return await story(net, scene)

        return asyncio.run(inner())

    return play


def test_a_page_that_offers_it_costs_one_handshake_more(run: Any) -> None:
    async def story(net: Web, scene: Scene) -> Any:
        await scene.serve()
        await net.secure(Site({"/": page(b"<title>here</title>", H3)}))
        return await net.open(SECURE)

    trace = run(story)
    (shake,) = of(trace, QUICHandshake)
    assert (shake.failure, shake.address, shake.port, shake.server_name) == (None, SITE, 443, NAME)
    assert (shake.hop, shake.attempt) == (0, 0)
    assert shake.started >= of(trace, HTTPRoundTrip)[0].finished


def test_the_page_is_the_same_where_quic_fails(run: Any) -> None:
    async def story(net: Web, scene: Scene) -> Any:
        await scene.serve(take_first)
        await net.secure(Site({"/": page(b"<title>here</title>", H3)}))
        net.here.limits = type(net.here.limits)(timeout=0.5, dns_timeout=2, listen=0.02)
        return await net.open(SECURE)

    trace = run(story)
    (shake,), (got_,) = of(trace, QUICHandshake), of(trace, HTTPRoundTrip)
    assert (shake.failure, shake.completed) == ("generic_timeout_error", True)
    assert (got_.failure, got_.title) == (None, "here")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (SECURE, {"quic": False}),
        ("http://good.example/", {}),
        (f"https://{SITE}/", {}),
        ("https://good.example/plain", {}),
    ],
)
def test_otherwise_there_is_none(run: Any, url: str, options: dict[str, Any]) -> None:
    async def story(net: Web, scene: Scene) -> Any:
        server = await scene.serve()
        site = Site({"/": page(b"", H3), "/plain": page(b"")})
        await net.secure(site)
        await net.here.listen(site)
        return of(await net.open(url, **options), QUICHandshake), server.datagrams

    assert run(story) == ([], [])


def test_a_further_try_makes_none(run: Any) -> None:
    async def story(net: Web, scene: Scene) -> Any:
        await scene.serve()
        await net.secure(Site({"/": page(b"", H3)}))
        trace = net.here.trace()
        trace.attempt = 1
        return of(await net.open(SECURE, trace=trace), QUICHandshake)

    assert run(story) == []


def test_a_redirect_is_followed_first_and_only_the_url_itself_is_met(run: Any) -> None:
    async def story(net: Web, scene: Scene) -> Any:
        await scene.serve()
        await net.secure(Site({"/": moved("https://other.example/", H3)}), "good.example")
        await net.secure(Site({"/": page(b"", H3)}), "other.example", at=OTHER)
        return await net.open(SECURE)

    trace = run(story, good_example=[SITE], other_example=[OTHER])
    (shake,) = of(trace, QUICHandshake)
    assert (shake.address, shake.server_name) == (SITE, NAME)
    assert trace.operations.index(shake) > trace.operations.index(of(trace, HTTPRoundTrip)[-1])


def test_what_the_plan_refuses_is_not_contacted_and_the_gate_is_passed(run: Any) -> None:
    entered: list[str] = []

    class Gate:
        def __init__(self, address: str) -> None:
            entered.append(address)

        async def __aenter__(self) -> None:
            return None

        async def __aexit__(self, *_exception: object) -> None:
            return None

    async def story(net: Web, scene: Scene) -> Any:
        server = await scene.serve(at=8443)
        await net.secure(Site({"/": page(b"", 'Alt-Svc: h3=":8443"')}))
        trace = await net.open(SECURE, gate=Gate, refuse=lambda _a, port: "not_tried: residual" if port == 8443 else "")
        return of(trace, QUICHandshake), server.datagrams

    (shake,), datagrams = run(story)
    assert (shake.failure, shake.port, datagrams) == ("not_tried: residual", 8443, [])
    assert entered == [SITE, SITE]


@pytest.mark.parametrize("serve", [gone, closes])
def test_the_https_record_offers_it_where_the_page_does_not_come(run: Any, serve: Any) -> None:
    def answer(asked: dns.message.Message) -> list[bytes]:
        if asked.question[0].rdtype.name == "HTTPS":
            return [records(asked, "HTTPS", '1 . alpn="h3,h2"')]
        return list(zone(good_example=[SITE, SIX])(asked))  # type: ignore[arg-type]

    async def story(net: Web, scene: Scene) -> Any:
        await scene.serve()
        await net.here.resolve(answer)
        await net.secure(serve)
        return await net.open(SECURE)

    trace = run(story)
    (shake,) = of(trace, QUICHandshake)
    assert (shake.failure, shake.address) == (None, SITE)


def test_without_the_extra_there_is_none(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quic, "available", lambda: False)

    async def story(net: Web, scene: Scene) -> Any:
        await scene.serve(take)
        await net.secure(Site({"/": page(b"", H3)}))
        return of(await net.open(SECURE), QUICHandshake)

    assert run(story) == []


def test_the_socket_is_not_left_behind(run: Any) -> None:
    """A measurement that is cut off in the middle of a handshake closes its socket."""

    async def story(net: Web, scene: Scene) -> int:
        await scene.serve(lambda *_: None)
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(scene.shake())
            await asyncio.sleep(0.1)
            task.cancel()
        return len(os.listdir("/proc/self/fd")) - before

    assert run(story) == 0

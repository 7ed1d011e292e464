"""DNS over HTTPS: an answer behind a certificate that verifies, or the step at which it failed."""

import asyncio
from collections.abc import Awaitable, Callable

import dns.message
import pytest

from probes import doh, resolvers
from probes.certificate import Authorities
from probes.dns import DNSLookup
from probes.doh import parse_doh
from tests.pki import TestAuthority

from .loopback import HASTY, OTHER, SITE, Answer, Place, Serve, gone, head, page, place, records, silent, zone

URL = f"https://dns.example/dns-query?bootstrap={SITE}"
NAME = "good.example"
TYPE = "Content-Type: application/dns-message"
Render = Callable[[dns.message.Message, bytes], bytes]


def plain(_asked: dns.message.Message, answer: bytes) -> bytes:
    return page(answer, TYPE)


def resolver(answer: Answer, render: Render = plain, *, once: bool = False, heads: list[str] | None = None) -> Serve:
    """A DoH server; `once`: it closes after the first answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            top = (await reader.readuntil(b"\r\n\r\n")).decode()
            if heads is not None:
                heads.append(top)
            size = int(top.lower().partition("content-length: ")[2].split("\r\n")[0])
            asked = dns.message.from_wire(await reader.readexactly(size))
            (wire,) = answer(asked)
            assert isinstance(wire, bytes)
            writer.write(render(asked, wire))
            await writer.drain()
            if once:
                return

    return serve


def looked_up(
    pki: TestAuthority, authorities: Authorities, serve: Serve, *, certificate: str = "issue", url: str = URL,
    addresses: tuple[str, ...] = (),
) -> list[DNSLookup]:  # fmt: skip
    async def run() -> list[DNSLookup]:
        async with place() as here:
            here.limits = HASTY
            context = pki.server_context(getattr(pki, certificate)("dns.example"))
            await here.listen(serve, (SITE, 443), ssl=context)
            trace = here.trace()
            found = await doh.lookups(
                trace, NAME, ("A", "AAAA"), resolver=parse_doh(url), authorities=authorities, addresses=addresses, hop=1
            )
            assert trace.operations == found  # the resolver's own TCP and TLS are no operations of the target
            return found

    return asyncio.run(run())


def test_two_questions_over_one_connection(pki: TestAuthority, authorities: Authorities) -> None:
    heads: list[str] = []
    four, six = looked_up(pki, authorities, resolver(zone(good_example=[SITE, OTHER]), heads=heads))
    assert (four.engine, four.resolver, four.server, four.name, four.hop) == ("doh", URL, SITE, NAME, 1)
    assert (four.failure, set(four.addresses())) == (None, {SITE, OTHER})
    assert (six.failure, six.query_type, six.addresses()) == ("dns_no_answer", "AAAA", ())
    assert 0 < four.responses[0].at <= six.responses[0].at < 2
    assert [text.split("\r\n")[0] for text in heads] == ["POST /dns-query HTTP/1.1"] * 2
    assert "Host: dns.example\r\n" in heads[0]
    assert "Content-Length: 128\r\n" in heads[0]  # padded (RFC 8467)
    assert "Content-Type: application/dns-message" in heads[0]


@pytest.mark.parametrize(
    ("certificate", "failure"), [("expired", "ssl_invalid_certificate"), ("self_signed", "ssl_unknown_authority")]
)
def test_a_certificate_that_does_not_verify_says_nothing(
    pki: TestAuthority, authorities: Authorities, certificate: str, failure: str
) -> None:
    found = looked_up(pki, authorities, resolver(zone(good_example=[SITE])), certificate=certificate)
    assert [(op.failure, op.responses) for op in found] == [(failure, ())] * 2


def test_a_name_that_the_certificate_does_not_hold(pki: TestAuthority, authorities: Authorities) -> None:
    url = f"https://other.example/?bootstrap={SITE}"
    assert looked_up(pki, authorities, silent, url=url)[0].failure == "ssl_invalid_hostname"


@pytest.mark.parametrize(
    ("render", "failure"),
    [
        (lambda _q, _a: page(b"no", status="503 Busy"), "dns_server_misbehaving"),
        (lambda _q, a: page(a, status="404 Not Found"), "dns_server_misbehaving"),
        (lambda _q, _a: page(b"<html>a portal</html>"), "dns_server_misbehaving"),
        (lambda _q, _a: page(b""), "dns_server_misbehaving"),
        (lambda _q, a: page(a[:-3]), "dns_server_misbehaving"),
        (lambda _q, _a: page(b"\x00" * 70_000), "dns_server_misbehaving"),
        (lambda _q, _a: b"nonsense\r\n\r\n", "http_request_failed"),
        (lambda _q, a: page(a)[:-3], "http_request_failed"),
        (lambda _q, _a: b"HTTP/1.1 2", "eof_error"),
        (lambda _q, _a: b"", "eof_error"),
    ],
)
def test_answers_that_are_none(pki: TestAuthority, authorities: Authorities, render: Render, failure: str) -> None:
    found = looked_up(pki, authorities, resolver(zone(good_example=[SITE]), render, once=True))
    assert found[0].failure == failure
    assert found[1].failure in (failure, "eof_error")
    assert not any(op.addresses() for op in found)


@pytest.mark.parametrize(
    "render",
    [
        lambda _q, a: head(status="100 Continue") + page(a),
        lambda _q, a: head(status="103 Early Hints") + page(a),
        lambda _q, a: head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(a), a),
    ],
)
def test_answers_in_other_dress(pki: TestAuthority, authorities: Authorities, render: Render) -> None:
    found = looked_up(pki, authorities, resolver(zone(good_example=[SITE]), render))
    assert [op.failure for op in found] == [None, "dns_no_answer"]


def test_a_connection_closed_after_the_first_answer(pki: TestAuthority, authorities: Authorities) -> None:
    four, six = looked_up(pki, authorities, resolver(zone(good_example=[SITE]), once=True))
    assert (four.failure, four.addresses()) == (None, (SITE,))
    assert (six.failure, six.responses) == ("eof_error", ())


def test_response_codes(pki: TestAuthority, authorities: Authorities) -> None:
    four, six = looked_up(pki, authorities, resolver(lambda q: [records(q, "AAAA", "::1", rcode=2)]))
    assert (four.failure, six.failure) == ("dns_servfail_error", "dns_servfail_error")
    assert four.responses


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await silent(reader, writer)


@pytest.mark.parametrize(("serve", "failure"), [(hangs, "generic_timeout_error"), (gone, "connection_reset")])
def test_silence_and_a_reset_after_the_handshake(
    pki: TestAuthority, authorities: Authorities, serve: Callable[..., Awaitable[None]], failure: str
) -> None:
    assert [op.failure for op in looked_up(pki, authorities, serve)] == [failure] * 2


def test_a_resolver_that_cannot_be_reached(pki: TestAuthority, authorities: Authorities) -> None:
    refused = looked_up(pki, authorities, silent, url=f"https://dns.example/?bootstrap={OTHER}")
    assert [op.failure for op in refused] == ["connection_refused"] * 2
    nowhere = looked_up(pki, authorities, silent, url="https://dns.example/")
    assert [(op.failure, op.server) for op in nowhere] == [("dns_temporary_failure", "")] * 2
    resolved = looked_up(
        pki, authorities, resolver(zone(good_example=[SITE])), url="https://dns.example/", addresses=(SITE,)
    )
    assert resolved[0].addresses() == (SITE,)


@pytest.mark.parametrize(
    ("text", "url", "bootstrap"),
    [
        ("https://dns.example/dns-query", "https://dns.example/dns-query", ""),
        (URL, "https://dns.example/dns-query", SITE),
        ("https://dns.example:8443/q?a=b&bootstrap=9.9.9.9&c=d", "https://dns.example:8443/q?a=b&c=d", "9.9.9.9"),
        ("https://dns.example/q?bootstrap=2620:fe::fe", "https://dns.example/q", "2620:fe::fe"),
        ("https://dns.example/q?bootstrap=2620%3Afe%3A%3Afe", "https://dns.example/q", "2620:fe::fe"),
        ("https://dns.example/q?key=a%20b%2F%26&flag&x=", "https://dns.example/q?key=a%20b%2F%26&flag&x=", ""),
        ("https://9.9.9.9/dns-query", "https://9.9.9.9/dns-query", "9.9.9.9"),
        ("https://[2620:fe::fe]/", "https://[2620:fe::fe]/", "2620:fe::fe"),
    ],
)
def test_the_text_of_a_resolver(text: str, url: str, bootstrap: str) -> None:
    found = parse_doh(text)
    assert (found.name, str(found.url), found.bootstrap) == (text, url, bootstrap)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://dns.example/", "needs https"),
        ("https://dns.example/?bootstrap=dns.example", "bootstrap=dns.example is no IP address"),
        ("https:///x", "the host is missing"),
        ("dns.example", "must start with"),
    ],
)
def test_the_text_of_no_resolver(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_doh(text)


async def all_others(here: Place, authorities: Authorities, *texts: str, hop: int = 0) -> list[DNSLookup]:
    trace = here.trace()
    await resolvers.ask_others(
        trace, NAME, ("A", "AAAA"), resolvers=resolvers.parse_resolvers(texts), authorities=authorities, hop=hop
    )
    await trace.settle()
    return [op for op in trace.operations if isinstance(op, DNSLookup)]


def test_every_other_resolver_is_asked_and_doh_only_on_the_first_hop(
    pki: TestAuthority, authorities: Authorities
) -> None:
    async def run() -> None:
        async with place() as here:
            answer = zone(good_example=[OTHER], dns_example=[SITE])
            await here.resolve(answer)
            await here.resolve(answer, ("8.8.8.8", 53))
            await here.listen(resolver(answer), (SITE, 443), ssl=pki.server_context(pki.issue("dns.example")))
            texts = ("system", "udp://8.8.8.8", "https://dns.example/q")
            found = await all_others(here, authorities, *texts)
            assert sorted((op.engine, op.query_type, op.failure or "") for op in found) == [
                ("doh", "A", ""), ("doh", "AAAA", "dns_no_answer"), ("udp", "A", ""), ("udp", "AAAA", "dns_no_answer"),
            ]  # fmt: skip
            assert {op.engine for op in found if op.encrypted} == {"doh"}
            assert {op.resolver for op in found} == set(texts[1:])
            assert [op.engine for op in await all_others(here, authorities, *texts, hop=1)] == ["udp", "udp"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("udp://8.8.8.8:53", ("8.8.8.8", 53)),
        ("udp://8.8.8.8", ("8.8.8.8", 53)),
        ("udp://8.8.8.8:5353", ("8.8.8.8", 5353)),
        ("udp://[2001:4860:4860::8888]", ("2001:4860:4860::8888", 53)),
        ("udp://[2001:4860:4860::8888]:54", ("2001:4860:4860::8888", 54)),
    ],
)
def test_udp_resolvers(text: str, server: tuple[str, int]) -> None:
    found = resolvers.parse_resolvers([text])
    assert found == resolvers.Resolvers(system=False, udp=((text, server),))


def test_several_resolvers() -> None:
    found = resolvers.parse_resolvers(["https://a.example/", "system", "udp://1.1.1.1", "https://9.9.9.9/"])
    assert (found.system, len(found.udp), [r.bootstrap for r in found.doh]) == (True, 1, ["", "9.9.9.9"])
    assert resolvers.parse_resolvers([]) == resolvers.Resolvers(system=False)


@pytest.mark.parametrize(
    "text", ["", "8.8.8.8", "tcp://8.8.8.8", "udp://", "udp://dns.example", "udp://8.8.8.8:99999", "udp://8.8.8.8:x", "udp://2001:db8::", "https://", "https://a.example/?bootstrap=x", "System"]
)  # fmt: skip
def test_what_is_no_resolver_is_named(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        resolvers.parse_resolvers(["system", text])
    assert str(refused.value).startswith(f"{text!r} is no resolver: ")

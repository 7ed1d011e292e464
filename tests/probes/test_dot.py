"""DNS over TLS: a real resolver's answer behind a certificate that verifies, or the step at which it failed."""

import asyncio
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import dns.message
import pytest

from probes import dot, encrypted, resolvers
from probes.certificate import Authorities
from probes.dns import DNSLookup
from probes.dot import parse_dot
from tests.pki import TestAuthority
from tests.publish.tools import tool

from .loopback import HASTY, OTHER, SITE, SIX, Answer, Place, Serve, abort, gone, place, records, silent, zone

URL = f"tls://dns.example?bootstrap={SITE}"
NAME = "good.example"
UNBOUND = """server:
  interface: 127.0.0.1@{port}
  tls-port: {port}
  tls-service-key: "{pem}"
  tls-service-pem: "{pem}"
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
  local-zone: "." static
  local-data: "good.example. A {a}"
  local-data: "good.example. A {b}"
  local-data: "good.example. AAAA {six}"
  local-data: "four.example. A {a}"
remote-control:
  control-enable: no
"""
Framed = Callable[[dns.message.Message, bytes], list[bytes | float]]


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


def plain(_asked: dns.message.Message, wire: bytes) -> list[bytes | float]:
    return [framed(wire)]


def resolver(
    answer: Answer, render: Framed = plain, *, queries: list[bytes] | None = None, ends: str = "", met: list[str] | None = None
) -> Serve:  # fmt: skip
    """A DoT server; `ends`: after the first answer it closes (`close`) or resets (`reset`)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if met is not None:
            met.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            wire = await reader.readexactly(length)
            if queries is not None:
                queries.append(wire)
            asked = dns.message.from_wire(wire)
            (answered,) = answer(asked)
            assert isinstance(answered, bytes)
            for part in render(asked, answered):
                if isinstance(part, float):
                    await asyncio.sleep(part)
                else:
                    writer.write(part)
                    await writer.drain()
            if ends == "reset":
                await abort(writer)
            if ends:
                return

    return serve


async def ask(
    here: Place, authorities: Authorities, *, name: str = NAME, url: str = URL, addresses: tuple[str, ...] = ()
) -> list[DNSLookup]:
    trace = here.trace()
    found = await dot.lookups(
        trace, name, ("A", "AAAA"), resolver=parse_dot(url), authorities=authorities, addresses=addresses, hop=1
    )
    assert trace.operations == found  # the resolver's own TCP and TLS are no operations of the target
    return found


def looked_up(
    pki: TestAuthority, authorities: Authorities, serve: Serve, *, certificate: str = "issue",
    names: tuple[str, ...] = ("dns.example",), url: str = URL, addresses: tuple[str, ...] = (), port: int = 853,
    greeted: list[str | None] | None = None,
) -> list[DNSLookup]:  # fmt: skip
    async def run() -> list[DNSLookup]:
        async with place() as here:
            here.limits = HASTY
            context = pki.server_context(getattr(pki, certificate)(*names))
            context.set_alpn_protocols(["dot"])
            if greeted is not None:
                context.sni_callback = lambda _tls, name, _context: greeted.append(name)
            await here.listen(serve, (SITE, port), ssl=context)
            return await ask(here, authorities, url=url, addresses=addresses)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def unbound(pki: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real resolver that speaks DNS over TLS and asks nobody."""
    program, folder = tool("unbound", package="unbound"), tmp_path_factory.mktemp("unbound")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    pem = pki.issue("dns.example", "192.0.2.9")
    (folder / "unbound.conf").write_text(UNBOUND.format(port=port, pem=pem, folder=folder, a=SITE, b=OTHER, six=SIX))
    with subprocess.Popen([program, "-d", "-p", "-c", str(folder / "unbound.conf")], stderr=subprocess.PIPE) as running:
        try:
            _until_open(port, running)
            yield port
        finally:
            running.terminate()


def _until_open(port: int, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("unbound does not listen")


@asynccontextmanager
async def beside(unbound: int, at: tuple[str, int] = (SITE, 853)) -> AsyncIterator[Place]:
    async with place() as here:
        here.network.tcp[at] = unbound
        yield here


def test_unbound_answers_both_questions_over_one_connection(unbound: int, authorities: Authorities) -> None:
    async def run() -> None:
        async with beside(unbound) as here:
            four, six = await ask(here, authorities)
            assert (four.engine, four.resolver, four.server, four.name, four.hop) == ("dot", URL, SITE, NAME, 1)
            assert (four.failure, set(four.addresses())) == (None, {SITE, OTHER})
            assert (six.failure, six.query_type, six.addresses()) == (None, "AAAA", (SIX,))
            assert four.encrypted
            assert six.encrypted
            assert here.network.dialled == [(SITE, 853)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "failures"),
    [("four.example", [None, "dns_no_answer"]), ("none.example", ["dns_nxdomain_error", "dns_nxdomain_error"])],
)
def test_what_unbound_says_of_a_name_that_is_not(
    unbound: int, authorities: Authorities, name: str, failures: list[str | None]
) -> None:
    async def run() -> None:
        async with beside(unbound) as here:
            assert [op.failure for op in await ask(here, authorities, name=name)] == failures

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "address", "failure"),
    [
        ("tls://192.0.2.9", "192.0.2.9", None),  # the certificate holds the address
        ("tls://192.0.2.10", "192.0.2.10", "ssl_invalid_hostname"),
        ("dot://dns.example:853/?bootstrap=192.0.2.10", "192.0.2.10", None),
        ("tls://other.example?bootstrap=192.0.2.10", "192.0.2.10", "ssl_invalid_hostname"),
    ],
)
def test_unbound_must_prove_the_name_or_the_address(
    unbound: int, authorities: Authorities, url: str, address: str, failure: str | None
) -> None:
    async def run() -> None:
        async with beside(unbound, (address, 853)) as here:
            found = await ask(here, authorities, url=url)
            assert [op.failure for op in found] == [failure, failure]
            assert bool(found[0].responses) is (failure is None)

    asyncio.run(run())


def test_what_goes_over_the_wire(pki: TestAuthority, authorities: Authorities) -> None:
    queries: list[bytes] = []
    met: list[str] = []
    greeted: list[str | None] = []
    serve = resolver(zone(good_example=[SITE]), queries=queries, met=met)
    looked_up(pki, authorities, serve, greeted=greeted)
    assert [len(wire) for wire in queries] == [encrypted.BLOCK] * 2  # padded
    assert (met, greeted) == (["dot"], ["dns.example"])
    first, second = (dns.message.from_wire(wire) for wire in queries)
    assert first.id != second.id
    greeted.clear()
    serve = resolver(zone(good_example=[SITE]))
    found = looked_up(pki, authorities, serve, url=f"tls://{SITE}", names=(SITE,), greeted=greeted)
    assert (greeted, [op.failure for op in found]) == ([None], [None, "dns_no_answer"])  # no SNI for an address


@pytest.mark.parametrize(
    ("certificate", "failure"), [("expired", "ssl_invalid_certificate"), ("self_signed", "ssl_unknown_authority")]
)
def test_a_certificate_that_does_not_verify_says_nothing(
    pki: TestAuthority, authorities: Authorities, certificate: str, failure: str
) -> None:
    queries: list[bytes] = []
    serve = resolver(zone(good_example=[SITE]), queries=queries)
    found = looked_up(pki, authorities, serve, certificate=certificate)
    assert [(op.failure, op.responses) for op in found] == [(failure, ())] * 2
    assert queries == []  # it is not even asked


def _other_id(asked: dns.message.Message, wire: bytes) -> list[bytes | float]:
    return [framed(struct.pack("!H", asked.id ^ 0xFFFF) + wire[2:])]


def _other_question(asked: dns.message.Message, _wire: bytes) -> list[bytes | float]:
    other = dns.message.make_query("bad.example", "A", id=asked.id)
    return [framed(records(other, "A", OTHER))]


@pytest.mark.parametrize(
    ("render", "ends", "failure"),
    [
        (_other_id, "", "dns_reply_with_wrong_query_id"),
        (_other_question, "", "dns_server_misbehaving"),
        (lambda q, _w: [framed(q.to_wire())], "", "dns_server_misbehaving"),  # our question sent back
        (lambda _q, _w: [b"\x00\x00"], "", "dns_server_misbehaving"),
        (lambda _q, _w: [b"\x00\x01z"], "", "dns_server_misbehaving"),
        (lambda _q, w: [framed(w[:-3])], "", "dns_server_misbehaving"),
        (lambda _q, w: [framed(w[:2] + b"\xff" * 65_533)], "", "dns_server_misbehaving"),
        (lambda _q, w: [b"\xff\xff" + w], "", "generic_timeout_error"),  # more is promised than comes
        (lambda _q, w: [b"\xff\xff" + w], "close", "eof_error"),
        (lambda _q, w: [framed(w)[:-3]], "close", "eof_error"),
        (lambda _q, _w: [b"\x00"], "close", "eof_error"),
        (lambda _q, _w: [], "close", "eof_error"),
        (lambda _q, _w: [], "reset", "connection_reset"),
        (lambda _q, w: [framed(w)[:7]], "reset", "connection_reset"),
        (lambda _q, w: [b for byte in framed(w) for b in (bytes([byte]), 0.05)], "", "generic_timeout_error"),
        (lambda _q, _w: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "close", "eof_error"),
    ],
)  # fmt: skip
def test_answers_that_are_none(
    pki: TestAuthority, authorities: Authorities, render: Framed, ends: str, failure: str
) -> None:
    found = looked_up(pki, authorities, resolver(zone(good_example=[SITE]), render, ends=ends))
    assert [op.failure for op in found] == [failure] * 2
    assert not any(op.responses and op.addresses() for op in found)


@pytest.mark.parametrize(
    "render",
    [
        lambda _q, w: [framed(w)[:1], 0.02, framed(w)[1:9], 0.02, framed(w)[9:]],
        lambda _q, w: [framed(w) + framed(w)],  # answered twice: the second is not taken for the next answer
        lambda q, w: [framed(w) + framed(records(q, "A", OTHER)) * 7],
    ],
)
def test_answers_in_other_dress(pki: TestAuthority, authorities: Authorities, render: Framed) -> None:
    four, six = looked_up(pki, authorities, resolver(zone(good_example=[SITE]), render))
    assert (four.failure, four.addresses(), len(four.responses)) == (None, (SITE,), 1)
    assert (six.failure, six.addresses()) == ("dns_no_answer", ())


def test_answers_without_end_are_not_read_without_end(pki: TestAuthority, authorities: Authorities) -> None:
    serve = resolver(zone(good_example=[SITE]), lambda _q, w: [framed(w) * 20])
    four, six = looked_up(pki, authorities, serve)
    assert (four.failure, six.failure) == (None, "dns_reply_with_wrong_query_id")


def test_a_long_answer(pki: TestAuthority, authorities: Authorities) -> None:
    many = [f"198.51.{n // 200}.{n % 200 + 1}" for n in range(2000)]
    four, _six = looked_up(pki, authorities, resolver(lambda q: [records(q, "A", *many)]))
    assert (four.failure, len(four.addresses())) == (None, 64)  # 32 KB in several TLS records; 64 records are kept


def test_a_connection_closed_after_the_first_answer(pki: TestAuthority, authorities: Authorities) -> None:
    four, six = looked_up(pki, authorities, resolver(zone(good_example=[SITE]), ends="close"))
    assert (four.failure, four.addresses()) == (None, (SITE,))
    assert (six.failure, six.responses) == ("eof_error", ())


def test_response_codes(pki: TestAuthority, authorities: Authorities) -> None:
    four, six = looked_up(pki, authorities, resolver(lambda q: [records(q, "AAAA", "::1", rcode=2)]))
    assert (four.failure, six.failure) == ("dns_servfail_error", "dns_servfail_error")
    assert four.responses


@pytest.mark.parametrize(("serve", "failure"), [(silent, "generic_timeout_error"), (gone, "connection_reset")])
def test_silence_and_a_reset_after_the_handshake(
    pki: TestAuthority, authorities: Authorities, serve: Serve, failure: str
) -> None:
    assert [op.failure for op in looked_up(pki, authorities, serve)] == [failure] * 2


@pytest.mark.parametrize(
    ("serve", "failure"),
    [(silent, "generic_timeout_error"), (gone, "connection_reset"), (None, "connection_refused")],
)
def test_a_handshake_that_does_not_come_off(authorities: Authorities, serve: Serve | None, failure: str) -> None:
    async def run() -> None:
        async with place() as here:
            here.limits = HASTY
            if serve is not None:
                await here.listen(serve, (SITE, 853))
            assert [op.failure for op in await ask(here, authorities)] == [failure] * 2
            nowhere = await ask(here, authorities, url="tls://dns.example")
            assert [(op.failure, op.server) for op in nowhere] == [("dns_temporary_failure", "")] * 2

    asyncio.run(run())


def test_a_server_that_knows_no_dot(pki: TestAuthority, authorities: Authorities) -> None:
    """A web server on port 853, whose ALPN is another, hears a request that it does not know and says nothing."""

    async def run() -> None:
        async with place() as here:
            here.limits = HASTY
            context = pki.server_context(pki.issue("dns.example"))
            context.set_alpn_protocols(["h2", "http/1.1"])
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            await here.listen(silent, (SITE, 853), ssl=context)
            assert [op.failure for op in await ask(here, authorities)] == ["generic_timeout_error"] * 2

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "host", "port", "bootstrap"),
    [
        ("tls://dns.example", "dns.example", 853, ""),
        ("tls://dns.example/", "dns.example", 853, ""),
        ("tls://DNS.example:8853", "dns.example", 8853, ""),
        ("tls://dns.example:443", "dns.example", 443, ""),
        ("dot://dns.example?bootstrap=9.9.9.9", "dns.example", 853, "9.9.9.9"),
        ("tls://dns.example:853?bootstrap=2620:fe::fe", "dns.example", 853, "2620:fe::fe"),
        ("tls://dns.example/?bootstrap=2620%3Afe%3A%3Afe", "dns.example", 853, "2620:fe::fe"),
        ("tls://9.9.9.9", "9.9.9.9", 853, "9.9.9.9"),
        ("tls://9.9.9.9:8853", "9.9.9.9", 8853, "9.9.9.9"),
        ("tls://[2620:fe::fe]", "2620:fe::fe", 853, "2620:fe::fe"),
        ("tls://[2620:fe::fe]:8853", "2620:fe::fe", 8853, "2620:fe::fe"),
        ("tls://dns.bücher.example", "dns.xn--bcher-kva.example", 853, ""),
    ],
)
def test_the_text_of_a_resolver(text: str, host: str, port: int, bootstrap: str) -> None:
    found = parse_dot(text)
    assert (found.name, found.url.host, found.url.port, found.bootstrap) == (text, host, port, bootstrap)
    assert resolvers.parse_resolvers([text, "system"]) == resolvers.Resolvers(dot=(found,))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://dns.example/", "needs tls"),
        ("tls://", "the host is missing"),
        ("tls://dns.example:0", "port"),
        ("tls://dns.example:x", "port"),
        ("tls://2620:fe::fe", "brackets|port|host|IPv6"),
        ("tls://dns.example/dns-query", "no path"),
        ("tls://somebody@dns.example", "no path"),
        ("tls://dns.example#x", "no path"),
        ("tls://dns.example?bootstrap=dns.example", "bootstrap=dns.example is no IP address"),
        ("tls://dns.example?boot=9.9.9.9", "boot=9.9.9.9 is no option"),
        ("tls://dns example", "contains"),
    ],
)
def test_the_text_of_no_resolver(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_dot(text)
    if not text.startswith("https"):
        with pytest.raises(ValueError, match="is no resolver: "):
            resolvers.parse_resolvers(["system", text])


def test_dot_is_asked_beside_the_others_and_its_name_is_looked_up(unbound: int, authorities: Authorities) -> None:
    async def run() -> None:
        async with beside(unbound) as here:
            await here.resolve(zone(good_example=[OTHER], dns_example=[SITE]))
            for hop, count in ((0, 2), (1, 0)):
                trace = here.trace()
                await resolvers.ask_others(
                    trace, NAME, ("A", "AAAA"), resolvers=resolvers.parse_resolvers(["tls://dns.example"]),
                    authorities=authorities, hop=hop,
                )  # fmt: skip
                found = [op for op in trace.operations if isinstance(op, DNSLookup)]
                assert [(op.engine, op.failure) for op in found] == [("dot", None)] * count

    asyncio.run(run())

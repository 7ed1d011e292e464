"""A DNS lookup: the first answer, the ones behind it, and everything that is no answer."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import dns as dns_probe
from probes import resolvers
from probes.dns import DNSLookup, Record, Response, query, read
from probes.trace import Trace

from .loopback import HASTY, OTHER, RESOLVER, SITE, SIX, Answer, Place, page, place, records, says, zone

NAME = "good.example"


async def ask(here: Place, kind: str = "A", *, name: str = NAME, cd: bool = False) -> tuple[DNSLookup, DNSLookup]:
    """One lookup: as it stood with the first answer, and as it was recorded."""
    trace = here.trace()
    first = await dns_probe.lookup(trace, name, kind, resolver="test", server=RESOLVER, hop=2, checking_disabled=cd)
    await trace.settle()
    (recorded,) = trace.operations
    assert isinstance(recorded, DNSLookup)
    return first, recorded


def answers(answer: Answer, kind: str = "A", *, hasty: bool = False, hops: int = 64, cd: bool = False) -> DNSLookup:
    """What is recorded where the nameserver answers so."""

    async def run() -> DNSLookup:
        async with place() as here:
            here.limits = HASTY if hasty else here.limits
            await here.resolve(answer, hops=hops)
            return (await ask(here, kind, cd=cd))[1]

    return asyncio.run(run())


def test_one_answer_with_all_that_is_kept_of_it() -> None:
    found = answers(lambda asked: [records(asked, "A", SITE, OTHER)], hops=51)
    assert (found.engine, found.resolver, found.server) == ("udp", "test", "192.0.2.53 53")
    assert (found.name, found.query_type, found.hop, found.failure) == (NAME, "A", 2, None)
    assert set(found.addresses()) == {SITE, OTHER}
    (response,) = found.responses
    assert set(response.records) == {Record("A", SITE, 60), Record("A", OTHER, 60)}
    assert (response.hops, response.rcode, response.malformed) == (51, 0, False)
    assert response.flags & dns.flags.QR
    assert 0 <= response.at <= found.finished - found.started < 5


def test_the_answers_behind_the_first_are_heard_and_timed() -> None:
    async def run() -> None:
        async with place() as here:
            await here.resolve(
                lambda q: [records(q, "A", OTHER), 0.06, records(q, "A", SITE), records(q, "A", "10.0.0.1", rcode=3)]
            )
            first, recorded = await ask(here)
        assert [r.addresses() for r in first.responses] == [(OTHER,)]
        assert [r.addresses() for r in recorded.responses] == [(OTHER,), (SITE,), ("10.0.0.1",)]
        assert [r.rcode for r in recorded.responses] == [0, 0, 3]
        assert 0.05 < recorded.responses[1].at - recorded.responses[0].at < 0.14
        assert recorded.addresses() == (OTHER,)
        assert recorded.failure is None
        assert (recorded.started, recorded.finished) == (first.started, first.finished)

    asyncio.run(run())


def test_the_kernel_says_when_an_answer_came_however_late_it_is_read() -> None:
    async def run() -> None:
        async with place() as here:
            await here.resolve(lambda q: [records(q, "A", SITE), records(q, "A", OTHER)])
            trace = here.trace()
            await dns_probe.lookup(trace, NAME, "A", resolver="test", server=RESOLVER)
            time.sleep(0.3)  # noqa: ASYNC251 - the loop is kept busy
            trace.close()
            (found,) = trace.operations
            assert isinstance(found, DNSLookup)
            assert len(found.responses) == 2
            assert found.responses[1].at < 0.2

    asyncio.run(run())


def other_id(asked: dns.message.Message) -> bytes:
    wire = bytearray(records(asked, "A", OTHER))
    wire[0] ^= 0xFF
    return bytes(wire)


def other_question(asked: dns.message.Message) -> bytes:
    other = dns.message.make_query("other.example", "A", id=asked.id)
    return records(other, "A", OTHER)


def no_question(asked: dns.message.Message) -> bytes:
    answer = dns.message.make_response(asked)
    answer.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", "A", SITE))
    answer.question.clear()
    return answer.to_wire()


@pytest.mark.parametrize("stray", [other_id, other_question, lambda _q: b"short", lambda _q: b""])
def test_what_answers_something_else_is_passed_over(stray: Callable[[dns.message.Message], bytes]) -> None:
    found = answers(lambda asked: [stray(asked), records(asked, "A", SITE), stray(asked)])
    assert [r.addresses() for r in found.responses] == [(SITE,)]
    assert found.failure is None
    assert answers(lambda asked: [stray(asked)], hasty=True).failure == "generic_timeout_error"


def test_an_answer_without_the_question_counts() -> None:
    assert answers(lambda asked: [no_question(asked)]).addresses() == (SITE,)


def test_a_malformed_answer_is_kept_as_such() -> None:
    found = answers(lambda asked: [records(asked, "A", SITE)[:-7], records(asked, "A", SITE)])
    assert [r.malformed for r in found.responses] == [True, False]
    assert found.failure == "dns_server_misbehaving"
    assert found.responses[0].hops == 64
    assert found.responses[0].flags & dns.flags.QR


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [(0, "dns_no_answer"), (2, "dns_servfail_error"), (3, "dns_nxdomain_error"), (5, "dns_refused_error"), (4, "dns_server_misbehaving")],
)  # fmt: skip
def test_response_codes(rcode: int, failure: str) -> None:
    assert answers(lambda asked: [records(asked, "AAAA", SIX, rcode=rcode)]).failure == failure


def test_a_flood_is_bounded() -> None:
    async def run() -> None:
        async with place() as here:
            await here.resolve(lambda q: [records(q, "A", f"93.184.216.{n}") for n in range(60)])
            first, recorded = await ask(here)
        assert len(first.responses) <= 16
        assert [r.addresses()[0] for r in recorded.responses] == [f"93.184.216.{n}" for n in range(16)]

    asyncio.run(run())


def test_the_records_of_one_answer_are_bounded() -> None:
    many = [f"93.184.{n // 200}.{n % 200}" for n in range(100)]
    assert len(answers(lambda q: [records(q, "A", *many)]).addresses()) == 64


def test_silence_and_a_closed_port() -> None:
    async def run() -> None:
        async with place() as here:
            here.limits = HASTY
            assert (await ask(here))[1].failure == "connection_refused"  # by ICMP
            await here.resolve(lambda _asked: [])
            silent, recorded = await ask(here)
            assert recorded is not None
            assert silent.failure == "generic_timeout_error"
            assert 0.25 < silent.finished - silent.started < 2
            assert silent.responses == ()
            assert silent.addresses() == ()

    asyncio.run(run())


def test_an_icmp_error_after_the_answer_changes_nothing() -> None:
    async def run() -> None:
        async with place() as here:
            server = await here.resolve(lambda q: [records(q, "A", SITE)])
            trace = here.trace()
            await dns_probe.lookup(trace, NAME, "A", resolver="test", server=RESOLVER)
            (_finish, now) = trace._ears[0]
            server.transport.close()
            await trace.settle()
            assert trace.operations == [now]

    asyncio.run(run())


def test_the_query_is_a_plain_one_and_cd_is_set_where_wanted() -> None:
    async def run() -> None:
        async with place() as here:
            server = await here.resolve(lambda q: [records(q, "A", SITE)])
            assert not (await ask(here))[1].checking_disabled
            assert (await ask(here, cd=True))[1].checking_disabled
            plain, checked = server.queries
            assert plain.flags == dns.flags.RD
            assert checked.flags == dns.flags.RD | dns.flags.CD
            assert (plain.edns, plain.payload) == (0, 1232)
            assert plain.id != checked.id or plain.id == query(NAME, "A").id

    asyncio.run(run())


def test_servfail_is_asked_again_without_dnssec() -> None:
    async def run() -> None:
        def answer(asked: dns.message.Message) -> list[bytes]:
            return [records(asked, "A", SITE, rcode=0 if asked.flags & dns.flags.CD else 2)]

        async with place() as here:
            await here.resolve(answer)
            trace = here.trace()
            found = await resolvers.ask(trace, NAME, "A", resolver="test", server=RESOLVER, hop=0)
            assert found.failure == "dns_servfail_error"
            await trace.settle()
            kept = [op for op in trace.operations if isinstance(op, DNSLookup)]
            assert [(op.checking_disabled, op.failure) for op in kept] == [(False, "dns_servfail_error"), (True, None)]

    asyncio.run(run())


def test_records_of_another_class_or_type_are_left_out() -> None:
    def answer(asked: dns.message.Message) -> list[bytes]:
        made = dns.message.make_response(asked)
        name = asked.question[0].name
        made.answer.append(dns.rrset.from_text(name, 60, "CH", "A", "chaos. 5"))
        made.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", '"text"'))
        made.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "edge.example."))
        return [made.to_wire()]

    found = answers(answer)
    assert found.responses[0].records == (Record("CNAME", "edge.example", 60),)
    assert found.failure == "dns_no_answer"


def test_https_records_and_their_hints() -> None:
    text = f'1 . alpn="h3,h2" ipv4hint={SITE} ipv6hint={SIX}'
    found = answers(lambda asked: [records(asked, "HTTPS", text)], "HTTPS")
    assert found.failure is None
    first, *hints = found.responses[0].records
    assert first.type == "HTTPS"
    assert 'alpn="h3,h2"' in first.value
    assert [hint.value for hint in hints] == list(found.responses[0].hints()) == [SITE, SIX]
    assert found.addresses() == ()
    alias = answers(lambda asked: [records(asked, "HTTPS", "0 svc.example.")], "HTTPS")
    assert alias.responses[0].hints() == ()


def truncated(asked: dns.message.Message) -> list[bytes]:
    answer = dns.message.make_response(asked)
    answer.flags |= dns.flags.TC
    return [answer.to_wire()]


def over_tcp(*pieces: int, length: int | None = None, wire: bytes | None = None) -> Callable[..., Awaitable[None]]:
    """A nameserver over TCP that answers in pieces of those sizes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        answer = records(dns.message.from_wire(await reader.readexactly(size)), "A", SITE) if wire is None else wire
        framed = struct.pack("!H", len(answer) if length is None else length) + answer
        for piece in pieces:
            writer.write(framed[:piece])
            framed = framed[piece:]
            await asyncio.sleep(0.02)
        writer.write(framed)

    return serve


@pytest.mark.parametrize(
    ("serve", "addresses"),
    [
        (over_tcp(), (SITE,)),
        (over_tcp(1, 5), (SITE,)),
        (over_tcp(length=500), ()),  # closes before the end
        (over_tcp(wire=b"nonsense"), ()),
        (says(page()), ()),  # never answers
        (None, ()),  # refuses
    ],
)
def test_a_truncated_answer_is_asked_again_over_tcp(
    serve: Callable[..., Awaitable[None]] | None, addresses: tuple[str, ...]
) -> None:
    async def run() -> None:
        async with place() as here:
            here.limits = HASTY
            await here.resolve(truncated)
            if serve is not None:
                await here.listen(serve, RESOLVER)
            _first, found = await ask(here)
            assert found.addresses() == addresses
            assert found.failure == (None if addresses else "dns_no_answer")
            assert found.engine == "udp"

    asyncio.run(run())


@pytest.mark.parametrize("stage", ["udp", "tcp"])
def test_a_lookup_that_is_cancelled_leaves_no_socket(stage: str) -> None:
    async def run() -> None:
        async with place() as here:
            await here.resolve(truncated if stage == "tcp" else lambda _asked: [])
            await here.listen(says(), RESOLVER)
            trace = here.trace()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await dns_probe.lookup(trace, NAME, "A", resolver="test", server=RESOLVER)
            assert trace.operations == trace.pending() == []

    asyncio.run(run())


def test_getaddrinfo() -> None:
    async def run() -> None:
        async with place() as here:
            here.network.hosts = {NAME: [SITE, SIX]}
            trace = here.trace()
            found = await dns_probe.getaddrinfo(trace, NAME, hop=1)
            assert trace.operations == [found]
            assert (found.engine, found.query_type, found.hop, found.failure) == ("getaddrinfo", "ANY", 1, None)
            assert found.responses[0].records == (Record("A", SITE), Record("AAAA", SIX))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), "dns_nxdomain_error"),
        (socket.gaierror(socket.EAI_NODATA, ""), "dns_no_answer"),
        (socket.gaierror(socket.EAI_AGAIN, ""), "dns_temporary_failure"),
        (socket.gaierror(socket.EAI_FAIL, ""), "dns_non_recoverable_failure"),
        (socket.gaierror(socket.EAI_MEMORY, ""), "dns_server_misbehaving"),
        (TimeoutError(), "generic_timeout_error"),
        (UnicodeError(), "unknown_failure: UnicodeError"),
        (OSError(24, ""), "too_many_open_files"),
    ],
)
def test_getaddrinfo_that_fails(error: Exception, failure: str) -> None:
    async def run() -> None:
        async with place() as here:
            here.network.error = error
            found = await dns_probe.getaddrinfo(here.trace(), NAME)
            assert (found.failure, found.responses) == (failure, ())

    asyncio.run(run())


def test_nobody_waits_for_readability_twice() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"x")
            await dns_probe.readable(ours)
            await dns_probe.readable(ours)
            ours.recv(1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await dns_probe.readable(ours)

    asyncio.run(run())


_ASKED = query("www.good.example", "A")
_RICH = dns.message.make_response(dns.message.from_wire(_ASKED.to_wire()))
for _kind, _value in (
    ("A", SITE),
    ("CNAME", "x.example."),
    ("HTTPS", f'1 . alpn="h3" ipv4hint={SITE}'),
    ("MX", "1 m."),
):
    _RICH.answer.append(dns.rrset.from_text("www.good.example.", 60, "IN", _kind, _value))
_WIRE = _RICH.to_wire()


def _damaged(changes: Iterable[tuple[int, int]], end: int) -> bytes:
    wire = bytearray(_WIRE)
    for at, value in changes:
        wire[2 + at % (len(wire) - 2)] = value
    return bytes(wire[: max(12, end)])


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6), st.integers(0, 600))
def test_no_datagram_upsets_the_reader(changes: list[tuple[int, int]], end: int) -> None:
    found = read(_damaged(changes, end), _ASKED, 0.5, 64)
    assert found is None or (isinstance(found, Response) and found.at == 0.5 and len(found.records) <= 64)


@given(st.binary(max_size=80))
def test_no_bytes_behind_the_id_upset_the_reader(data: bytes) -> None:
    read(_WIRE[:2] + data, _ASKED, 0.0)
    read(data, _ASKED, 0.0)


def test_the_system_resolver_asks_the_next_server_where_one_fails() -> None:
    async def run() -> None:
        async with place() as here:
            here.limits = HASTY
            good = zone(good_example=[SITE])
            refusing, second, third = RESOLVER, ("192.0.2.54", 53), ("192.0.2.55", 53)
            here.network.servers = [refusing, second, third]
            await here.resolve(lambda _q: [], second)
            await here.resolve(good, third)
            trace = here.trace()
            found, missing = await resolvers.ask_system(trace, NAME, ["A", "AAAA"])
            assert found.addresses() == (SITE,)
            assert missing.failure == "dns_no_answer"
            await trace.settle()
            asked = [op.server for op in trace.operations if isinstance(op, DNSLookup) and op.query_type == "A"]
            assert asked == ["192.0.2.53 53", "192.0.2.54 53", "192.0.2.55 53"]
            assert [op.engine for op in trace.operations if isinstance(op, DNSLookup)].count("getaddrinfo") == 1

    asyncio.run(run())


def test_a_missing_name_is_an_answer_and_no_reason_to_ask_the_next_server() -> None:
    async def run() -> None:
        async with place() as here:
            here.network.servers = [RESOLVER, ("192.0.2.54", 53)]
            await here.resolve(zone())
            other = await here.resolve(zone(), ("192.0.2.54", 53))
            with Trace(here.network, limits=HASTY) as trace:
                (found,) = await resolvers.ask_system(trace, NAME, ["A"])
            assert found.failure == "dns_nxdomain_error"
            assert other.queries == []

    asyncio.run(run())

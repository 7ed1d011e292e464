"""The control test helper against real servers on loopback, which a small network shows under public addresses."""

import asyncio
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import __version__
from monitor.collect.helper import Helper
from monitor.collect.helper_protocol import BadRequest, may_dial, parse_request
from monitor.collect.rate_limit import RateLimit, client_key
from probes.certificate import Authorities
from probes.clock import Clock
from probes.network import DirectNetwork
from probes.resolvers import Resolvers
from probes.trace import Limits
from tests.pki import TestAuthority

# One of certifi's own roots has the serial number 0.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

SITE, OTHER, SIX = "93.184.215.14", "93.184.215.15", "2606:2800:21f:cb07::1"
PAGE = b"<title> A  good page </title>" + b"x" * 1000
ZONE: dict[str, list[str] | int] = {
    "good.example": [SITE, SIX],
    "expired.example": [SITE],
    "self.example": [SITE],
    "other.example": [OTHER],
    "reset.example": [SITE],
    "silent.example": [SITE],
    "inside.example": ["10.0.0.1", "127.0.0.1"],
    "empty.example": [],
    "broken.example": dns.rcode.SERVFAIL,
}
LIMITS = Limits(timeout=2.0, dns_timeout=1.0, listen=0.0)


class LoopbackNetwork:
    """Public-looking endpoints that are servers on loopback; what is not mapped refuses, as a real closed port."""

    def __init__(self, closed: int) -> None:
        self.tcp: dict[tuple[str, int], int] = {}
        self.udp: dict[tuple[str, int], int] = {}
        self.dialled: list[tuple[str, int]] = []
        self._closed = closed
        self._direct = DirectNetwork()

    async def connect(self, address: str, port: int) -> socket.socket:
        self.dialled.append((address, port))
        return await self._direct.connect("127.0.0.1", self.tcp.get((address, port), self._closed))

    async def open_udp(self, address: str, port: int) -> socket.socket:
        return await self._direct.open_udp("127.0.0.1", self.udp[address, port])

    async def getaddrinfo(self, name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, name)

    def nameservers(self) -> Sequence[tuple[str, int]]:
        return list(self.udp)


class Nameserver(asyncio.DatagramProtocol):
    """Answers for `ZONE`; a number is a response code, and what is not there does not exist."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        asked = query.question[0]
        found = ZONE.get(asked.name.to_text().removesuffix("."), dns.rcode.NXDOMAIN)
        if isinstance(found, int):
            answer.set_rcode(dns.rcode.Rcode(found))
        else:
            kind = "A" if asked.rdtype == 1 else "AAAA"
            some = [address for address in found if (":" in address) == (kind == "AAAA")]
            if some:
                answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *some))
        self.transport.sendto(answer.to_wire(), addr)


def _page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def _moved(location: str, *headers: str) -> bytes:
    return _page(b"", f"Location: {location}", *headers, status="302 Found")


class Site:
    """A web server; `requests` are the heads that it saw."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            writer.write(self._answer(head.split()[1], head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str, head: str) -> bytes:
        if path == "/chain":
            return _moved("http://other.example/two", "Set-Cookie: a=b; Path=/")
        if path == "/two":
            return _moved("http://good.example/three")
        if path == "/three":
            return _page(b"<title>arrived</title>") if "Cookie: a=b" in head else _moved("/chain")
        if path == "/inside":
            return _moved("http://inside.example/")
        if path == "/here":
            return _moved("http://192.168.1.1/")
        if path == "/circle":
            return _moved("/circle")
        if path == "/huge":
            return _page(b"x" * (600 * 1024))
        return _page(PAGE, 'Alt-Svc: h3=":443"; ma=60, h2=":443"', "X-Odd: one", "X-Odd: two")


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the ClientHello and resets."""
    await reader.read(1024)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    while await reader.read(1024):
        pass
    writer.close()


class World:
    """A helper on loopback, what is around it, and a client that asks it."""

    def __init__(self, folder: Path, stack: AsyncExitStack, network: LoopbackNetwork) -> None:
        self.pki = TestAuthority(folder)
        self.network, self.site, self.clear = network, Site(), Site()
        self._stack = stack
        self.helper: Any = None
        self._session: Any = None

    async def open(self, **options: Any) -> None:
        authorities = Authorities(self.pki.root)
        self.helper = Helper(self.network, authorities, resolvers=Resolvers(), limits=LIMITS, **options)
        await self.helper.start(("127.0.0.1", 0), [("127.0.0.1", 0)])
        self._stack.push_async_callback(self.helper.stop)
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession())

    async def secure(self, pem: Path, at: tuple[str, int] = (SITE, 443)) -> None:
        """A site with TLS and that certificate."""
        self.network.tcp[at] = await self.listen(self.site.serve, ssl=self.pki.server_context(pem))

    async def listen(self, serve: Callable[..., Awaitable[None]], **options: Any) -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
        self._stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def post(self, body: bytes) -> tuple[int, Any]:
        async with self._session.post(f"http://127.0.0.1:{self.helper.port}/", data=body) as response:
            return response.status, await response.json()

    async def ask(self, url: str, *endpoints: str, **headers: list[str]) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = {"http_request": url, "http_request_headers": named, "tcp_connect": list(endpoints)}
        status, reply = await self.post(json.dumps(request).encode())
        assert status == 200, reply
        return reply

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self.helper.port}{path}") as response:
            return response.status, await response.text()


@asynccontextmanager
async def _world(folder: Path, **options: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        closed = stack.enter_context(socket.socket())  # bound and not listening: refuses
        closed.bind(("127.0.0.1", 0))
        network = LoopbackNetwork(closed.getsockname()[1])
        loop = asyncio.get_running_loop()
        transport, _server = await loop.create_datagram_endpoint(Nameserver, ("127.0.0.1", 0))
        stack.callback(transport.close)
        network.udp["192.0.2.53", 53] = transport.get_extra_info("sockname")[1]
        world = World(folder, stack, network)
        for address in (SITE, OTHER):
            network.tcp[address, 80] = await world.listen(world.clear.serve)
        await world.open(**options)
        yield world


def _play(folder: Path, scene: Callable[[World], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with _world(folder, **options) as world:
            return await scene(world)

    return asyncio.run(run())


def test_a_good_site_over_tls(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        await world.secure(world.pki.issue("good.example"))
        reply = await world.ask(
            "https://good.example/", f"{SITE}:443", f"{OTHER}:443", User_Agent=["Odd/1.0"], X_Secret=["1"]
        )
        return reply, world.site.requests[-1], world.helper.neutral_endpoints

    reply, head, neutral = _play(tmp_path, scene)
    refused = {"status": False, "failure": "connection_refused_error"}
    assert list(reply) == [
        "tcp_connect", "tls_handshake", "quic_handshake", "http_request", "http3_request", "dns", "ip_info",
        "x_wallwatch",
    ]  # fmt: skip
    assert reply["tcp_connect"] == {
        f"{SITE}:443": {"status": True, "failure": None},
        f"{OTHER}:443": refused,
        f"[{SIX}]:443": refused,
    }
    assert reply["tls_handshake"] == {
        f"{SITE}:443": {"server_name": "good.example", "status": True, "failure": None}
    }
    assert (reply["quic_handshake"], reply["http3_request"]) == ({}, None)
    assert reply["dns"] == {"failure": None, "addrs": [SITE, SIX]}
    assert reply["ip_info"] == {
        SITE: {"asn": 0, "flags": 1 | 2 | 8},
        OTHER: {"asn": 0, "flags": 1},
        SIX: {"asn": 0, "flags": 2},
    }
    page, ours = reply["http_request"], reply["x_wallwatch"]
    assert (page["failure"], page["status_code"], page["title"]) == (None, 200, "A good page")
    assert (page["body_length"], page["discovered_h3_endpoint"]) == (len(PAGE), "good.example:443")
    assert page["headers"]["X-Odd"] == "one"
    assert ours["version"] == __version__
    assert (ours["body_bytes"], ours["body_sha256"]) == (len(PAGE), hashlib.sha256(PAGE).hexdigest())
    assert 0 < ours["ttfb_seconds"] < 2 and 0 <= ours["body_seconds"] < 2
    assert (ours["neutral"], ours["silent"]) == (neutral, "")
    assert "User-Agent: Odd/1.0\r\n" in head and "X-Secret" not in head and head.count("User-Agent") == 1


def test_a_site_over_plain_http_is_dialled_at_both_ports(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        await world.secure(world.pki.issue("elsewhere.example"))
        return await world.ask("http://good.example/huge", f"{OTHER}:80")

    reply = _play(tmp_path, scene)
    assert set(reply["tcp_connect"]) == {
        f"{host}:{port}" for host in (SITE, OTHER, f"[{SIX}]") for port in (80, 443)
    }
    assert reply["tls_handshake"] == {
        f"{SITE}:443": {"server_name": "good.example", "status": False, "failure": "ssl_invalid_hostname"}
    }
    assert reply["http_request"]["status_code"] == 200
    assert reply["http_request"]["body_length"] == LIMITS.body_bytes
    assert reply["x_wallwatch"]["body_cut"] == "limit"
    assert reply["ip_info"][SITE]["flags"] == 2


@pytest.mark.parametrize(
    ("host", "failure", "page"),
    [
        ("missing.example", "dns_name_error", "dns_lookup_error"),
        ("empty.example", None, "dns_lookup_error"),
        ("broken.example", "dns_server_failure", "dns_lookup_error"),
    ],
)
def test_a_name_that_leads_nowhere(tmp_path: Path, host: str, failure: str | None, page: str) -> None:
    reply = _play(tmp_path, lambda world: world.ask(f"https://{host}/", f"{SITE}:80"))
    assert reply["dns"] == {"failure": failure, "addrs": []}
    assert reply["http_request"] == {
        "body_length": -1, "discovered_h3_endpoint": "", "failure": page, "title": "", "headers": {},
        "status_code": -1,
    }  # fmt: skip
    assert reply["tcp_connect"][f"{SITE}:80"] == {"status": True, "failure": None}
    assert (reply["x_wallwatch"]["ttfb_seconds"], reply["x_wallwatch"]["body_bytes"]) == (None, 0)


def test_refused_reset_and_silent(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        refused = await world.ask("https://good.example/")
        world.network.tcp[SITE, 443] = await world.listen(_reset)
        reset = await world.ask("https://reset.example/")
        world.network.tcp[SITE, 443] = await world.listen(_silent)
        return refused, reset, await world.ask("https://silent.example/")

    refused, reset, silent = _play(tmp_path, scene)
    assert refused["http_request"]["failure"] == "connection_refused_error"
    assert refused["tls_handshake"] == {}
    assert reset["tcp_connect"][f"{SITE}:443"]["status"]
    assert reset["tls_handshake"][f"{SITE}:443"]["failure"] == "connection_reset"
    assert reset["http_request"]["failure"] == "unknown_error"
    assert silent["tls_handshake"][f"{SITE}:443"]["failure"] == "generic_timeout_error"
    assert silent["http_request"]["failure"] == "generic_timeout_error"


@pytest.mark.parametrize(
    ("kind", "failure"), [("expired", "ssl_invalid_certificate"), ("self_signed", "ssl_unknown_authority")]
)
def test_a_bad_certificate_is_a_failure_of_tls(tmp_path: Path, kind: str, failure: str) -> None:
    async def scene(world: World) -> Any:
        await world.secure(getattr(world.pki, kind)("good.example"))
        return await world.ask("https://good.example/"), world.site.requests

    reply, requests = _play(tmp_path, scene)
    found = {"server_name": "good.example", "status": False, "failure": failure}
    assert reply["tls_handshake"] == {f"{SITE}:443": found}
    assert reply["http_request"]["failure"] == "unknown_error"
    assert reply["ip_info"][SITE]["flags"] == 2
    assert requests == []


def test_redirects_are_followed_with_cookies(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        return await world.ask("http://good.example/chain"), await world.ask("http://good.example/circle")

    chain, circle = _play(tmp_path, scene)
    assert chain["http_request"]["title"] == "arrived"
    assert chain["dns"]["addrs"] == [SITE, SIX]
    assert circle["http_request"]["failure"] == "unknown_error"
    assert circle["http_request"]["status_code"] == -1


@pytest.mark.parametrize(
    "url",
    ["http://inside.example/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::a00:1]/",
     "http://good.example/inside", "http://good.example/here"],
)  # fmt: skip
def test_private_addresses_are_never_dialled(tmp_path: Path, url: str) -> None:
    async def scene(world: World) -> Any:
        return await world.ask(url, "192.168.0.1:80", "127.0.0.1:80", "[::1]:443"), world.network.dialled

    reply, dialled = _play(tmp_path, scene)
    assert {address for address, _port in dialled} <= {SITE, SIX}
    assert not {"192.168.0.1:80", "127.0.0.1:80", "[::1]:443"} & set(reply["tcp_connect"])
    assert reply["ip_info"]["192.168.0.1"]["flags"] == 1 | 4
    assert reply["http_request"]["failure"] == "unknown_error"


def test_private_addresses_are_dialled_where_that_is_allowed(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        world.network.tcp["10.0.0.1", 80] = world.network.tcp[SITE, 80]
        return await world.ask("http://inside.example/")

    reply = _play(tmp_path, scene, allow_private=True)
    assert reply["http_request"]["status_code"] == 200
    assert set(reply["tcp_connect"]) == {"10.0.0.1:80", "10.0.0.1:443"}
    assert reply["ip_info"]["127.0.0.1"]["flags"] == 2 | 4


def test_the_client_s_spelling_of_an_endpoint_comes_back(tmp_path: Path) -> None:
    text = "[2606:2800:021F:CB07:0::1]:443"
    reply = _play(tmp_path, lambda world: world.ask("https://good.example/", text))
    assert set(reply["tcp_connect"]) == {text, f"{SITE}:443"}
    assert reply["ip_info"][SIX]["flags"] == 1 | 2


def test_who_asks_too_often_has_to_wait(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        url = f"http://127.0.0.1:{world.helper.port}/"
        body = json.dumps({"http_request": "https://missing.example/"}).encode()
        async with aiohttp.ClientSession() as session:
            answers = [await session.post(url, data=body) for _ in range(4)]
            return [(a.status, a.headers.get("Retry-After"), await a.json()) for a in answers]

    answers = _play(tmp_path, scene, rate=0.1, burst=2)
    assert [status for status, _wait, _text in answers] == [200, 200, 429, 429]
    assert answers[2][1] == "10"
    assert answers[2][2] == {"error": "too many requests"}


def test_too_many_at_once_are_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.collect.helper.MAX_REQUESTS", 2)
    body = json.dumps({"http_request": "https://silent.example/"}).encode()

    async def scene(world: World) -> Any:
        world.network.tcp[SITE, 443] = await world.listen(_silent)
        return await asyncio.gather(*(world.post(body) for _ in range(4)))

    assert sorted(status for status, _reply in _play(tmp_path, scene)) == [200, 200, 503, 503]


def test_the_other_pages(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        return [await world.get(path) for path in ("/", "/generate_204", "/healthz", "/nowhere")]

    about, empty, healthy, nowhere = _play(tmp_path, scene)
    assert about[0] == 200 and __version__ in about[1] and "control test helper" in about[1]
    assert (empty, healthy, nowhere[0]) == ((204, ""), (200, "ok\n"), 404)


def test_the_neutral_listeners_are_announced_where_clients_reach_them(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        return (await world.ask("https://missing.example/"))["x_wallwatch"]

    ours = _play(tmp_path, scene, public="203.0.113.7", silent="203.0.113.8")
    (listener,) = ours["neutral"]
    assert (listener["address"], listener["protocol"], ours["silent"]) == ("203.0.113.7", "tcp", "203.0.113.8")
    assert 0 < listener["port"] < 65536


BAD = [
    b"", b"{", b"[]", b"null", b"\xff", b"[" * 60_000, b'{"http_request": 1}', b'{"http_request": "\\ud800"}',
    b'{"http_request": "ftp://a/"}', b'{"http_request": "http://a/", "tcp_connect": ["a:80"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["1.2.3.4"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["1.2.3.4:0"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["1.2.3.4:99999"]}',
    b'{"http_request": "http://a/", "tcp_connect": ["[fe80::1%1]:80"]}',
    b'{"http_request": "http://a/", "http_request_headers": {"accept": ["a\\r\\nb: c"]}}',
    json.dumps({"http_request": "http://a/", "tcp_connect": ["1.2.3.4:80"] * 21}).encode(),
]  # fmt: skip


def test_bad_requests_are_refused_with_a_reason(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        answers = [await world.post(body) for body in BAD]
        return answers, await world.post(b" " * 70_000)

    answers, long = _play(tmp_path, scene)
    assert [status for status, _reply in answers] == [400] * len(BAD)
    assert all(list(reply) == ["error"] and reply["error"].isprintable() for _status, reply in answers)
    assert long[0] == 413


def test_go_s_nulls_and_unknown_keys_are_taken() -> None:
    request = parse_request(
        b'{"http_request": "http://a.example/", "http_request_headers": null, "tcp_connect": null, "more": {}}'
    )
    assert (str(request.url), request.endpoints, request.headers) == ("http://a.example/", (), {})


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(
    ["http://a.example/", "https://[::1]/", "1.2.3.4:80", "[::1]:443", "[::]:1", "User-Agent", "a\r\nb", "\ud800"]
)  # fmt: skip
ANYTHING = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner))
ENDPOINT = st.text("0123456789abcdef.:[]%", max_size=30)
BODY = st.fixed_dictionaries(
    {"http_request": ANYTHING | st.just("http://a.example/")},
    optional={
        "http_request_headers": ANYTHING
        | st.dictionaries(st.sampled_from(["Accept", "user-agent", "x"]), st.lists(st.text())),
        "tcp_connect": ANYTHING | st.lists(ENDPOINT),
        "x_quic_enabled": ANYTHING,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(BODY, ANYTHING).map(lambda value: json.dumps(value).encode()) | st.binary())
def test_no_body_upsets_the_parser(body: bytes) -> None:
    try:
        request = parse_request(body)
    except BadRequest as refusal:
        assert str(refusal).isprintable()
    else:
        assert all(0 < port < 65536 for _address, port, _text in request.endpoints)
        assert all(value.isascii() and value.isprintable() for value in request.headers.values())


def test_what_may_be_dialled() -> None:
    assert may_dial(SITE, allow_private=False) and may_dial("10.0.0.1", allow_private=True)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        assert not may_dial(address, allow_private=True)
    for address in ("10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "fd00::1", "0.0.0.0"):
        assert not may_dial(address, allow_private=False)


class _Stopped(Clock):
    time = 0.0

    def monotonic(self) -> float:
        return self.time


def test_a_bucket_refills_and_clients_do_not_share_it() -> None:
    clock = _Stopped()
    limit = RateLimit(2.0, 3, clock)
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.take("b") == 0.0
    clock.time = 0.5
    assert limit.take("a") == 0.0
    assert limit.take("a") == 0.5
    clock.time = 1000.0
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_who_is_one_client() -> None:
    assert client_key("192.0.2.1") == client_key("::ffff:192.0.2.1") != client_key("192.0.2.2")
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff%eth0") != client_key("2001:db8:0:1::1")
    assert isinstance(client_key(None), str)

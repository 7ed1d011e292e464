"""The same connections through every network: direct, a real SOCKS5 server, a real HTTP proxy; and proxies that fail."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from probes import tcp
from probes.capability import ADDRESSES, CLOSE_REASONS, PACKETS, QUIC, SYSTEM_DNS, UDP
from probes.failure import EOF, PROXY, PROXY_FAILED, PROXY_REFUSES, REFUSED, RESET, TIMEOUT, of
from probes.network import DirectNetwork, Network
from probes.proxy import ProxyNetwork
from probes.trace import Limits, Trace

from .loopback import abort
from .proxies import HTTP, SOCKS5, free_port, proxy

KINDS = ("direct", SOCKS5, HTTP)
HOSTS = {"good.example": "127.0.0.1"}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def network(kind: str, folder: Path) -> AsyncIterator[Network]:
    if kind == "direct":
        yield DirectNetwork()
        return
    async with proxy(kind, folder, hosts=HOSTS) as running:
        yield ProxyNetwork(running.url)


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield int(listening.sockets[0].getsockname()[1])
    finally:
        listening.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await abort(writer)


async def closes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)


async def failure(there: Network, address: str, port: int, *, within: float = 5.0) -> str | None:
    """How one connect ends; None: it passes."""
    try:
        async with asyncio.timeout(within):
            (await there.connect(address, port)).close()
    except (OSError, TimeoutError) as error:
        return of(error)
    return None


async def said(sock: socket.socket, data: bytes) -> str:
    """What comes back to some bytes, or how that fails."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5):
            await loop.sock_sendall(sock, data)
            return (await loop.sock_recv(sock, 1024)).decode() or EOF
    except OSError as error:
        return of(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_carries_bytes_and_never_blocks(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with network(kind, tmp_path) as there, server(echo) as port:
            with await there.connect("127.0.0.1", port) as sock:
                assert not sock.getblocking()
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert await said(sock, b"hello") == "hello"
                assert await said(sock, b"again") == "again"

    asyncio.run(run())


@pytest.mark.parametrize(("kind", "expected"), [("direct", REFUSED), (SOCKS5, REFUSED), (HTTP, PROXY_FAILED)])
def test_a_closed_port(kind: str, expected: str, tmp_path: Path) -> None:
    """An HTTP proxy does not say why: then it is no evidence of a refusal."""

    async def run() -> None:
        async with network(kind, tmp_path) as there:
            assert await failure(there, "127.0.0.1", free_port()) == expected

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_a_connect_that_nobody_answers_ends_with_the_callers_time(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with network(kind, tmp_path) as there:
            with socket.socket() as full, socket.socket() as first:
                full.bind(("127.0.0.1", 0))
                full.listen(0)
                first.connect(full.getsockname())  # fills the queue: the kernel drops every further SYN
                assert await failure(there, *full.getsockname(), within=0.5) == TIMEOUT

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("serve", "exact"), [(resets, RESET), (closes, EOF)])
def test_an_end_after_the_first_bytes(kind: str, serve: Serve, exact: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with network(kind, tmp_path) as there, server(serve) as port:
            with await there.connect("127.0.0.1", port) as sock:
                ended = await said(sock, b"hello")
            assert ended in ({exact} if CLOSE_REASONS not in there.blind else {RESET, EOF})

    asyncio.run(run())


@pytest.mark.parametrize("kind", [SOCKS5, HTTP])
def test_names_are_resolved_at_the_far_side(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with network(kind, tmp_path) as there, server(echo) as port:
            with await there.connect("good.example", port) as sock:
                assert await said(sock, b"hello") == "hello"
            assert await failure(there, "nobody.example", port) == PROXY_FAILED
            with Trace(there) as trace:
                stream = await tcp.connect(trace, "good.example", port)
                assert stream is not None
                stream.close()
            step = trace.operations[0]
            assert isinstance(step, tcp.TCPConnect)
            assert (step.address, step.failure) == ("good.example", None)

    asyncio.run(run())


@pytest.mark.parametrize("kind", [SOCKS5, HTTP])
def test_the_password_decides_whether_it_lets_us_in(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with proxy(kind, tmp_path, user="some-one", password="s3cret") as running, server(echo) as port:
            assert await failure(ProxyNetwork(running.url), "127.0.0.1", port) is None
            wrong = running.url.replace("s3cret", "guess")
            assert await failure(ProxyNetwork(wrong), "127.0.0.1", port) == PROXY
            nobody = running.url.replace("some-one:s3cret@", "")
            assert await failure(ProxyNetwork(nobody), "127.0.0.1", port) == PROXY

    asyncio.run(run())


@pytest.mark.parametrize("kind", [SOCKS5, HTTP])
def test_a_proxy_that_is_gone_is_never_the_targets_refusal(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with proxy(kind, tmp_path) as running, server(echo) as port:
            there = ProxyNetwork(running.url)
            assert await failure(there, "127.0.0.1", port) is None
            await running.stop()
            assert await failure(there, "127.0.0.1", port) == PROXY

    asyncio.run(run())


def test_the_proxy_is_reached_from_the_source_and_by_its_name() -> None:
    seen: list[str] = []

    async def lets_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await speaks(b"\5\0", b"\5\0\0\1\0\0\0\0\0\0")(reader, writer)

    async def run() -> None:
        async with server(lets_in) as port:
            there = ProxyNetwork(f"socks5://localhost:{port}", source="127.0.0.2")
            assert await failure(there, "good.example", 443) is None

    asyncio.run(run())
    assert seen == ["127.0.0.2"]


def speaks(*parts: bytes, then: float = 0.0) -> Serve:
    """A proxy that says one part after each thing that it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if not await reader.read(1024):
                return
            writer.write(part)
            await writer.drain()
        await asyncio.sleep(then)

    return serve


async def through(scheme: str, *parts: bytes, within: float = 5.0, then: float = 0.0, user: str = "") -> str | None:
    async with server(speaks(*parts, then=then)) as port:
        there = ProxyNetwork(f"{scheme}://{user}127.0.0.1:{port}", patience=0.3)
        return await failure(there, "good.example", 443, within=within)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (1, PROXY_FAILED), (2, PROXY_REFUSES), (3, "network_unreachable"), (4, "host_unreachable"), (5, REFUSED),
        (6, TIMEOUT), (7, PROXY), (8, "address_family_not_supported"), (9, PROXY), (255, PROXY),
    ],
)  # fmt: skip
def test_each_reply_of_socks5(reply: int, expected: str) -> None:
    told = bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0])
    assert asyncio.run(through("socks5", b"\5\0", told)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None), (204, None), (403, PROXY_REFUSES), (405, PROXY_REFUSES), (401, PROXY), (407, PROXY), (500, PROXY_FAILED),
        (502, PROXY_FAILED), (503, PROXY_FAILED), (504, TIMEOUT), (302, PROXY_FAILED),
    ],
)  # fmt: skip
def test_each_status_of_connect(status: int, expected: str | None) -> None:
    told = f"HTTP/1.1 {status} So\r\nServer: some\r\n\r\n".encode()
    assert asyncio.run(through("http", told)) == expected


@pytest.mark.parametrize(
    ("scheme", "parts"),
    [
        ("socks5", ()),  # closes at once
        ("socks5", (b"",)),  # says nothing
        ("socks5", (b"\5",)),  # half of a choice
        ("socks5", (b"\5\xff",)),  # no way in
        ("socks5", (b"\5\2",)),  # a password that nobody gave
        ("socks5", (b"\4\0",)),
        ("socks5", (b"HTTP/1.1 400 Bad\r\n\r\n",)),
        ("socks5", (b"\5\0", b"\5\0\0\7")),
        ("socks5", (b"\5\0", b"\5\0\0\3\2\xff\xff\0\0")),  # a bound name that is no text
        ("http", ()),
        ("http", (b"\5\0",)),
        ("http", (b"HTTP/1.1 200 OK\r\n\r\nand more",)),  # nobody speaks before us
        ("http", (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000,)),
    ],
)
def test_a_proxy_that_makes_no_sense(scheme: str, parts: tuple[bytes, ...]) -> None:
    assert asyncio.run(through(scheme, *parts)) == PROXY


@pytest.mark.parametrize(
    ("scheme", "user", "parts", "expected"),
    [
        ("socks5", "", (b"",), PROXY),  # never chooses how to let us in
        ("socks5", "one:two@", (b"\5\2", b""), PROXY),  # never says whether the password is right
        ("socks5", "one:two@", (b"\5\2", b"\1\0", b""), TIMEOUT),
        ("socks5", "one:two@", (b"\5\0", b""), TIMEOUT),  # wants no password
        ("socks5", "", (b"\5\0", b""), TIMEOUT),  # from here on it waits for the target
        ("http", "", (b"",), TIMEOUT),
    ],
)
def test_whose_silence_it_is(scheme: str, user: str, parts: tuple[bytes, ...], expected: str) -> None:
    assert asyncio.run(through(scheme, *parts, within=0.8, then=5.0, user=user)) == expected


def test_a_head_in_pieces_leaves_nothing_to_the_target() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n")
        for piece in (b"HTTP/1.1 2", b"00 Fine\r\nX: y", b"\r\n", b"\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        await echo(reader, writer)

    async def run() -> None:
        async with server(in_pieces) as port:
            with await ProxyNetwork(f"http://127.0.0.1:{port}").connect("2001:db8::1", 443) as sock:
                assert await said(sock, b"hello") == "hello"

    asyncio.run(run())


def test_what_cannot_be_seen_through_it() -> None:
    there = ProxyNetwork("socks5://127.0.0.1:1080")
    assert there.blind == {SYSTEM_DNS, UDP, QUIC, CLOSE_REASONS, PACKETS, ADDRESSES}
    assert tuple(there.nameservers()) == ()
    assert there.capture() is None
    for refused in (there.open_udp("192.0.2.1", 53), there.getaddrinfo("good.example")):
        with pytest.raises(OSError) as caught:
            asyncio.run(refused)
        assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize("text", ["", "socks4://127.0.0.1:1", "socks5://127.0.0.1", "http://:8080", "https://a:1"])
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="a proxy is"):
        ProxyNetwork(text)


def test_a_cancelled_connect_leaves_no_socket() -> None:
    """`filterwarnings = error` would tell."""

    async def run() -> None:
        for scheme in ("socks5", "http"):
            async with server(speaks(b"", then=5.0)) as port:
                there = ProxyNetwork(f"{scheme}://127.0.0.1:{port}")
                with Trace(there, limits=Limits(timeout=0.2)) as trace:
                    assert await tcp.connect(trace, "good.example", 443) is None
                assert trace.operations[0].failure == TIMEOUT  # shorter than the proxy's own time

    asyncio.run(run())



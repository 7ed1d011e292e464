"""The neutral listeners: any name, TLS or plain, a gentle end, and bounds on what one client can take."""

import asyncio
import socket
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable

import pytest

from monitor.collect.neutral import MAX_READ, Neutral
from monitor.collect.neutral_page import MAX_BYTES, MAX_TRANSFERS

Client = Callable[[int], Awaitable[bytes]]
REQUEST = b"GET / HTTP/1.1\r\nHost: forbidden.example\r\n\r\n"


def _ask(client: Client, *, deadline: float = 10.0) -> bytes:
    async def run() -> bytes:
        neutral = Neutral(deadline=deadline)
        await neutral.start([("127.0.0.1", 0)])
        try:
            async with asyncio.timeout(8):
                return await client(neutral.bound[0][1])
        finally:
            await neutral.stop()

    return asyncio.run(run())


async def _exchange(port: int, data: bytes, **options: object) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)  # type: ignore[arg-type]
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def _trusting(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["forbidden.example", "xn--ls8h.la", "a.b.c.d.invalid"])
def test_tls_completes_for_any_name(name: str, version: ssl.TLSVersion) -> None:
    page = _ask(lambda port: _exchange(port, REQUEST, ssl=_trusting(version), server_hostname=name))
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"neutral" in page


def test_plain_http_gets_the_same_page() -> None:
    page = _ask(lambda port: _exchange(port, REQUEST))
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"neutral" in page


def test_a_body_that_nobody_asked_for_brings_no_reset() -> None:
    request = REQUEST.replace(b"GET", b"POST") + b"x" * 30_000
    assert _ask(lambda port: _exchange(port, request)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("first", [REQUEST, b"\x16\x03\x01\x00\x05nonsense"])
def test_what_still_comes_after_the_answer_brings_no_reset(first: bytes) -> None:
    async def client(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(first)
            answer = await reader.read()
            for _ in range(3):
                writer.write(b"late")
                await asyncio.sleep(0.02)
            assert writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert not writer.is_closing()
            return answer
        finally:
            writer.close()

    assert _ask(client)


def test_nonsense_that_begins_like_tls_ends_with_an_alert_and_no_reset() -> None:
    assert _ask(lambda port: _exchange(port, b"\x16\x03\x01\x00\x05nonsense")).startswith(b"\x15\x03")


def test_who_sends_too_much_is_cut_off() -> None:
    async def client(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _ in range(2 * MAX_READ // 1024):
                writer.write(b"x" * 1024)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()

    assert _ask(client) == b""


def test_who_says_nothing_is_cut_off_at_the_deadline() -> None:
    assert _ask(lambda port: _exchange(port, b""), deadline=0.2) == b""
    assert _ask(lambda port: _exchange(port, REQUEST[:-2]), deadline=0.2) == b""


def test_who_leaves_at_once_disturbs_nobody() -> None:
    async def client(port: int) -> bytes:
        for rude in (False, True):
            gone = socket.create_connection(("127.0.0.1", port))
            if rude:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        return await _exchange(port, REQUEST)

    assert _ask(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_stopping_cuts_who_is_still_there() -> None:
    async def run() -> bytes:
        neutral = Neutral()
        await neutral.start([("127.0.0.1", 0), ("127.0.0.1", 0)])
        assert len({port for _host, port in neutral.bound}) == 2
        reader, writer = await asyncio.open_connection("127.0.0.1", neutral.bound[1][1])
        await asyncio.sleep(0.05)
        await neutral.stop()
        try:
            return await reader.read()
        finally:
            writer.close()

    assert asyncio.run(run()) == b""


def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            neutral = Neutral()
            with pytest.raises(OSError):
                await neutral.start([("127.0.0.1", 0), ("127.0.0.1", taken.getsockname()[1])])
            assert neutral.bound == []

    asyncio.run(run())


def _asking(length: object, method: str = "GET") -> bytes:
    return f"{method} /bytes/{length} HTTP/1.1\r\nHost: forbidden.example\r\n\r\n".encode()


def _parts(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("options", [{}, {"ssl": True}])
@pytest.mark.parametrize("length", [1, 16_384, 262_144, MAX_BYTES])
def test_as_many_bytes_as_were_asked_for(length: int, options: dict[str, bool]) -> None:
    more = {"ssl": _trusting(), "server_hostname": "a.example"} if options else {}
    head, body = _parts(_ask(lambda port: _exchange(port, _asking(length), **more)))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {length}".encode() in head and b"Cache-Control: no-store" in head
    assert len(body) == length
    assert len(zlib.compress(body, 9)) >= length


def test_nothing_is_nothing() -> None:
    head, body = _parts(_ask(lambda port: _exchange(port, _asking(0))))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 0" in head and body == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_asking(MAX_BYTES + 1), b"404"), (_asking(9_999_999), b"404"), (_asking(10**9), b"200"),
        (_asking(-1), b"200"), (_asking("1x"), b"200"), (_asking("\u0661"), b"200"), (_asking(5, "POST"), b"200"),
        (_asking("5?x"), b"200"), (_asking("5/"), b"200"), (b"GET http://a/bytes/5 HTTP/1.1\r\n\r\n", b"200"),
    ],
)  # fmt: skip
def test_other_requests_get_the_small_page(request_: bytes, status: bytes) -> None:
    head, body = _parts(_ask(lambda port: _exchange(port, request_)))
    assert head.split()[1] == status
    assert b"neutral" in body and len(body) < 100


def test_a_slow_client_gets_all_of_it_after_the_deadline_of_a_page() -> None:
    async def client(port: int) -> bytes:
        loop, got = asyncio.get_running_loop(), b""
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, _asking(262_144))
            while data := await loop.sock_recv(sock, 4096):
                got += data
                await asyncio.sleep(0.01)
        return got

    assert len(_parts(_ask(client, deadline=0.3))[1]) == 262_144


def test_so_many_transfers_at_once_and_then_again() -> None:
    async def client(port: int) -> bytes:
        loop = asyncio.get_running_loop()
        slow = [socket.socket() for _ in range(MAX_TRANSFERS)]
        for sock in slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, _asking(MAX_BYTES))
        await asyncio.sleep(0.2)
        busy = await _exchange(port, _asking(1000))
        page = await _exchange(port, REQUEST)
        for sock in slow:
            sock.close()
        await asyncio.sleep(0.3)
        return b"|".join((busy[:12], page[:12], (await _exchange(port, _asking(1000)))[:12]))

    assert _ask(client) == b"HTTP/1.1 503|HTTP/1.1 200|HTTP/1.1 200"

"""The neutral listeners: any name, TLS or plain, a gentle end, and bounds on what one client can take."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

import pytest

from monitor.collect.neutral import MAX_READ, Neutral

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

"""A TCP connect, and the addresses that are never dialled."""

import asyncio
import socket

import pytest

from probes import tcp
from probes.network import DirectNetwork
from probes.tcp import TCPConnect
from probes.trace import Limits, Trace

from .loopback import SITE, abort, place, silent


def test_a_connect_and_its_stream() -> None:
    async def run() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(5))

        async with place() as here:
            await here.listen(echo)
            trace = here.trace()
            stream = await tcp.connect(trace, SITE, 80, hop=3)
            assert stream is not None
            (found,) = trace.operations
            assert isinstance(found, TCPConnect)
            assert (found.address, found.port, found.flow, found.hop, found.failure) == (SITE, 80, 1, 3, None)
            await stream.write(b"hello")
            assert [await stream.read(2), await stream.read(), await stream.read()] == [b"he", b"llo", b""]
            assert stream.received == 5
            stream.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.99.0.1", "0.0.0.0", "0.9.9.9", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
)
def test_loopback_is_never_dialled(address: str) -> None:
    async def run() -> None:
        async with place() as here:
            await here.listen(silent, (address, 80))  # it would be there
            trace = here.trace()
            assert await tcp.connect(trace, address, 80) is None
            assert trace.operations[0].failure == "not_tried: loopback"
            assert here.network.dialled == []

    asyncio.run(run())


def test_a_contact_that_must_not_be_made_is_recorded() -> None:
    async def run() -> None:
        async with place() as here:
            await here.listen(silent)
            trace = here.trace()
            assert await tcp.connect(trace, SITE, 80, refuse="not_tried: residual") is None
            assert trace.operations[0].failure == "not_tried: residual"
            assert here.network.dialled == []

    asyncio.run(run())


def test_refused() -> None:
    async def run() -> None:
        async with place() as here:
            trace = here.trace()
            assert await tcp.connect(trace, SITE, 443) is None
            assert trace.operations[0].failure == "connection_refused"

    asyncio.run(run())


class Redirected(DirectNetwork):
    """Everything leads to one port of loopback."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def connect(self, address: str, port: int) -> socket.socket:
        return await super().connect("127.0.0.1", self._port)


def test_a_timeout_by_a_server_whose_queue_is_full() -> None:
    async def run() -> None:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            trace = Trace(Redirected(full.getsockname()[1]), limits=Limits(timeout=0.2))
            assert await tcp.connect(trace, SITE, 80) is None
            (found,) = trace.operations
            assert found.failure == "generic_timeout_error"
            assert 0.15 < found.finished - found.started < 2

    asyncio.run(run())


def test_a_reset_after_the_connect_is_seen_by_the_reader() -> None:
    async def run() -> None:
        async def resets(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await abort(writer)

        async with place() as here:
            await here.listen(resets)
            stream = await tcp.connect(here.trace(), SITE, 80)
            assert stream is not None
            with pytest.raises(ConnectionResetError):
                await stream.read()
            stream.close()

    asyncio.run(run())

"""A QUIC server on loopback (aioquic) whose every datagram a test may treat as it likes."""

import asyncio
from collections.abc import Callable
from typing import Any

from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicHeader, pull_quic_header

Treat = Callable[["Server", bytes, Any], None]


class Server(asyncio.DatagramProtocol):
    """A QUIC server for one client at a time; `treat` decides what happens to each datagram that comes."""

    def __init__(self, configuration: QuicConfiguration, treat: Treat) -> None:
        self.configuration = configuration
        self.connection: QuicConnection | None = None
        self.datagrams: list[tuple[bytes, Any]] = []
        self._treat = treat
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagrams.append((data, addr))
        self._treat(self, data, addr)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def take(self, data: bytes, addr: Any) -> None:
        if self.connection is None:
            header = header_of(data)
            self.connection = QuicConnection(
                configuration=self.configuration, original_destination_connection_id=header.destination_cid
            )
        self.connection.receive_datagram(data, addr, self._now())
        self.flush()

    def flush(self) -> None:
        assert self.connection is not None
        for data, addr in self.connection.datagrams_to_send(self._now()):
            self.transport.sendto(data, addr)
        if self._timer is not None:
            self._timer.cancel()
        at = self.connection.get_timer()
        self._timer = asyncio.get_running_loop().call_at(at, self._tick) if at is not None else None

    def _tick(self) -> None:
        assert self.connection is not None
        self.connection.handle_timer(self._now())
        if self.connection.get_timer() is not None:
            self.flush()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def take(server: Server, data: bytes, addr: Any) -> None:
    server.take(data, addr)


def take_first(server: Server, data: bytes, addr: Any) -> None:
    """As the Chinese firewall lets it be: the first datagram arrives, nothing after it does."""
    if len(server.datagrams) == 1:
        server.take(data, addr)


def header_of(data: bytes) -> QuicHeader:
    """The header of a client's datagram."""
    return pull_quic_header(Buffer(data=data), host_cid_length=8)


def hello(datagram: bytes) -> bytes:
    """The plain payload of a client's first datagram."""
    buffer = Buffer(data=datagram)
    header = pull_quic_header(buffer, host_cid_length=8)
    assert header.version is not None
    pair = CryptoPair()
    pair.setup_initial(cid=header.destination_cid, is_client=False, version=header.version)
    return pair.decrypt_packet(datagram[: header.packet_length], buffer.tell(), 0)[1]

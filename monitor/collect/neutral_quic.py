"""The neutral listeners' QUIC: a handshake under any name, and an acknowledgement of what follows. Needs aioquic.

Nobody can turn it against others: aioquic sends at most three times what came from an address that has not proved
itself (RFC 9000 section 8.1), a version is negotiated with a full datagram only, and where many connections are open
an address must prove itself before it is served (Retry).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, cast

from aioquic._buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from .neutral_certificate import SelfSigned

MAX_CONNECTIONS = 256  # at once, on all ports
_CALM = MAX_CONNECTIONS // 2  # with more, a new address must prove itself
MAX_READ = 64 * 1024  # bytes of one connection
_STREAMS = 16 * 1024  # bytes of a connection's streams, which nobody reads
_ID = 8  # bytes of our connection ids
_VERSIONS = [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2]
# What a client may speak inside: we say none of it, but a client hangs up where nothing is agreed on (RFC 9001 8.1).
_PROTOCOLS = ["h3", "h3-29", "hq-interop", "hq-29", "doq", "doq-i11", "doq-i03", "perf", "smb", "moq-00", "wq-vvv-01"]

Address = tuple[Any, ...]

logging.getLogger("quic").disabled = True  # it reports what strangers send


class QUIC:
    """What the ports share: the certificate, and the number of connections."""

    def __init__(self, own: SelfSigned, *, deadline: float) -> None:
        self.configuration = QuicConfiguration(
            is_client=False, alpn_protocols=_PROTOCOLS, certificate=own.certificate, private_key=own.key,
            connection_id_length=_ID, idle_timeout=deadline, max_data=_STREAMS, max_stream_data=_STREAMS,
            supported_versions=list(_VERSIONS),
        )  # fmt: skip
        self.deadline = deadline
        self.open = 0
        self.proof = QuicRetryTokenHandler()
        self._ports: list[asyncio.DatagramTransport] = []

    async def listen(self, host: str, port: int) -> None:
        """Answer at one port. Raises OSError."""
        loop = asyncio.get_running_loop()
        transport, _port = await loop.create_datagram_endpoint(lambda: _Port(self), (host, port))
        self._ports.append(transport)

    def close(self) -> None:
        """Close the ports; connections are forgotten."""
        for transport in self._ports:
            transport.abort()
        self._ports.clear()


class _Port(asyncio.DatagramProtocol):
    """One UDP port: which datagram belongs to whom. A client is its address; nobody migrates here."""

    def __init__(self, shared: QUIC) -> None:
        self._shared = shared
        self._served: dict[Address, _Served] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        for served in list(self._served.values()):
            served.end()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            served = self._served.get(addr) or self._new(data, addr)
        except Exception:  # noqa: BLE001 - a stranger's datagram; the library's errors are theirs
            return
        if served is not None:
            served.receive(data)

    def _new(self, data: bytes, addr: Address) -> "_Served | None":
        """A connection where the datagram asks for one and there is room."""
        if len(data) < SMALLEST_MAX_DATAGRAM_SIZE or self._shared.open >= MAX_CONNECTIONS:
            return None
        header = pull_quic_header(Buffer(data=data), host_cid_length=_ID)
        if header.packet_type is QuicPacketType.VERSION_NEGOTIATION or header.version is None:
            return None
        if header.version not in _VERSIONS:
            self._send(
                encode_quic_version_negotiation(
                    source_cid=header.destination_cid, destination_cid=header.source_cid,
                    supported_versions=[int(version) for version in _VERSIONS],
                ), addr,
            )  # fmt: skip
            return None
        if header.packet_type is not QuicPacketType.INITIAL:
            return None
        if not header.token and self._shared.open >= _CALM:
            self._ask_for_proof(header, addr)
            return None
        quic = self._accept(header, addr)
        served = _Served(quic, addr, self._shared, self._send, forget=lambda: self._served.pop(addr, None))
        self._served[addr] = served
        return served

    def _accept(self, header: QuicHeader, addr: Address) -> QuicConnection:
        """A connection of the library's; raises ValueError for a token that is not ours."""
        original, retried = header.destination_cid, None
        if header.token:
            now = asyncio.get_running_loop().time()
            original = self._shared.proof.validate_token(
                address=addr[:2], destination_cid=header.destination_cid, token=header.token, now=now
            )
            retried = header.destination_cid
        return QuicConnection(
            configuration=self._shared.configuration, original_destination_connection_id=original,
            retry_source_connection_id=retried,
        )  # fmt: skip

    def _ask_for_proof(self, header: QuicHeader, addr: Address) -> None:
        ours = os.urandom(_ID)
        token = self._shared.proof.create_token(
            address=addr[:2], original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=ours, now=asyncio.get_running_loop().time(),
        )  # fmt: skip
        assert header.version is not None
        self._send(
            encode_quic_retry(
                version=header.version, source_cid=ours, destination_cid=header.source_cid,
                original_destination_cid=header.destination_cid, retry_token=token,
            ), addr,
        )  # fmt: skip

    def _send(self, data: bytes, addr: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, addr)


class _Served:
    """One client, from its first datagram until it has left or its time is up."""

    def __init__(
        self, quic: QuicConnection, addr: Address, shared: QUIC, send: Callable[[bytes, Address], None],
        *, forget: Callable[[], object],
    ) -> None:  # fmt: skip
        self._quic, self._addr, self._send, self._forget = quic, addr, send, forget
        self._loop = asyncio.get_running_loop()
        self._shared = shared
        self._room = MAX_READ
        self._timer: asyncio.TimerHandle | None = None
        self._ended = self._proved = False
        self._last = self._loop.call_later(shared.deadline, self.end)
        shared.open += 1

    def receive(self, data: bytes) -> None:
        """Take a datagram."""
        self._room -= len(data)
        if self._room < 0:
            return self.end()
        self._do(lambda: self._quic.receive_datagram(data, self._addr, self._loop.time()))

    def end(self) -> None:
        """Say goodbye, and forget it."""
        if self._ended:
            return
        self._ended = True
        self._shared.open -= 1
        self._last.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._forget()
        if self._proved:  # else the last word might be the one too many that somebody else gets
            _went_well(self._quic.close)
            _went_well(self._answer)

    def _do(self, step: Callable[[], object]) -> None:
        if not all(_went_well(part) for part in (step, self._answer, self._wait)):
            self.end()

    def _answer(self) -> None:
        for data, addr in self._quic.datagrams_to_send(self._loop.time()):
            if addr == self._addr:
                self._send(data, addr)

    def _wait(self) -> None:
        """For the library's timer."""
        while (event := self._quic.next_event()) is not None:
            self._proved = self._proved or isinstance(event, HandshakeCompleted)
            if isinstance(event, ConnectionTerminated):
                return self.end()
        if self._timer is not None:
            self._timer.cancel()
        at = self._quic.get_timer()
        self._timer = self._loop.call_at(at, self._tick, at) if at is not None else None

    def _tick(self, at: float) -> None:
        self._do(lambda: self._quic.handle_timer(max(at, self._loop.time())))


def _went_well(step: Callable[[], object]) -> bool:
    """What the library makes of a stranger's datagram is the stranger's affair."""
    try:
        step()
    except Exception:  # noqa: BLE001 - see above
        return False
    return True

"""One QUIC handshake, recorded, and whether the server got what we sent after it.

The Chinese firewall lets the first packet with a forbidden name and the server's answers through and drops ours
afterwards, so a handshake that is complete on this side proves nothing (USENIX Security 2025).
"""

import asyncio
import hashlib
import socket
import ssl
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any

from . import failure as failures
from .address import embedded_ipv4, kind
from .certificate import Authorities
from .dns import readable
from .trace import Operation, Trace

_VERSION = "v1"  # the only one that is offered, and the only one that the censor reads
_MAX_DATAGRAMS = 512  # a handshake takes some 10
_LONGEST = 65535  # bytes of a datagram
_AT_ONCE = 32  # datagrams taken before we answer
_SOCKETS = 8  # tries for a port above the server's


PATIENCE = 5.0  # seconds at most: over a line that loses 3 % each way the slowest of 600 handshakes took 3.1


class QUICHandshake(Operation, frozen=True, kw_only=True, omit_defaults=True, tag="quic"):
    """A QUIC handshake with one address and port.

    `failure` None: the server acknowledged a packet that was sent after the handshake, so nobody drops ours.
    `completed`: it was complete on this side. `certificate_failure`, `chain` and `alert` are as in `TLSHandshake`;
    the alert goes by its name in RFC 8446 or 9000. `received` counts datagrams' bytes.
    """

    address: str
    port: int
    server_name: str
    version: str = ""
    alpn: str = ""
    alert: str = ""
    chain: tuple[str, ...] = ()
    certificate_failure: str | None = None
    received: int = 0
    completed: bool = False


@cache
def available() -> bool:
    """Whether the extra `quic` is installed."""
    return find_spec("aioquic") is not None


async def handshake(
    trace: Trace, address: str, port: int, server_name: str, *, authorities: Authorities, hop: int = 0,
    alpn: str = "h3", refuse: str = "",
) -> QUICHandshake:  # fmt: skip
    """One handshake for a name, a PING, and a polite end, within `limits.timeout` or 5 s. Needs the extra `quic`.

    `refuse` records a `not_tried: …` in the place of a contact that must not be made; loopback is never dialled
    because an answer says so, as in `tcp.connect`. Whatever the network does is in the record.
    """
    started = trace.now()
    if not refuse and kind(embedded_ipv4(address)) in ("loopback", "unspecified"):
        refuse = failures.NOT_TRIED_LOOPBACK
    failure: str | None = refuse or None
    facts: dict[str, Any] = {}
    if not refuse:
        contact = _Contact(trace, server_name, alpn)
        failure = await contact.run(address, port)
        facts = _facts(trace, contact, server_name, authorities)
    operation = QUICHandshake(
        started=started, finished=trace.now(), failure=failure, hop=hop, attempt=trace.attempt,
        address=address, port=port, server_name=server_name, **facts,
    )  # fmt: skip
    trace.record(operation)
    return operation


def _facts(trace: Trace, contact: "_Contact", server_name: str, authorities: Authorities) -> dict[str, Any]:
    client = contact.client
    facts = {"alert": client.alert, "received": contact.received}
    if not client.completed:
        return facts
    ders = client.chain()
    chain = tuple(hashlib.sha256(der).hexdigest() for der in ders)
    trace.certificates.update(zip(chain, ders, strict=True))
    return facts | {
        "completed": True, "version": _VERSION, "alpn": client.alpn, "chain": chain,
        "certificate_failure": authorities.failure_of(ders, server_name, trace.clock.now()),
    }  # fmt: skip


class _Contact:
    """A client and its socket."""

    def __init__(self, trace: Trace, server_name: str, alpn: str) -> None:
        from .quic_client import Client  # here, since it needs the extra

        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._datagrams = 0
        self.received = 0
        patience = min(trace.limits.timeout, PATIENCE)
        self.client = Client(server_name, alpn=alpn, patience=patience, now=self._loop.time())

    async def run(self, address: str, port: int) -> str | None:
        """Until the PING is acknowledged, or what stood in the way."""
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(min(self._trace.limits.timeout, PATIENCE)):
                sock = await _open(self._trace, address, port)
                while not self.client.over:
                    self._send(sock, self.client.outgoing(self._loop.time()))
                    await self._hear(sock)
        except (OSError, TimeoutError) as error:
            return failures.of(error)
        else:
            return None if self.client.acknowledged else self.client.failure
        finally:
            if sock is not None:
                with suppress(OSError):
                    self._send(sock, self.client.goodbye(self._loop.time()))
                sock.close()

    async def _hear(self, sock: socket.socket) -> None:
        """Take what comes, or note that the time has come to send again. Raises OSError."""
        try:
            async with asyncio.timeout_at(self.client.timer()):
                await readable(sock)
        except TimeoutError:
            self.client.tick(self._loop.time())
            return
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                self._take(sock.recv(_LONGEST))

    def _take(self, data: bytes) -> None:
        self.received += len(data)
        self._datagrams += 1
        if self.received > self._trace.limits.handshake_bytes or self._datagrams > _MAX_DATAGRAMS:
            raise ssl.SSLError(1, "handshake larger than the limit")
        if not self.client.over:
            self.client.receive(data, self._loop.time())

    def _send(self, sock: socket.socket, datagrams: list[bytes]) -> None:
        for data in datagrams:
            with suppress(BlockingIOError):  # no room: it is lost, as datagrams may be
                sock.send(data)


async def _open(trace: Trace, address: str, port: int) -> socket.socket:
    """A socket whose own port is above the server's, where one can be had: the censor looks at no other."""
    for _ in range(_SOCKETS - 1):
        sock = await trace.network.open_udp(address, port)
        if sock.getsockname()[1] > port:
            return sock
        sock.close()
    return await trace.network.open_udp(address, port)

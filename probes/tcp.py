"""One TCP connect, recorded; and the byte stream over the socket that it leaves."""

import asyncio
import socket

from . import failure as failures
from .address import embedded_ipv4, kind
from .trace import Operation, Trace

CHUNK = 16 * 1024


class TCPConnect(Operation, frozen=True, kw_only=True, omit_defaults=True, tag="tcp"):
    """A connect to one address and port. `flow` links it with the TLS and HTTP steps on the same connection,
    `local_port` (0 where it failed) with its packets. Through a proxy `address` may be a host name."""

    address: str
    port: int
    flow: int = 0
    local_port: int = 0


class Stream:
    """A connected socket that counts what it received."""

    def __init__(self, sock: socket.socket, address: str, port: int, flow: int) -> None:
        self.socket = sock
        self.address = address
        self.port = port
        self.flow = flow
        self.received = 0
        self._loop = asyncio.get_running_loop()

    async def read(self, limit: int = CHUNK) -> bytes:
        """Up to `limit` bytes; empty at the end. Raises OSError."""
        data = await self._loop.sock_recv(self.socket, limit)
        self.received += len(data)
        return data

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises OSError."""
        await self._loop.sock_sendall(self.socket, data)

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()


async def connect(trace: Trace, address: str, port: int, *, hop: int = 0, refuse: str = "") -> Stream | None:
    """Connect, record it, and return the stream, or None where it failed.

    `refuse` records a `not_tried: …` in the place of a contact that must not be made. An address of the loopback
    block is never dialled because an answer says so (ooni/probe#2397), nor is 0.0.0.0, which Linux takes for it.
    """
    started = trace.now()
    flow = trace.flow()
    if not refuse and kind(embedded_ipv4(address)) in ("loopback", "unspecified"):
        refuse = failures.NOT_TRIED_LOOPBACK
    failure: str | None = refuse or None
    stream: Stream | None = None
    if not refuse:
        try:
            async with asyncio.timeout(trace.limits.timeout):
                stream = Stream(await trace.network.connect(address, port), address, port, flow)
        except (OSError, TimeoutError) as error:
            failure = failures.of(error)
    trace.record(
        TCPConnect(
            started=started, finished=trace.now(), failure=failure, hop=hop, attempt=trace.attempt,
            address=address, port=port, flow=flow, local_port=stream.socket.getsockname()[1] if stream else 0,
        )
    )  # fmt: skip
    return stream

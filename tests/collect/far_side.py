"""What a real proxy finds behind it: the addresses of a simulated Internet as addresses of this network namespace.

Every address is local here, so the proxy's own connections end at relays, which hand them to the simulated network and
its censor. An address without a relay refuses; a silent one never answers.
"""

import asyncio
import socket
import struct
import subprocess
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress

from monitor.demo.network import SimulatedNetwork
from probes.followup.setting import Endpoint

_CHUNK = 16 * 1024


def every_address_is_here() -> None:
    """Make each IPv4 address one of loopback's, in this namespace."""
    for command in ("link set lo up", "route add local 0.0.0.0/0 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)


class FarSide:
    """The relays, one for each address and port. `contacted` is called with each endpoint when its connection ends."""

    def __init__(self, network: SimulatedNetwork, stack: AsyncExitStack, contacted: Callable[[Endpoint], None]) -> None:
        self._network, self._stack, self._contacted = network, stack, contacted

    async def open(self, endpoints: Iterable[Endpoint]) -> None:
        """Listen at each."""
        for address, port in endpoints:
            server = await asyncio.start_server(self._relay, address, port)
            self._stack.callback(server.close)

    def fall_silent(self, endpoints: Iterable[Endpoint]) -> None:
        """Answer no SYN at these: the queue of each is full."""
        for endpoint in endpoints:
            full, first = self._stack.enter_context(socket.socket()), self._stack.enter_context(socket.socket())
            full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            full.bind(endpoint)
            full.listen(0)
            first.connect(endpoint)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")
        try:
            async with asyncio.timeout(10):
                far_reader, far_writer = await asyncio.open_connection(sock=await self._network.connect(address, port))
                try:
                    async with asyncio.TaskGroup() as group:
                        there = group.create_task(_carry(reader, far_writer))
                        await _carry(far_reader, writer)
                        there.cancel()
                finally:
                    far_writer.close()
        except (OSError, ExceptionGroup):  # a reset on one side is a reset on the other
            with suppress(OSError):  # it may be closed already
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        finally:
            writer.close()
            self._contacted((address, port))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()

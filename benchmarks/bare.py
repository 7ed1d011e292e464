"""The other client: the same contacts by asyncio's streams, dnspython and aiohttp, nothing recorded or judged."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import dns.message

from probes.http import USER_AGENT

from .places import DOH_ADDRESS, DOH_NAME, MappedNetwork
from .world import Servers

_HERE = "127.0.0.1"
_DEADLINE = 10.0  # seconds


class _Answer(asyncio.DatagramProtocol):
    """Sends one query and parses what answers it."""

    def __init__(self, wire: bytes, done: asyncio.Future[dns.message.Message]) -> None:
        self._wire, self._done = wire, done

    def connection_made(self, transport: Any) -> None:
        transport.sendto(self._wire)

    def datagram_received(self, data: bytes, _address: object) -> None:
        if not self._done.done():
            self._done.set_result(dns.message.from_wire(data))


class Bare:
    """Makes the contacts of a clean measurement."""

    def __init__(self, servers: Servers, session: aiohttp.ClientSession, context: ssl.SSLContext) -> None:
        self._servers, self._session, self._context = servers, session, context
        self._network = MappedNetwork(servers.ports)

    async def look(self, name: str) -> None:
        """Five lookups over UDP, two over HTTPS, getaddrinfo; then helper, two addresses and one page at once."""
        async with asyncio.timeout(_DEADLINE):
            async with asyncio.TaskGroup() as group:
                kinds = [group.create_task(self._ask(name, kind)) for kind in ("A", "AAAA", "HTTPS")]
                for kind in ("A", "AAAA"):
                    group.create_task(self._ask(name, kind))
                group.create_task(self._ask_doh(name))
                group.create_task(self._network.getaddrinfo(name))
            found = [rrset[0].address for task in kinds[:2] for rrset in task.result().answer]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask_helper(name, found))
                group.create_task(self._contact(name, found[0], get=True))
                group.create_task(self._contact(name, found[1], get=False))

    async def look_at_all(self, names: Sequence[str], width: int) -> None:
        """All of them, `width` at once."""
        slots = asyncio.Semaphore(width)

        async def one(name: str) -> None:
            async with slots:
                await self.look(name)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))

    async def _ask(self, name: str, kind: str) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[dns.message.Message] = loop.create_future()
        wire = dns.message.make_query(name, kind, use_edns=0, payload=1232).to_wire()
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: _Answer(wire, done), remote_addr=(_HERE, self._servers.ports.dns)
        )
        try:
            return await done
        finally:
            transport.close()

    async def _ask_doh(self, name: str) -> None:
        reader, writer = await self._open(DOH_NAME, DOH_ADDRESS)
        for kind in ("A", "AAAA"):
            wire = dns.message.make_query(name, kind, use_edns=0, payload=1232, id=0).to_wire()
            head = (
                f"POST /dns-query HTTP/1.1\r\nHost: {DOH_NAME}\r\nContent-Type: application/dns-message\r\n"
                f"Accept: application/dns-message\r\nContent-Length: {len(wire)}\r\n\r\n"
            )
            writer.write(head.encode() + wire)
            dns.message.from_wire(await _body(reader))
        writer.close()

    async def _ask_helper(self, name: str, found: Sequence[str]) -> None:
        request = {
            "http_request": f"https://{name}/",
            "http_request_headers": {"User-Agent": [USER_AGENT], "Accept": ["*/*"]},
            "tcp_connect": [f"[{a}]:443" if ":" in a else f"{a}:443" for a in found],
            "x_quic_enabled": False,
        }
        async with self._session.post(self._servers.helper, json=request) as response:
            await response.json()

    async def _contact(self, name: str, address: str, *, get: bool) -> None:
        reader, writer = await self._open(name, address)
        if get:
            writer.write(
                f"GET / HTTP/1.1\r\nHost: {name}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n".encode()
            )
            await _body(reader)
        writer.close()

    async def _open(self, name: str, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self._network.port_of(address)
        return await asyncio.open_connection(_HERE, port, ssl=self._context, server_hostname=name)


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")[1:]
    length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
    return await reader.readexactly(length)


@asynccontextmanager
async def bare(servers: Servers) -> AsyncIterator[Bare]:
    """One that verifies against the world's root, in one shared context."""
    context = ssl.create_default_context(cafile=str(servers.root))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64), trust_env=False) as session:
        yield Bare(servers, session, context)

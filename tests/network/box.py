"""The censor's own server: what the link diverts ends here, under the address that the client wanted.

Named connections get what the rule says; all others are passed on to where they wanted to go.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.pki import TestAuthority

from .hello import request, server_name
from .listening import inside
from .plan import BOX, BOX_SIX
from .rules import NOTICE, Rule


class Box:
    """Told by `obey` what to do to whom."""

    def __init__(self, folder: Path) -> None:
        own = folder / "box"
        own.mkdir()
        self._unknown = TestAuthority(own, "Border Root")
        self._folder = own
        self._pems: dict[tuple[str, str], ssl.SSLContext] = {}
        self._rules: dict[str, list[Rule]] = {}

    def obey(self, clients: Sequence[str], rules: list[Any]) -> None:
        """Replace the rules of a client."""
        made = msgspec.convert(rules, list[Rule])
        self._rules.update(dict.fromkeys(clients, made))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One diverted connection."""
        from .odd import answer_tls, http_page

        wanted = writer.get_extra_info("sockname")[:2]
        client = writer.get_extra_info("peername")[0]
        first = await reader.read(16384)
        secure = first[:1] == b"\x16"
        name = (server_name(first) if secure else getattr(request(first), "host", "")) or ""
        rule = next((r for r in self._rules.get(client, []) if r.names_it(name) and r.meets(*wanted)), None)
        if rule is None:
            return await _pass_on(reader, writer, first, wanted)
        if rule.box == "close":
            return
        content = rule.page or http_page(NOTICE)
        if secure:
            return await answer_tls(reader, writer, first, self._context(rule.box, name), content)
        writer.write(content)
        await writer.drain()

    def _context(self, kind: str, name: str) -> ssl.SSLContext:
        key = (kind, name)
        if key not in self._pems:
            made = self._unknown.self_signed if kind == "self_signed" else self._unknown.issue
            self._pems[key] = self._unknown.server_context(made(name or "nobody.example"))
        return self._pems[key]


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, wanted: tuple[str, int]
) -> None:
    """Both directions until either side ends."""
    with inside("box"):
        six = ":" in wanted[0]
        sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
        sock.bind((BOX_SIX if six else BOX, 0))
        sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, wanted)
    there, away = await asyncio.open_connection(sock=sock)
    away.write(first)
    async with asyncio.TaskGroup() as group:
        group.create_task(_copy(reader, away))
        group.create_task(_copy(there, writer))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(16384):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()

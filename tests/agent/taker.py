"""A small service on loopback, over TLS, that keeps uids as the real one does and misbehaves when it is told to."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from monitor.agent.protocol import (
    ASSIGNMENT_PATH,
    MEASUREMENTS_PATH,
    Answer,
    Assignment,
    Rejected,
    lines_of,
    measurement_of,
)
from tests.pki import TestAuthority

TOKEN = "t" * 43
Trick = Callable[["Taker", web.Request, list[str]], web.Response | None]  # None: the connection is cut


class Taker:
    """`tricks`: what is done to the next requests, one each; `kept`: how often each uid was stored (once, always);
    `seen`: the uids of every batch that came whole; `heads`: the headers of every request."""

    def __init__(self, authority: TestAuthority) -> None:
        self.authority = authority
        self.tricks: list[Trick] = []
        self.kept: Counter[str] = Counter()
        self.seen: list[list[str]] = []
        self.heads: list[dict[str, str]] = []
        self.assignment: Assignment | bytes = b"{}"
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"

    def keep(self, uids: list[str]) -> None:
        """Insert or ignore."""
        for uid in uids:
            if uid not in self.kept:
                self.kept[uid] += 1

    async def hand_out(self, request: web.Request) -> web.StreamResponse:
        self.heads.append(dict(request.headers))
        if self.tricks:
            return self._play(request, [])
        made = self.assignment
        body = made if isinstance(made, bytes) else msgspec.json.encode(made)
        etag = f'"{hash(body)}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": etag})

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.heads.append(dict(request.headers))
        uids = [measurement_of(line).uid for line in lines_of(await request.read())]
        self.seen.append(uids)
        if self.tricks:
            return self._play(request, uids)
        self.keep(uids)
        return answer(Answer(stored=tuple(uids)))

    def _play(self, request: web.Request, uids: list[str]) -> web.Response:
        response = self.tricks.pop(0)(self, request, uids)
        if response is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return response


def answer(made: Answer) -> web.Response:
    return web.Response(body=msgspec.json.encode(made))


def status(number: int, **headers: str) -> Trick:
    """Only this status, nothing is kept."""
    return lambda _taker, _request, _uids: web.Response(
        status=number, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def lost_answer(taker: Taker, _request: web.Request, uids: list[str]) -> None:
    """Stored, but nobody hears of it."""
    taker.keep(uids)


def torn(_taker: Taker, _request: web.Request, _uids: list[str]) -> None:
    """Nothing is stored, and the connection is cut."""


def refusing(*places: int) -> Trick:
    """The lines at some places are refused, the uid unread at the first of them; the others are stored."""

    def play(taker: Taker, _request: web.Request, uids: list[str]) -> web.Response:
        stored = [uid for n, uid in enumerate(uids) if n not in places]
        taker.keep(stored)
        rejected = [Rejected(n + 1, "" if n == places[0] else uids[n], "schema: is no good") for n in places]
        return answer(Answer(stored=tuple(stored), rejected=tuple(rejected)))

    return play


@asynccontextmanager
async def taking(folder: Path, *, valid: bool = True) -> AsyncIterator[Taker]:
    """A running one; with a certificate that nobody vouches for unless `valid`."""
    authority = TestAuthority(folder)
    pem = (authority.issue if valid else authority.self_signed)("localhost")
    made = Taker(authority)
    application = web.Application(client_max_size=64 * 2**20)
    application.add_routes([web.get(ASSIGNMENT_PATH, made.hand_out), web.post(MEASUREMENTS_PATH, made.take)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0, ssl_context=authority.server_context(pem)).start()
        made.port = runner.addresses[0][1]
        yield made
    finally:
        await runner.cleanup()

"""A server of lists on loopback, over TLS with a certificate of a test authority, that behaves as a test wants."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from tests.pki import TestAuthority


class ListServer:
    """Answers `/NAME`: `contents` with an ETag, or whatever `odd` says of the name."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str, str]] = []  # (name, If-None-Match, status)
        self.port = 0

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.port}/{name}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        response = await self._answer(request, name)
        self.asked.append((name, request.headers.get("If-None-Match", ""), str(response.status)))
        return response

    async def _answer(self, request: web.Request, name: str) -> web.StreamResponse:
        if name in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[name]})
        match name:
            case "error500":
                return web.Response(status=500, text="<h1>oh\x1b[31m</h1>")
            case "always304":
                return web.Response(status=304)
            case "html":
                return web.Response(body=b"\n <!DOCTYPE html><title>Sign in</title>", content_type="text/csv")
            case "compressed":
                return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
            case "nowhere":
                return web.Response(status=301)
            case "cut" | "large" | "slow":
                return await self._odd(request, name)
        content = self.contents.get(name)
        if content is None:
            return web.Response(status=404)
        etag = f'"{hash(content)}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(body=content, headers={"ETag": etag, "Last-Modified": "Mon, 02 Mar 2026 10:00:00 GMT"})

    async def _odd(self, request: web.Request, name: str) -> web.StreamResponse:
        response = web.StreamResponse()
        if name == "cut":
            response.content_length = 5000
        await response.prepare(request)
        if name == "cut":
            await response.write(self.contents["good.csv"])
            assert request.transport is not None
            request.transport.close()
        try:
            for _part in range(25 if name == "large" else 0):
                await response.write(b"x" * 1_000_000)
            for _part in range(40 if name == "slow" else 0):
                await response.write(b"u")
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        return response


@contextmanager
def serving(authority: TestAuthority, pem: Path) -> Iterator[ListServer]:
    """The server in a thread of its own, since the command under test has a loop of its own."""
    server, ready, stop = ListServer(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        application = web.Application()
        application.router.add_get("/{name}", server.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server_context(pem))
        await site.start()
        server.port = runner.addresses[0][1]
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)

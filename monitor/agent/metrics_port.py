"""An agent's `/metrics`, where the operator wants it: one address, nothing else is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from monitor.publish.metrics import Metrics


@asynccontextmanager
async def metrics_port(metrics: Metrics, listen: tuple[str, int]) -> AsyncIterator[int]:
    """Serve; the port. Raises OSError where it cannot be opened."""

    async def render(request: web.Request) -> web.Response:
        body, kind = await asyncio.to_thread(metrics.render, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    application = web.Application()
    application.add_routes([web.get("/metrics", render)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *listen).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()

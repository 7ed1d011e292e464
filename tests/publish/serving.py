"""The server on a port of its own, over a store with something in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from blocklists import Target
from monitor.judge.verdict import Verdict
from monitor.publish import server
from monitor.publish.metrics import Metrics
from monitor.publish.vantages import Watch
from monitor.store import Store
from probes.measurement import Measurement, VantageFacts

from . import sample

TARGETS = (sample.target(), sample.target("https://quiet.example/"))
VANTAGES = (sample.VANTAGE, VantageFacts(name="second"))
Pair = tuple[Measurement, Verdict]


class Served:
    """A running server: its address, the store and metrics behind it, and a client."""

    def __init__(self, url: str, store: Store, metrics: Metrics, client: aiohttp.ClientSession) -> None:
        self.url, self.store, self.metrics, self.client = url, store, metrics, client
        self.reason: str | None = None

    async def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers."""
        async with self.client.get(self.url + path, headers=headers, allow_redirects=False) as response:
            return response.status, await response.text(), dict(response.headers)

    async def json(self, path: str, status: int = 200) -> dict[str, Any]:
        """The document at a path that must answer with that status."""
        async with self.client.get(self.url + path) as response:
            assert response.status == status, await response.text()
            assert response.content_type == "application/json"
            found: dict[str, Any] = await response.json()
            return found


@asynccontextmanager
async def serving(
    folder: Path,
    pairs: list[Pair],
    *,
    simulated: bool = False,
    targets: tuple[Target, ...] = TARGETS,
    vantages: tuple[VantageFacts, ...] = VANTAGES,
    watch: Callable[[], Watch] | None = None,
) -> AsyncIterator[Served]:
    """Serve a store that holds these measurements."""
    async with Store.open(folder / "x.db", simulated=simulated) as store, aiohttp.ClientSession() as client:
        metrics = Metrics(simulated=simulated, version="1.2.3")
        metrics.set_targets([(t.name, t.site, t.category) for t in targets])
        served = Served("", store, metrics, client)
        for measurement, verdict in pairs:
            kept = _simulated(measurement) if simulated else measurement
            metrics.observe(kept, verdict, await store.save(kept, verdict))
        application = server.app(
            store, metrics, targets=targets, vantages=vantages, simulated=simulated,
            ready=lambda: served.reason, now=lambda: sample.NOW, watch=watch,
        )  # fmt: skip
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield served
        finally:
            await runner.cleanup()


def _simulated(measurement: Measurement) -> Measurement:
    vantage = msgspec.structs.replace(measurement.vantage, simulated=True)
    return msgspec.structs.replace(measurement, vantage=vantage)


def served(
    folder: Path, pairs: list[Pair], use: Callable[[Served], Awaitable[None]], *, simulated: bool = False
) -> None:
    """Run a test against the server."""

    async def main() -> None:
        async with serving(folder, pairs, simulated=simulated) as running:
            await use(running)

    asyncio.run(main())

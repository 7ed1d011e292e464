"""A real Prometheus scrapes the real server."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from . import sample
from .serving import Served, serving
from .tools import tool

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: wallwatch
    static_configs: [{{targets: ["{address}"]}}]
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def prometheus(folder: Path, address: str, scrape: str = CONFIG) -> AsyncIterator[str]:
    """A Prometheus that scrapes that address; its own address. Ended by its own process id."""
    config = folder / "prometheus.yml"
    config.write_text(scrape.format(address=address))
    listen = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={listen}", "--enable-feature=exemplar-storage",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://{listen}"
    finally:
        process.terminate()
        await process.wait()


async def asked(running: Served, url: str, **query: str) -> Any:
    """The data that Prometheus answers with, once there is any."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with running.client.get(url, params=query) as response:
                    found = (await response.json())["data"] if response.status == 200 else None
            except OSError:
                found = None
            if found and (found["result"] if isinstance(found, dict) else found):
                return found
            await asyncio.sleep(0.2)


@pytest.mark.timeout(120)
def test_prometheus_takes_the_metrics_and_the_exemplars(tmp_path: Path) -> None:
    tool("prometheus")

    async def main() -> None:
        async with (
            serving(tmp_path, [sample.resets()]) as running,
            prometheus(tmp_path, running.url.removeprefix("http://")) as server,
        ):
            query = f"{server}/api/v1/query"
            (series,) = (await asked(running, query, query="wallwatch_target_outcome_code"))["result"]
            assert (series["metric"]["target"], series["metric"]["vantage"]) == (
                "https://example.com/",
                "home",
            )
            assert series["value"][1] == "4"
            rate = 'wallwatch_failures_total{phase="tls",failure="connection_reset"}'
            assert (await asked(running, query, query=rate))["result"][0]["value"][1] == "4"
            found = await asked(
                running, f"{server}/api/v1/query_exemplars", query="wallwatch_phase_seconds_bucket",
                start="0", end="4000000000",
            )  # fmt: skip
            uids = {e["labels"]["measurement_id"] for series in found for e in series["exemplars"]}
            assert uids == {sample.resets()[0].uid}

    asyncio.run(main())

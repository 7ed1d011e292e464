"""Many agents hand in to one service at once: is anything lost, how soon is it acknowledged, do pages still answer?

The service is `wallwatch run` in a process of its own, over TLS on loopback; the measurements are clean ones of the
first benchmark, under the agents' names, with uids and times of their own.
"""

import asyncio
import os
import random
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import msgspec

from monitor.agent.protocol import MEASUREMENTS_PATH, TIME, Answer, answer_of, batch_of
from monitor.agent.tokens import hash_of, new_token
from monitor.store import Store
from probes.measurement import Measurement, VantageFacts, rfc3339
from tests.pki import TestAuthority

from .measurement import samples
from .row import Row
from .world import ROOT

NAME = "agents"
AGENTS, A_MINUTE, MINUTES = 200, 50, 5.0
EVERY = 3.0  # seconds between two batches of an agent
_SAMPLES, _PAGES_EVERY = 48, 10.0
_HEADER = "url,category_code,category_description,date_added,source,notes\n"


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. Seconds each: `acknowledged` of every request, `pages` and `metrics` of every answer; `cpu` of
    the service. `sent` and `stored` are uids, `refused` what the service would not take."""

    acknowledged: tuple[float, ...]
    pages: tuple[float, ...]
    metrics: tuple[float, ...]
    sent: frozenset[str]
    stored: tuple[str, ...]
    refused: tuple[str, ...]
    cpu: float
    seconds: float


def run() -> list[Row]:
    """Five minutes of it."""
    found = play(AGENTS, A_MINUTE, minutes=MINUTES)
    lost = len(found.sent - set(found.stored))
    about = f"{AGENTS} agents × {A_MINUTE} a minute for {MINUTES:.0f} min"
    return [
        Row(NAME, f"{about}: measurements handed in", len(found.sent), "measurements"),
        Row(NAME, "of them lost", lost, "measurements", "0"),
        Row(NAME, "stored twice, or never sent", len(found.stored) - (len(found.sent) - lost), "measurements", "0"),
        Row(NAME, "acknowledged, median", statistics.median(found.acknowledged), "s"),
        Row(NAME, "acknowledged, 99th percentile", percentile(found.acknowledged, 99), "s", "< 1"),
        Row(NAME, "the page of all targets meanwhile, slowest", max(found.pages), "s"),
        Row(NAME, "/metrics meanwhile, slowest", max(found.metrics), "s"),
        Row(NAME, "CPU of the service", 100 * found.cpu / found.seconds, "% of a core"),
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """That percentile of the values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def play(agents: int, a_minute: int, *, minutes: float) -> Handed:
    """So many agents hand so much in for so long; with their service, on loopback only."""
    made = [result.measurement for result in samples(_SAMPLES)]
    with tempfile.TemporaryDirectory(prefix="wallwatch-bench-") as name:
        folder = Path(name)
        port = _free_port()
        authority = TestAuthority(folder)
        _configure(folder, port, agents, {m.target for m in made}, authority.issue("localhost", "127.0.0.1"))
        tokens = asyncio.run(_enrol(folder, agents))
        with _service(folder, port) as process:
            client = _Client(port, ssl.create_default_context(cafile=str(authority.root)), made)
            began = time.monotonic()
            asyncio.run(client.run(tokens, a_minute, minutes * 60))
            seconds, cpu = time.monotonic() - began, _cpu(process.pid)
        with sqlite3.connect(folder / "wallwatch.db") as database:
            stored = tuple(uid for (uid,) in database.execute("SELECT uid FROM measurement"))
        database.close()
    return Handed(
        acknowledged=tuple(client.acknowledged), pages=tuple(client.pages), metrics=tuple(client.metrics),
        sent=frozenset(client.sent), stored=stored, refused=tuple(client.refused), cpu=cpu, seconds=seconds,
    )  # fmt: skip


class _Client:
    """All agents, and a reader of the pages."""

    def __init__(self, port: int, context: ssl.SSLContext, made: Sequence[Measurement]) -> None:
        self._base, self._context, self._made = f"https://127.0.0.1:{port}", context, made
        self.acknowledged: list[float] = []
        self.pages: list[float] = []
        self.metrics: list[float] = []
        self.sent: set[str] = set()
        self.refused: list[str] = []
        self._number = 0

    async def run(self, tokens: dict[str, str], a_minute: int, seconds: float) -> None:
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            group.create_task(self._read(session, until))
            for name, token in tokens.items():
                group.create_task(self._agent(session, name, token, a_minute, until))

    async def _agent(
        self, session: aiohttp.ClientSession, name: str, token: str, a_minute: int, until: float
    ) -> None:
        await asyncio.sleep(random.uniform(0, EVERY))
        due, owed = time.monotonic(), 0.0
        while due < until:
            owed += a_minute * EVERY / 60
            batch = [self._measurement(name) for _ in range(int(owed))]
            owed -= len(batch)
            await self._hand_in(session, token, batch)
            due += EVERY
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _hand_in(self, session: aiohttp.ClientSession, token: str, batch: list[Measurement]) -> None:
        """Until all of it is acknowledged or refused, as an agent does."""
        body = batch_of(batch)
        self.sent |= {m.uid for m in batch}
        began = time.monotonic()
        while True:
            headers = {"Authorization": f"Bearer {token}", TIME: rfc3339(datetime.now(UTC))}
            async with session.post(self._base + MEASUREMENTS_PATH, data=body, headers=headers) as response:
                content = await response.read()
                if response.status == 200:
                    break
                wait = float(response.headers.get("Retry-After", "1"))
            await asyncio.sleep(wait)
        self.acknowledged.append(time.monotonic() - began)
        answer: Answer = answer_of(content)
        self.refused += [rejected.reason for rejected in answer.rejected]

    def _measurement(self, vantage: str) -> Measurement:
        self._number += 1
        now = datetime.now(UTC)
        return msgspec.structs.replace(
            self._made[self._number % len(self._made)], vantage=VantageFacts(name=vantage, kind="agent"), time=now,
            uid=f"{now:%Y%m%dT%H%M%S.%fZ}-{self._number:012x}",
        )  # fmt: skip

    async def _read(self, session: aiohttp.ClientSession, until: float) -> None:
        while time.monotonic() < until:
            for path, kept in (("/", self.pages), ("/metrics", self.metrics)):
                began = time.monotonic()
                async with session.get(self._base + path) as response:
                    await response.read()
                    response.raise_for_status()
                kept.append(time.monotonic() - began)
            await asyncio.sleep(_PAGES_EVERY)


def _configure(folder: Path, port: int, agents: int, targets: set[str], certificate: Path) -> None:
    rows = [f"{target},MISC,Miscellaneous content,2026-01-01,bench," for target in sorted(targets)]
    (folder / "targets.csv").write_text(_HEADER + "\n".join(rows) + "\n")
    vantages = "".join(f'[[vantage]]\nname = "{name}"\nkind = "agent"\n' for name in _names(agents))
    (folder / "config.toml").write_text(
        f'[service]\nlisten = "127.0.0.1:{port}"\ntargets = ["targets.csv"]\n'
        f'certificate = "{certificate}"\nkey = "{certificate}"\n[control]\nopen = "targets.csv"\n{vantages}'
    )


def _names(agents: int) -> list[str]:
    return [f"agent-{n}" for n in range(agents)]


async def _enrol(folder: Path, agents: int) -> dict[str, str]:
    tokens = {name: new_token() for name in _names(agents)}
    async with Store.open(folder / "wallwatch.db") as store:
        for name, token in tokens.items():
            await store.enrol(name, hash_of(token), datetime.now(UTC))
    return tokens


@contextmanager
def _service(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "monitor.cli", "run", "--config", str(folder / "config.toml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

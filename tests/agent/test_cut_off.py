"""An agent that is cut off for two weeks, killed ten times, and heard through a link that drops half of its connections:
every measurement arrives exactly once.

How the two weeks are simulated. The agent is the real one, in processes of its own (`tests/agent/process.py`); its
calendar runs fast, two days in a second while it is cut off, and by it go the schedule, every pause and every wait between
tries. Fourteen days of it pass while it runs: the calendar stands still while the process is dead. All else is real: DNS,
TCP, TLS and HTTP on loopback against a simulated, censored network; the spool on the disk; HTTPS to the service's own
handlers and its SQLite store, through a relay (`tests/agent/relay.py`). When the link is back the calendar runs ten minutes
in a second, so that waits between tries pass and rounds still come. The service's clock is the host's, and never
behind the agent's.

A process is killed (SIGKILL) only where it is seen to be at what it is to be killed at: it is stopped (SIGSTOP), looked at,
and killed or let go on. What was measured is known from its diary: a uid before it is handed to the spool and when the
spool has it.
"""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from monitor.agent.tokens import hash_of, new_token
from monitor.config import load
from monitor.engine import setup
from monitor.service import Service
from monitor.store import Store
from tests.agent.process import CONTROLS, TARGETS
from tests.agent.relay import Relay, relaying
from tests.agent.running import in_loop
from tests.pki import TestAuthority

from .service import HEADER

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
WEEKS = 14 * DAY
PROBING, UPLOADING = 5, 5  # kills
DARK_SPEED, LATE_SPEED = 172_800, 600  # calendar seconds in a second: while it is cut off, and afterwards
SERVICE = """
[service]
listen = "127.0.0.1:0"
targets = ["targets.csv"]
certificate = "service.pem"
key = "service.pem"
[schedule]
every = "{every}"
jitter = "1m"
[control]
open = "controls.csv"
[[vantage]]
name = "inside"
kind = "agent"
country = "CN"
"""
AGENT = """
[agent]
service = "https://127.0.0.1:{port}"
token_file = "token"
[[vantage]]
name = "line"
resolvers = ["system"]
"""


class Diary:
    """What the processes wrote."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "told"

    def lines(self) -> list[list[str]]:
        text = self._path.read_text() if self._path.exists() else ""
        return [line.split() for line in text.rpartition("\n")[0].splitlines()]

    def last(self) -> str:
        """The last word: what the agent is at."""
        lines = self.lines()
        return lines[-1][0] if lines else ""

    def uids(self, word: str) -> list[str]:
        return [words[1] for words in self.lines() if words[0] == word]


class Life:
    """A process of the agent's, and its calendar."""

    def __init__(self, process: asyncio.subprocess.Process, diary: Diary, speed: float, lives: int) -> None:
        self.process, self._diary, self._speed, self._lives = process, diary, speed, lives

    def shows(self) -> datetime:
        """What its calendar shows now; the beginning of all while it has not begun."""
        begun = [words for words in self._diary.lines() if words[0] == "life"]
        if len(begun) <= self._lives:
            return datetime.fromtimestamp(0, UTC)
        _word, began, first = begun[-1]
        return datetime.fromisoformat(first) + timedelta(seconds=(time.monotonic() - float(began)) * self._speed)

    async def until(self, ask: Callable[[], bool], *, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not ask():
            assert self.process.returncode is None, "the agent has ended by itself"
            assert time.monotonic() < deadline, "it does not come to it"
            await asyncio.sleep(0.005)

    async def kill_at(self, ask: Callable[[], bool], fate: random.Random) -> datetime:
        """Kill it when it is at something; what the calendar showed then."""
        pid = self.process.pid
        for _ in range(500):
            await self.until(ask)
            await asyncio.sleep(fate.uniform(0, 0.01))
            os.kill(pid, signal.SIGSTOP)
            if ask():
                ended = self.shows()
                os.kill(pid, signal.SIGKILL)
                assert await self.process.wait() == -signal.SIGKILL
                return ended
            os.kill(pid, signal.SIGCONT)
        raise AssertionError("it was never caught at it")


@asynccontextmanager
async def living(folder: Path, shows: datetime, speed: float) -> AsyncIterator[Life]:
    """A process of the agent's; one that is still there is killed."""
    diary = Diary(folder)
    lives = sum(1 for words in diary.lines() if words[0] == "life")
    command = [sys.executable, "-m", "tests.agent.process", str(folder), shows.isoformat(), str(speed)]
    with (folder / "agent.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=ROOT)
    try:
        yield Life(process, diary, speed, lives)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def serving(folder: Path, store: Store, relay: Relay, *, every: str) -> AsyncIterator[Service]:
    """The service, which can be reached through the relay while it is there."""
    (folder / "config.toml").write_text(SERVICE.format(every=every))
    made = setup(load(folder / "config.toml"))
    vantages = tuple(
        msgspec.structs.replace(v, facts=msgspec.structs.replace(v.facts, simulated=True)) for v in made.vantages
    )
    made = msgspec.structs.replace(made, vantages=vantages, simulated=True)
    async with Service(made, store=store) as service:
        await service.serve()
        relay.upstream = service.port
        try:
            yield service
        finally:
            relay.upstream = None


def prepared(folder: Path) -> str:
    """Lists and certificates of the service, a token for the agent; the token."""
    (folder / "targets.csv").write_text(HEADER + "".join(f"{t},NEWS,News Media,2026-01-01,test,\n" for t in TARGETS))
    controls = "".join(f"https://{name}/,CTRL,Control content,2026-01-01,test,\n" for name in CONTROLS)
    (folder / "controls.csv").write_text(HEADER + controls)
    TestAuthority(folder).issue("127.0.0.1").rename(folder / "service.pem")
    (folder / "token").write_text(token := new_token())
    (folder / "token").chmod(0o600)
    return token


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a database that somebody else writes."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(query).fetchall()


def time_of(uid: str) -> datetime:
    return datetime.strptime(uid.split("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


class Story:
    """The service's store, the link to it, and the agent's folder: what is in them, and the agent's calendar."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.diary, self.fate = Diary(folder), random.Random(6)
        self.database, self.spool = folder / "x.db", folder / "spool.db"
        self.shows = datetime.now(UTC) - WEEKS - 2 * DAY
        self.kills = self.unheard = 0
        self.relay: Relay

    def stored(self) -> int:
        """How many measurements the service has."""
        return int(asked(self.database, "SELECT count(*) FROM measurement")[0][0])

    def waiting(self) -> set[str]:
        """The uids that the spool has."""
        return {uid for (uid,) in asked(self.spool, "SELECT uid FROM waiting")}

    def at_service(self) -> list[str]:
        """The uids that the store has."""
        return [uid for (uid,) in asked(self.database, "SELECT uid FROM measurement")]

    async def kill(self, life: Life, ask: Callable[[], bool]) -> None:
        """Kill it at something; the calendar stands still from then on."""
        self.shows = await life.kill_at(ask, self.fate)
        self.kills += 1
        self.unheard += bool(self.waiting().intersection(self.at_service()))  # stored, and not acknowledged

    async def cut_off(self) -> datetime:
        """Have the assignment fetched, and then two weeks without the service; when they began."""
        gone = None
        async with contextlib.AsyncExitStack() as there:
            await there.enter_async_context(serving(self.folder, self.store, self.relay, every="6h"))
            for number in range(1, PROBING + 1):
                async with living(self.folder, self.shows, DARK_SPEED) as life:
                    if gone is None:
                        await life.until(lambda: bool(self.diary.uids("put")))
                        await there.aclose()
                        gone = life.shows()
                    due = gone + WEEKS * number / PROBING
                    await life.until(lambda life=life, due=due: life.shows() >= due)  # type: ignore[misc]
                    await self.kill(life, lambda: self.diary.last() == "probe")
        assert gone is not None
        return gone

    async def hand_in(self) -> None:
        """Kill it while it hands in, then let it come to its end."""
        for _ in range(UPLOADING):
            async with living(self.folder, self.shows, LATE_SPEED) as life:
                await asyncio.sleep(self.fate.uniform(0, 0.5))
                await self.kill(life, lambda: self.relay.carries)
        for _ in range(10):  # what is measured at the very end may have to wait for another start
            async with living(self.folder, self.shows, LATE_SPEED) as life:
                await life.until(lambda: not self.waiting())
                self.shows = life.shows()
                life.process.terminate()
                assert await life.process.wait() == 0
            if not self.waiting():
                return


@in_loop
async def test_two_weeks_without_the_service_ten_kills_and_half_a_link_lose_and_double_nothing(tmp_path: Path) -> None:
    token = prepared(tmp_path)
    async with Store.open(tmp_path / "x.db", simulated=True) as store:
        story = Story(tmp_path, store)
        async with relaying(story.stored, seed=6) as relay:
            story.relay = relay
            await store.enrol("inside", hash_of(token), datetime.now(UTC))
            (tmp_path / "agent.toml").write_text(AGENT.format(port=relay.port))
            gone = await story.cut_off()
            early, waited = set(story.at_service()), story.waiting()
            assert story.shows - gone >= WEEKS and relay.fates["dark"] > 50
            assert asked(story.spool, "SELECT dropped FROM total") == [(0,)]
            assert set(story.diary.uids("put")) <= early | waited <= set(story.diary.uids("putting"))
            _was_measured_all_along(sorted(map(time_of, waited)), gone, story.shows)
            async with serving(tmp_path, store, relay, every="1h"):
                await story.hand_in()
            counts = await store.counts()
    found = story.at_service()
    assert story.kills == 10
    assert story.waiting() == set() and asked(story.spool, "SELECT uid FROM refused") == []
    assert len(found) == len(set(found)) == sum(counts.values())
    assert waited | set(story.diary.uids("put")) <= set(found) <= set(story.diary.uids("putting"))
    assert relay.unheard + story.unheard >= 1
    assert abs(relay.fates["whole"] - relay.fates["up"] - relay.fates["down"] - relay.fates["lost"]) <= 4  # half


def _was_measured_all_along(times: list[datetime], gone: datetime, until: datetime) -> None:
    """Of four measurements four times a day most; a kill, or a busy machine, may take two days' from them."""
    assert len(times) >= 14 * 4 * 4 / 3
    moments = [gone, *times, until]
    assert max(after - before for before, after in pairwise(moments)) < 3 * DAY

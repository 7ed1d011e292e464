"""`wallwatch agent` in a process of its own, on a fast calendar and in a simulated network: `FOLDER SHOWS SPEED`.

It is the real one, built and run by `run_agent` from FOLDER/agent.toml, with two things in the place of the world's: the
vantage's network, and a clock that shows SHOWS at the start and runs SPEED times as fast as the host's. What it does
stands in FOLDER/told, one line each, written before anything follows from it:

    life MONOTONIC SHOWS    the clock's beginning, by the host's monotonic clock
    probe HOST              a connection to a target
    putting UID, put UID    a measurement is about to be spooled, and is on the disk
"""

import asyncio
import logging
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from unittest.mock import patch

import msgspec

from monitor.agent.assigned import base_of
from monitor.agent.spool import Spool
from monitor.command.agent import run_agent, token_of
from monitor.config import load
from monitor.demo.censor import Censor, Rule
from monitor.demo.network import SimulatedNetwork
from monitor.demo.sites import page
from monitor.demo.world import Site, World
from monitor.engine import Setup
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import Measurement
from probes.trace import Limits

CONTROLS = tuple(f"control-{letter}.example" for letter in "abcd")
OPEN = ("open-1.example", "open-2.example", "open-3.example")
BLOCKED = "blocked.example"
TARGETS = tuple(f"https://{name}/" for name in (*OPEN, BLOCKED))
_LIMITS = Limits(timeout=0.6, dns_timeout=0.5, listen=0.2)


class FastClock(Clock):
    """A calendar that runs `speed` times as fast as the host's, and waits that are as much shorter.

    Its stopwatch is the real one: packets on loopback do not travel faster because a day takes a second.
    """

    def __init__(self, shows: datetime, speed: float) -> None:
        self.began = time.monotonic()
        self._shows, self._speed = shows, speed

    def now(self) -> datetime:
        return self._shows + timedelta(seconds=(time.monotonic() - self.began) * self._speed)

    def on_host(self, moment: datetime) -> datetime:
        return datetime.now(UTC) + (moment - self.now()) / self._speed

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._speed)


class Diary:
    """The file FOLDER/told."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class ToldSpool(Spool):
    """The spool, which says what it is given."""

    diary: Diary

    async def put(self, measurement: Measurement, outcome: str, *, cause: str | None = None) -> None:
        self.diary.tell("putting", measurement.uid)
        await super().put(measurement, outcome, cause=cause)
        self.diary.tell("put", measurement.uid)


class ToldNetwork(SimulatedNetwork):
    """A censored network, which says when a target is contacted."""

    def __init__(self, made: World, diary: Diary) -> None:
        super().__init__(made, "inside", Censor([Rule(kind="tls_reset", names=(BLOCKED,))]))
        self._targets = {site.addresses[0]: site.name for site in made.sites if site.name in (*OPEN, BLOCKED)}
        self._diary = diary

    async def connect(self, address: str, port: int) -> socket:
        if address in self._targets:
            self._diary.tell("probe", self._targets[address])
        return await super().connect(address, port)


def world() -> World:
    """The targets and the control sites; no page says what time it is, for on its way it would be hours late."""
    places = [(name, f"151.101.{n}.7") for n, name in enumerate(CONTROLS, 10)]
    places += [(name, f"93.184.215.{n}") for n, name in enumerate((*OPEN, BLOCKED), 10)]
    return World(
        [Site(name, (at,), title=name, body=page(name, seed=name), headers=(("Date", ""),)) for name, at in places]
    )


def _base(folder: Path, made: World, clock: Clock, diary: Diary) -> Setup:
    """The agent's own part, which trusts the simulated sites and the service."""
    base = base_of(load(folder / "agent.toml"))
    roots = folder / "roots.pem"
    roots.write_bytes(made.authority_pem + (folder / "Test-Root.pem").read_bytes())
    [own] = base.vantages
    vantage = msgspec.structs.replace(own, network=ToldNetwork(made, diary))
    return msgspec.structs.replace(
        base, vantages=(vantage,), authorities=Authorities(roots), limits=_LIMITS, clock=clock, simulated=True
    )


async def _main(folder: Path, shows: datetime, speed: float) -> int:
    diary = ToldSpool.diary = Diary(folder)
    async with world() as made:
        clock = FastClock(shows, speed)
        base = _base(folder, made, clock, diary)
        diary.tell("life", clock.began, shows.isoformat())
        with patch.object(sys.modules[run_agent.__module__], "Spool", ToldSpool):
            return await run_agent(base, token_of(folder / "token"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    sys.exit(asyncio.run(_main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), float(sys.argv[3]))))

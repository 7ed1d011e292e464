"""A scenario: who asks for what, what the censor does to it, and what must be concluded; and how one is measured."""

import asyncio
import time
from typing import Any

import msgspec

from blocklists import target_of
from monitor.collect.vantage import Vantage
from monitor.collect.work import Result
from monitor.config import parse_document
from monitor.engine import Engine, Setup, setup
from monitor.judge.verdict import Verdict
from probes.measurement import Measurement, VantageFacts
from probes.network import DirectNetwork
from probes.resolvers import parse_resolvers
from probes.trace import Limits
from tests.scenarios.harness import REST, QuickClock

from . import plan
from .lab import Lab
from .link import DELAY, Client
from .rules import Rule
from .seat import Seat

SITE = "https://site.example/"
RESOLVERS = ("system", f"udp://{plan.PUBLIC}", plan.DOH)


class Scenario(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is played, and what must come out of it.

    `also`: URLs measured at the same time from the same place; `before`: earlier, one after the other; `lifted`: the
    censor's rules end after them and the addresses rest. `helpers`: A, C, and B, which has a censor of its own with
    `helper_rules` (shared by all that run: let them name what only this scenario asks for). `loss` of 1, each way;
    `delay` seconds each way; `slow_line`: what `tc tbf` takes as a rate, such as 2mbit. `twin` names the innocent
    scenario beside this one, `row` is of judgement.md. `check` gets what was played and asserts.
    """

    name: str
    url: str = SITE
    also: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    lifted: bool = False
    rules: tuple[Rule, ...] = ()
    helper_rules: tuple[Rule, ...] = ()
    helpers: tuple[str, ...] = ("A",)
    resolvers: tuple[str, ...] = RESOLVERS
    nameservers: tuple[str, ...] = ()
    country: str = "CN"
    loss: float = 0.0
    delay: float = DELAY
    seed: int = 0
    slow_line: str = ""
    retries: int = 3
    timeout: float = 2.0
    listen: float = 0.3
    blocked_before: bool = False
    path: bool = False
    expect: str = ""
    outcome: str = "ok"
    technique: str | None = None
    techniques: tuple[str, ...] | None = None
    cause: str | None = None
    rule: str = ""
    row: int = 0
    twin: str = ""
    check: Any = None  # a function of Played; stays with the tests, the lab does not get it


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of a scenario. `counts`: what the censor did to its client, by rule."""

    name: str
    url: str
    verdict: Verdict
    measurement: Measurement
    seconds: float
    counts: dict[str, int]


class LabClock(QuickClock):
    """Long waits pass at once, for the censor's memory too."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat

    async def sleep(self, seconds: float) -> None:
        if seconds >= 5:
            self._seat.skip(seconds)
        await super().sleep(seconds)


def base(lab: Lab) -> Setup:
    """What all measurements share: read once."""
    document = {
        "service": {"targets": []},
        "control": {"helpers": [plan.helper_url("A")], "open": str(lab.folder / "controls.csv")},
        "probe": {"ca_file": str(lab.root)},
        "vantage": [{"name": "inside"}],
    }
    return setup(parse_document(document, lab.folder / "config.toml"))


def play(lab: Lab, made: Setup, scenario: Scenario) -> list[Played]:
    """Give the scenario a client and measure its URLs, the one that it is about first."""
    how = Client(rules=list(scenario.rules), delay=scenario.delay, loss=scenario.loss, seed=scenario.seed)
    if scenario.helper_rules:
        lab.censor_helper(scenario.helper_rules)
    began = time.monotonic()
    with lab.client(how) as seat:
        if scenario.slow_line:
            seat.slow_line(scenario.slow_line)
        if scenario.nameservers:
            seat.nameservers(*scenario.nameservers)
        results = seat.run(lambda: asyncio.run(_measure(made, scenario, seat)))
        seconds, counts = time.monotonic() - began, seat.counts()
    urls = (scenario.url, *scenario.also)
    return [
        Played(
            name=scenario.name, url=url, verdict=r.verdict, measurement=r.measurement, seconds=seconds, counts=counts
        )
        for url, r in zip(urls, results, strict=True)
    ]


async def _measure(made: Setup, scenario: Scenario, seat: Seat) -> list[Result]:
    clock = LabClock(seat)
    mine = msgspec.structs.replace(
        made, clock=clock, rest=REST, vantages=(_vantage(scenario),),
        limits=Limits(timeout=scenario.timeout, dns_timeout=scenario.timeout, listen=scenario.listen),
        config=msgspec.structs.replace(
            made.config, retries=scenario.retries, path_followed=scenario.path,
            helpers=tuple(plan.helper_url(h) for h in scenario.helpers),
        ),
    )  # fmt: skip
    async with Engine(mine, was_blocked=_always if scenario.blocked_before else None) as engine:
        for url in scenario.before:
            await engine.measure(target_of(url), "inside")
        if scenario.lifted:
            seat.lift()
            await clock.sleep(REST.total_seconds())
        notes = f"expect={scenario.expect}" if scenario.expect else ""
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(engine.measure(target_of(url, notes=notes), "inside"))
                for url in (scenario.url, *scenario.also)
            ]
    return [task.result() for task in running]


def _vantage(scenario: Scenario) -> Vantage:
    return Vantage(
        facts=VantageFacts(name="inside", country=scenario.country), network=DirectNetwork(),
        resolvers=parse_resolvers(scenario.resolvers), egress="inside",
    )  # fmt: skip


async def _always(_target: str, _vantage: str) -> bool:
    return True

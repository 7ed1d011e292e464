"""Our client: a collector and a store against the world, wired as the service wires them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from blocklists import Fingerprints, Target, load_fingerprints, target_of
from monitor.collect.collect import Collector
from monitor.collect.control import Control
from monitor.collect.residual import Residual
from monitor.collect.self_test import SelfTester
from monitor.collect.slots import Slots
from monitor.collect.vantage import Vantage
from monitor.collect.work import Result
from monitor.garbage import look_seldom
from monitor.store import Store
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import VantageFacts
from probes.resolvers import parse_resolvers
from probes.trace import Limits

from .places import CONTROL, RESOLVERS, SITE, MappedNetwork, host
from .world import ROOT, Servers

WIDTH = 8  # measurements at once, where it is not the round that is measured
QUICK = Limits(listen=0.2)  # listening costs time and no CPU
_first = iter(range(0, 60_000, 64))  # each run gets names of its own: nothing is known from an earlier one


def fingerprints() -> Fingerprints:
    """Those that are shipped."""
    return load_fingerprints(sorted((ROOT / "blocklists").glob("fingerprints_*.csv")))


def targets(count: int, kind: str = SITE) -> list[Target]:
    """Sites that nobody has asked for yet, at most 64."""
    first = next(_first)
    return [target_of(f"https://{host(kind, first + n)}/") for n in range(count)]


class Client:
    """Measures, judges and stores."""

    def __init__(self, collector: Collector, vantage: Vantage, store: Store) -> None:
        self.collector, self.vantage, self.store = collector, vantage, store

    async def measure(self, target: Target) -> Result:
        """One measurement, complete."""
        result = await self.collector.measure(target, self.vantage)
        await self.store.save(result.measurement, result.verdict)
        return result

    async def measure_all(self, some: Sequence[Target]) -> list[Result]:
        """All of them, as many at once as the collector lets through."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.measure(target)) for target in some]
        return [task.result() for task in tasks]


@asynccontextmanager
async def client(servers: Servers, *, width: int = WIDTH, limits: Limits = QUICK) -> AsyncIterator[Client]:
    """A client with an empty database; `width` measurements at once."""
    authorities, clock = Authorities(servers.root), Clock()
    controls = [target_of(f"https://{host(CONTROL, n)}/", category="CTRL") for n in range(4)]
    vantage = Vantage(
        facts=VantageFacts(name="bench"), network=MappedNetwork(servers.ports),
        resolvers=parse_resolvers(RESOLVERS), egress="bench",
    )  # fmt: skip
    connector = aiohttp.TCPConnector(limit=64)
    with tempfile.TemporaryDirectory(prefix="wallwatch-bench-") as folder:
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            Store.open(Path(folder) / "bench.db") as store,
        ):
            tester = SelfTester(
                names=controls, empty=[f"{controls[0].url}generate_204"], authorities=authorities,
                limits=limits, clock=clock,
            )  # fmt: skip
            collector = Collector(
                authorities=authorities, control=Control(helpers=[servers.helper], session=session, clock=clock),
                tester=tester, residual=Residual(clock, store.set_residual), fingerprints=fingerprints(),
                limits=limits, clock=clock, slots=Slots(width),
            )  # fmt: skip
            look_seldom()  # as `wallwatch run` does
            yield Client(collector, vantage, store)

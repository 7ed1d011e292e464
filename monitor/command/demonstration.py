"""`demo`: the whole service against a simulated censored network on this machine."""

import argparse
import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec

from blocklists import Target, load, load_fingerprints
from monitor.collect.helper import Helper
from monitor.collect.vantage import Vantage
from monitor.collect.work import Result
from monitor.config import parse_document
from monitor.demo import story
from monitor.demo.network import SimulatedNetwork
from monitor.demo.sites import real_names_world
from monitor.demo.world import World
from monitor.service import SHIPPED, Service, Setup
from monitor.store import Store, StoreError
from monitor.values import host_port
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import VantageFacts
from probes.resolvers import parse_resolvers
from probes.trace import Limits

from .inputs import BadInput
from .serving import stop_on_signal

LIMITS = Limits(timeout=1.2, dns_timeout=1.0, listen=0.3)  # loopback is near
_RESOLVERS = ("system", "udp://8.8.8.8:53", "https://dns.example/dns-query?bootstrap=9.9.9.9")
_ENDLESS = 90.0  # seconds that the story takes where the demo has no end
_LISTENER, _SILENT = "192.241.1.1", "192.241.1.2"  # where the simulated helper lends listeners, and where nobody is
_LISTENERS = 48
_ROUNDS = 7  # in the story


def demo(arguments: argparse.Namespace) -> int:
    """Play; with `--for` exit 0 only if all was found and nothing innocent was called blocked."""
    try:
        listen = host_port(arguments.listen)
    except ValueError as error:
        raise BadInput(f"--listen: {error}") from None
    if arguments.seconds is not None and arguments.seconds < 20:
        raise BadInput("--for: the story needs at least 20 seconds")
    with tempfile.TemporaryDirectory(prefix="wallwatch-demo-") as folder:
        database = arguments.database or Path(folder) / "simulated.db"
        return asyncio.run(_play(database, listen, arguments.seconds, Path(folder)))


async def _play(database: Path, listen: tuple[str, int], seconds: float | None, folder: Path) -> int:
    length = seconds or _ENDLESS
    censors = story.Censors()
    async with real_names_world() as world:
        authorities = _authorities(world, folder)
        helper = Helper(
            SimulatedNetwork(world, "control"),
            authorities,
            resolvers=parse_resolvers(["system"]),
            rate=1000.0,
            burst=10_000,
            limits=LIMITS,
            public=_LISTENER,
            silent=_SILENT,
        )
        await helper.start(("127.0.0.1", 0), [("127.0.0.1", 0)] * _LISTENERS)
        for place in (p for p in helper.neutral_endpoints if p["protocol"] == "tcp"):
            world.add_service("neutral.example", place["address"], place["port"], place["port"])
        try:
            made = _setup(world, censors, authorities, f"http://127.0.0.1:{helper.port}/", database, listen, length)
            async with Store.open(database, simulated=True) as store, Service(made, store=store) as service:
                return await _run(service, censors, length, endless=seconds is None)
        except StoreError as error:
            raise BadInput(str(error)) from None
        finally:
            await helper.stop()


def _authorities(world: World, folder: Path) -> Authorities:
    path = folder / "simulated-root.pem"
    path.write_bytes(world.authority_pem)
    return Authorities(path)


def _setup(
    world: World,
    censors: story.Censors,
    authorities: Authorities,
    helper: str,
    database: Path,
    listen: tuple[str, int],
    length: float,
) -> Setup:
    document = {
        "control": {"helpers": [helper], "empty": ["http://connectivitycheck.example/"]},
        "schedule": {"every": f"{length / _ROUNDS:.1f}s", "jitter": "1s"},
    }
    config = msgspec.structs.replace(
        parse_document(document, Path("demo")), database=database, listen=listen, targets=(SHIPPED / "release.csv",)
    )
    vantages = tuple(
        Vantage(
            facts=VantageFacts(name=name, country=country, asn=asn, simulated=True),
            network=SimulatedNetwork(world, name, censors.by_vantage[name]),
            resolvers=parse_resolvers(_RESOLVERS), egress=name,
        )
        for name, (country, asn) in story.COUNTRIES.items()
    )  # fmt: skip
    return Setup(
        config=config, targets={"release.csv": tuple(load(SHIPPED / "release.csv"))}, controls=_controls(world),
        fingerprints=load_fingerprints(sorted(SHIPPED.glob("fingerprints_*.csv"))), authorities=authorities,
        vantages=vantages, limits=LIMITS, clock=Clock(), rest=timedelta(seconds=1), simulated=True,
    )  # fmt: skip


def _controls(world: World) -> tuple[Target, ...]:
    """The shipped control list, as far as the simulated world has the sites."""
    known = {name for site in world.sites for name in site.names()}
    return tuple(t for t in load(SHIPPED / "controls.csv") if t.url.split("/")[2] in known)


async def _run(service: Service, censors: story.Censors, length: float, *, endless: bool) -> int:
    results: list[Result] = []
    queue: asyncio.Queue[Result] = asyncio.Queue()
    service.on_result.append(queue)
    await service.serve()
    host = service.engine.config.listen[0]
    print(f"SIMULATED: nothing here is the real Internet. http://{host}:{service.port}/", file=sys.stderr)
    stop_on_signal(service.stop)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(service.run())
        telling = group.create_task(_tell(queue, results))
        turning = group.create_task(_turn(service, censors, length))
        if not endless:
            asyncio.get_running_loop().call_later(length, service.stop)
        await running
        telling.cancel()
        turning.cancel()
    seen = story.Seen(
        results=results, events=await service.store.events(), states=await service.store.series_states(),
        changed_at=censors.changed_at,
    )  # fmt: skip
    return 0 if endless else report(seen)


async def _turn(service: Service, censors: story.Censors, length: float) -> None:
    """The turn of the story."""
    await asyncio.sleep(length * story.CHANGE)
    censors.change(service.engine.setup.clock.now())
    print("SIMULATED: the story turns: two blocks begin, two end", file=sys.stderr)


async def _tell(queue: asyncio.Queue[Result], results: list[Result]) -> None:
    """Print every result as it comes; it is stored by then."""
    while True:
        result = await queue.get()
        results.append(result)
        measurement, verdict = result.measurement, result.verdict
        what = f"{verdict.outcome} {verdict.technique or verdict.cause or ''}".strip()
        seen = f"{measurement.vantage.name:<14} {measurement.target:<36} {what}"
        print(f"{measurement.time:%H:%M:%S} SIMULATED {seen:<85} stored {measurement.uid}", flush=True)


def report(seen: story.Seen) -> int:
    """Print what was found against what was simulated; the exit code."""
    found, faults = story.compare(seen)
    print(f"\nSIMULATED: {len(seen.results)} measurements; {len(found)} of {len(story.PLAYED)} simulated blocks found")
    for line in found:
        print(f"  found   {line}")
    for line in faults:
        print(f"  FAULT   {line}")
    print("nothing innocent was called blocked" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0

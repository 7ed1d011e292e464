"""Plays scenarios behind a real proxy, in a network namespace of its own: `python -m tests.collect.proxied KIND FOLDER`.

One line of JSON for each scenario goes to stdout.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from blocklists import target_of
from monitor.collect.collect import Collector
from monitor.collect.control import Control
from monitor.collect.helper import Helper
from monitor.collect.residual import Residual
from monitor.collect.self_test import SelfTester
from monitor.collect.vantage import Vantage
from monitor.collect.work import Result
from monitor.demo.censor import Censor
from monitor.demo.network import SimulatedNetwork
from monitor.demo.world import Site, World
from probes.certificate import Authorities
from probes.dns import DNSLookup
from probes.followup.setting import Endpoint
from probes.measurement import VantageFacts
from probes.proxy import ProxyNetwork
from probes.resolvers import parse_resolvers
from probes.tcp import TCPConnect
from probes.trace import Limits
from tests.probes.proxies import HTTP, SOCKS5, free_port, proxy
from tests.scenarios.harness import CONTROL_NAMES, FINGERPRINTS, REST, QuickClock, default_site

from .far_side import FarSide, every_address_is_here
from .proxied_scenarios import SCENARIOS, Proxied

LIMITS = Limits(timeout=1.0, dns_timeout=1.0, listen=0.1)
RESOLVERS = ("system", "udp://8.8.8.8:53", "https://dns.example/dns-query")
SILENT, PUBLIC = "192.241.9.9", "192.241.1.1"
PROGRAMS = {"socks5": SOCKS5, "http": HTTP}


class Told(msgspec.Struct, kw_only=True):
    """How one scenario came out. `lookups`: engine and failure of each; `left_out`: kind and reason of experiments."""

    name: str
    outcome: str = ""
    technique: str | None = None
    cause: str | None = None
    rules: tuple[str, ...] = ()
    reason: str = ""
    blind: tuple[str, ...] = ()
    lookups: tuple[tuple[str, str | None], ...] = ()
    contacts: tuple[tuple[str, int, str | None], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def world_of(scenario: Proxied) -> World:
    """The scenario's sites, the control names and an empty page."""
    controls = [default_site(name, f"151.101.{n}.7") for n, name in enumerate(CONTROL_NAMES, 10)]
    empty = Site("empty.example", ("146.75.30.10",), status=204, http="serve", title="")
    return World([*controls, empty, *scenario.sites])


def endpoints_of(scenario: Proxied, world: World) -> Iterator[Endpoint]:
    """Where somebody listens at the far side."""
    shut = {*scenario.closed, *scenario.silent}
    for site in world.sites:
        deaf = scenario.deaf and site.name in CONTROL_NAMES
        for address in sorted(set() if deaf else site.everywhere() - shut):
            yield from ((address, port) for port in (80, 443) if world.door(address, port) == "open")


def hosts_of(scenario: Proxied, world: World) -> dict[str, str]:
    """Where each name leads at the far side."""
    found = {site.name: site.addresses[0] for site in world.sites if site.addresses} | scenario.hosts
    return {name: address for name, address in found.items() if address}


async def play(scenario: Proxied, kind: str, folder: Path) -> Result:
    """Measure the URL through a proxy of that kind."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.sleep, 0.05)  # what was cut is closed before the loop ends
        world = await stack.enter_async_context(world_of(scenario))
        (folder / "root.pem").write_bytes(world.authority_pem)
        authorities = Authorities(folder / "root.pem")
        helper = Helper(
            SimulatedNetwork(world, "helper"), authorities, resolvers=parse_resolvers(["system"]), rate=1e6,
            burst=10**6, limits=LIMITS, public=PUBLIC, silent=SILENT,
        )  # fmt: skip
        await helper.start(("127.0.0.1", 0), [("127.0.0.1", 0)] * scenario.neutral)
        stack.push_async_callback(helper.stop)
        lent = [(p["address"], p["port"]) for p in helper.neutral_endpoints if p["protocol"] == "tcp"]
        for address, port in lent:
            world.add_service("neutral.example", address, port, port)
        running = await stack.enter_async_context(proxy(PROGRAMS[kind], folder, hosts=hosts_of(scenario, world)))
        ended = asyncio.Event()

        def contacted(endpoint: Endpoint) -> None:
            if scenario.dies and endpoint[0] in scenario.sites[0].addresses:
                ended.set()

        far = FarSide(SimulatedNetwork(world, "inside", Censor(scenario.rules)), stack, contacted)
        await far.open([*endpoints_of(scenario, world), *lent])
        far.fall_silent((address, port) for address in scenario.silent for port in (80, 443))
        url = running.url if not scenario.absent else f"{kind}://127.0.0.1:{free_port()}"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with asyncio.TaskGroup() as group:
            end = group.create_task(_end(ended, running.stop))
            result = await _measure(scenario, kind, url, authorities, f"http://127.0.0.1:{helper.port}/", session)
            end.cancel()
        return result


async def _end(when: asyncio.Event, stop: Any) -> None:
    await when.wait()
    await stop()


async def _measure(
    scenario: Proxied, kind: str, url: str, authorities: Authorities, helper: str, session: aiohttp.ClientSession
) -> Result:
    clock, network = QuickClock(), ProxyNetwork(url, patience=LIMITS.timeout / 2)
    facts = VantageFacts(name="inside", kind=kind, country=scenario.country, blind=tuple(sorted(network.blind)))
    vantage = Vantage(facts=facts, network=network, resolvers=parse_resolvers(RESOLVERS), egress="inside")
    controls = [target_of(f"https://{name}/", category="CTRL") for name in CONTROL_NAMES]
    collector = Collector(
        authorities=authorities, control=Control(helpers=[helper], session=session, clock=clock),
        tester=SelfTester(names=controls, empty=["http://empty.example/"], authorities=authorities, limits=LIMITS,
                          clock=clock),
        residual=Residual(clock, rest=REST), fingerprints=FINGERPRINTS, limits=LIMITS, clock=clock, retries=3,
    )  # fmt: skip
    return await collector.measure(target_of(scenario.url), vantage)


def told(scenario: Proxied, result: Result, seconds: float) -> Told:
    """What the tests look at."""
    made, verdict = result.measurement, result.verdict
    return Told(
        name=scenario.name, outcome=verdict.outcome, technique=verdict.technique, cause=verdict.cause,
        rules=verdict.rules, reason=verdict.reason, blind=made.vantage.blind, seconds=seconds,
        lookups=tuple((op.engine, op.failure) for op in made.operations if isinstance(op, DNSLookup)),
        contacts=tuple((op.address, op.attempt, op.failure) for op in made.operations if isinstance(op, TCPConnect)),
        left_out=tuple((e.kind, e.left_out) for e in made.experiments if e.left_out),
    )


def main(kind: str, folder: Path, names: list[str]) -> None:
    """All scenarios of a kind, or those named."""
    every_address_is_here()
    for scenario in SCENARIOS:
        if kind in scenario.kinds and (not names or scenario.name in names):
            began = time.monotonic()
            result = asyncio.run(play(scenario, kind, folder))
            line = msgspec.json.encode(told(scenario, result, round(time.monotonic() - began, 1)))
            print(line.decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

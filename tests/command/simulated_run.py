"""`wallwatch run CONFIG` in a process of its own, as it is but for its vantages, which are simulated ones."""

import asyncio
import logging
import sys
from pathlib import Path

import msgspec

from monitor.collect.vantage import Vantage
from monitor.command.serving import serve
from monitor.config import load
from monitor.demo.network import SimulatedNetwork
from monitor.demo.world import Site, World
from monitor.engine import Setup, setup
from tests.scenarios.harness import CONTROL_NAMES, LIMITS, default_site

SLOW = 1.5  # seconds that a page of slow-N.example takes
FAST, SLOW_SITES = 6, 12


def world() -> World:
    """fast-N.example, slow-N.example, slower.example, silent.example and the control sites."""
    controls = [default_site(name, f"151.101.{n}.7") for n, name in enumerate(CONTROL_NAMES, 10)]
    fast = [default_site(f"fast-{n}.example", f"93.184.215.{n + 1}") for n in range(FAST)]
    slow = [
        default_site(f"slow-{n}.example", f"93.184.216.{n + 1}", behaviour="slow", seconds=SLOW)
        for n in range(SLOW_SITES)
    ]
    slower = default_site("slower.example", "93.184.217.2", behaviour="slow", seconds=4 * SLOW)
    return World([*controls, *fast, *slow, slower, Site("silent.example", ("93.184.217.1",), behaviour="silent")])


class Simulation:
    """Gives setups of a configuration, with one network a vantage for as long as the process lives."""

    def __init__(self, path: Path, simulated: World) -> None:
        self._path, self._world = path, simulated
        self._networks: dict[str, SimulatedNetwork] = {}

    def read(self) -> Setup:
        """The setup as the configuration has it, its vantages in the simulated network."""
        made = setup(load(self._path))
        vantages = tuple(self._vantage(vantage) for vantage in made.vantages)
        limits = msgspec.structs.replace(LIMITS, timeout=made.config.timeout)
        return msgspec.structs.replace(made, vantages=vantages, limits=limits, simulated=True)

    def _vantage(self, vantage: Vantage) -> Vantage:
        name = vantage.name
        network = self._networks.setdefault(name, SimulatedNetwork(self._world, name))
        facts = msgspec.structs.replace(vantage.facts, simulated=True)
        return msgspec.structs.replace(vantage, facts=facts, network=network, egress=name)


async def _main(path: Path) -> int:
    async with world() as made:
        (path.parent / "root.pem").write_bytes(made.authority_pem)
        simulation = Simulation(path, made)
        return await serve(simulation.read(), simulation.read)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("wallwatch").setLevel(logging.INFO)
    sys.exit(asyncio.run(_main(Path(sys.argv[1]))))

"""A list of 2,000 lines is measured as one round in the simulated world, with nothing lost."""

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from blocklists.targets import HEADER
from monitor.config import load
from monitor.demo.network import SimulatedNetwork
from monitor.demo.world import World
from monitor.engine import setup
from monitor.service import Service
from monitor.store import Store
from tests.scenarios.harness import CONTROL_NAMES, LIMITS, default_site

LINES = 2000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [f"http://page-{n}.example/,NEWS,News media,2020-01-01,them," for n in range(LINES)]
    controls = [f"https://{name}/,CTRL,Control,2020-01-01,us," for name in CONTROL_NAMES]
    (tmp_path / "list.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "controls.csv").write_text("\n".join([HEADER, *controls]) + "\n")
    path = tmp_path / "config.toml"
    path.write_text('[service]\ntargets = ["list.csv"]\n[control]\nopen = "controls.csv"\n[probe]\nretries = 0\n')
    return path


def test_two_thousand_lines_are_one_round(config: Path) -> None:
    controls = [default_site(name, f"151.101.{n}.7") for n, name in enumerate(CONTROL_NAMES, 10)]
    pages = [default_site(f"page-{n}.example", f"93.184.{100 + n // 250}.{1 + n % 250}") for n in range(LINES)]
    made = setup(load(config))
    world = World([*controls, *pages])
    network = SimulatedNetwork(world, "local")
    vantages = tuple(msgspec.structs.replace(vantage, network=network) for vantage in made.vantages)
    made = msgspec.structs.replace(made, vantages=vantages, limits=LIMITS, simulated=True)

    async def once() -> int:
        async with world, Store.open(made.config.database) as store, Service(made, store=store) as service:
            results = await service.once()
            assert Counter(r.measurement.target for r in results) == {
                f"http://page-{n}.example/": 1 for n in range(LINES)
            }
            return len({row.target for row in await store.newest()})

    assert asyncio.run(once()) == LINES

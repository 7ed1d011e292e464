"""`check`: every fault of the configuration and its lists; does each control and vantage work?"""

import argparse
import asyncio
import sys

from monitor.collect.self_test import networks_of, told
from monitor.service import Engine, Setup, setup

from .inputs import BadInput, config_of


def check(arguments: argparse.Namespace) -> int:
    """Check the configuration and everything that it names, then try controls and vantages."""
    made = setup(config_of(arguments))
    if networks_of(made.controls) < 3:
        raise BadInput(f"{made.config.control_open}: at least 3 control sites are needed to tell an offline vantage")
    print(
        f"{made.config.path}: no fault; {sum(map(len, made.targets.values()))} targets, {len(made.vantages)} vantages"
    )
    if not made.config.helpers and not made.config.control_vantage:
        print("no control is configured: unexplained failures are insufficient", file=sys.stderr)
    asyncio.run(_try(made))
    return 0


async def _try(made: Setup) -> None:
    async with Engine(made) as engine:
        faults = await engine.check_control()
        for helper in made.config.helpers:
            print(f"control {helper}: {faults.get(helper, 'works')}")
        for vantage in made.vantages:
            _at, test = await engine.collector.tester.test(vantage)
            print(f"vantage {vantage.name}: {told(test)}")

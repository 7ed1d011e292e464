"""`check`: every fault of the configuration and its lists; does each control and vantage work?"""

import argparse
import asyncio
import sys

from monitor.agent import tls
from monitor.collect.self_test import networks_of, told
from monitor.egress import take_confirmed
from monitor.judge.vantage import situations
from monitor.publish.text import printable
from monitor.service import Engine, Setup, setup
from monitor.store import Store, StoreError
from probes.capability import WORDS
from probes.measurement import SelfTest, VantageFacts

from .inputs import BadInput, config_of

_LONGEST = 400  # characters of a line about a vantage


def check(arguments: argparse.Namespace) -> int:
    """Check the configuration and everything that it names, then try controls and vantages."""
    made = setup(config_of(arguments))
    tls.context_of(made.config)
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
        await _know_confirmed(engine)
        for vantage in engine.vantages.values():
            if vantage.facts.kind == "agent":
                print(f"vantage {vantage.name}: an agent, which tests itself")
            else:
                _at, test = await engine.collector.tester.test(vantage)
                print("\n".join(account(test, vantage.facts)))


async def _know_confirmed(engine: Engine) -> None:
    """Take over which ways out are confirmed, where there is a database yet."""
    path = engine.config.database
    if not path.exists():
        return
    try:
        async with Store.open(path, read_only=True) as store:
            await take_confirmed(engine, store)
    except StoreError as error:
        print(error, file=sys.stderr)


def account(test: SelfTest, facts: VantageFacts) -> list[str]:
    """Lines about a vantage: how it is, each situation that it is in, what it cannot measure."""
    lines = [f"vantage {facts.name}: {told(test, facts)}"]
    lines += [f"  {found.effect}: {found.text} ({found.id})" for found in situations(test, facts)]
    if facts.blind:
        lines.append(f"  not measured from here: {', '.join(WORDS.get(word, word) for word in facts.blind)}")
    return [printable(line, _LONGEST) for line in lines]

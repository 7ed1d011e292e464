"""`measure`: measure now and print; nothing is stored but the entries in the table of residual blocking."""

import argparse
import asyncio
import sys
from functools import partial

from blocklists import Target, target_of
from monitor import __version__
from monitor.collect.collect import HISTORY
from monitor.collect.work import Result
from monitor.egress import take_confirmed
from monitor.publish.account import account
from monitor.publish.record import as_json
from monitor.service import Engine, setup
from monitor.store import Store, StoreError

from .inputs import BadInput, config_of


def measure(arguments: argparse.Namespace) -> int:
    """One account, or one JSON line, a target and vantage."""
    config = config_of(arguments)
    made = setup(config)
    listed = {t.name: t for found in made.targets.values() for t in found}
    listed |= {t.url: t for t in listed.values() if t.url}
    targets = [listed.get(target.url or target.name, target) for target in map(_target, arguments.urls)]
    names = [v.name for v in made.vantages if v.facts.kind != "agent"]
    unknown = [name for name in arguments.vantage if name not in names]
    if unknown:
        known = f"there are {', '.join(names)}"
        raise BadInput(f"{config.path}: no vantage of this machine's is called {unknown[0]!r}; {known}")
    asyncio.run(_measure(Engine(made), targets, arguments.vantage, arguments.format))
    return 0


def _target(url: str) -> Target:
    try:
        return target_of(url)
    except ValueError as error:
        raise BadInput(f"{url}: {error}") from None


async def _measure(engine: Engine, targets: list[Target], vantages: list[str], style: str) -> None:
    try:
        store = Store.open(engine.config.database, shared=True)
    except StoreError as error:
        raise BadInput(str(error)) from None
    async with store, engine:
        engine.residual.keep_in(store.set_residual)
        engine.collector.was_blocked = partial(store.was_blocked, n=HISTORY)
        await engine.load_residuals(store)
        await take_confirmed(engine, store)
        if not engine.control.configured:
            print("wallwatch: no control is configured: unexplained failures are insufficient", file=sys.stderr)
        await engine.check_control()
        async with asyncio.TaskGroup() as group:
            for target in targets:
                for name in vantages or engine.measured_vantages():
                    group.create_task(_one(engine, target, name, style))


async def _one(engine: Engine, target: Target, vantage: str, style: str) -> None:
    _print(await engine.measure(target, vantage), style)


def _print(result: Result, style: str) -> None:
    if style == "json":
        text = as_json(result.measurement, result.verdict, version=__version__).decode()
    else:
        text = account(result.measurement, result.verdict)
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()

"""`confirm`: the way out of a vantage ends somewhere else now, and that is right."""

import argparse
import asyncio

from monitor.egress import confirm_present, take_confirmed
from monitor.judge.unusable import place
from monitor.service import Engine, Setup, setup
from monitor.store import Store, StoreError

from .inputs import BadInput, config_of


def confirm(arguments: argparse.Namespace) -> int:
    """Test a vantage now, and accept the country and network in which its way out ends."""
    made = setup(config_of(arguments))
    names = [vantage.name for vantage in made.vantages]
    if arguments.name not in names:
        raise BadInput(f"{made.config.path}: no vantage is called {arguments.name!r}; there are {', '.join(names)}")
    if made.networks is None:
        raise BadInput(f"{made.config.path}: geo.database: is needed to tell where a way out ends")
    print(asyncio.run(_confirm(made, arguments.name)))
    return 0


async def _confirm(made: Setup, name: str) -> str:
    try:
        store = Store.open(made.config.database, simulated=made.simulated, shared=True)
    except StoreError as error:
        raise BadInput(str(error)) from None
    async with store, Engine(made) as engine:
        await take_confirmed(engine, store)
        before = engine.vantages[name].facts
        test, why_not = await confirm_present(engine, store, name)
        if why_not:
            raise BadInput(f"vantage {name}: {why_not}")
    now = place(test.egress_asn, test.egress_country)
    was = place(before.asn, before.country)
    return f"vantage {name}: the way out ends in {now}" + (f", no longer in {was}" if was not in ("", now) else "")

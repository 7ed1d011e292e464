"""`analyze` and `import`: recorded measurements, judged without any network."""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from blocklists import Fingerprints, ListError, load_fingerprints
from monitor.collect.work import uid_of
from monitor.config import load
from monitor.judge.analyze import analyze as judge
from monitor.service import SHIPPED
from monitor.store import Store, StoreError
from probes.measurement import Measurement

from .inputs import BadInput, config_of, measurements


def _fingerprints(arguments: argparse.Namespace) -> Fingerprints:
    """The shipped tables, and those of the configuration where there is one."""
    path = arguments.config or Path("config.toml")
    config = load(path) if arguments.config or path.exists() else None
    more, downloaded = (config.fingerprints, config.downloaded) if config else ((), frozenset())
    try:
        return load_fingerprints([*sorted(SHIPPED.glob("fingerprints_*.csv")), *more], downloaded=downloaded)
    except ListError as error:
        raise BadInput(str(error)) from None


def analyze(arguments: argparse.Namespace) -> int:
    """One JSON line a measurement; bad lines go to standard error, the rest is judged, exit 2."""
    fingerprints, bad = _fingerprints(arguments), 0
    for _where, found in measurements(arguments.files):
        if isinstance(found, BadInput):
            bad += 1
            print(f"wallwatch: {found}", file=sys.stderr)
            continue
        line = {
            "uid": None if found.recorded else found.uid,
            "input": found.target,
            "vantage": found.vantage.name,
            "verdict": judge(found, fingerprints),
        }
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    return 2 if bad else 0


def import_(arguments: argparse.Namespace) -> int:
    """Add recorded measurements to the store; a measurement that is there already changes nothing."""
    config, fingerprints = config_of(arguments), _fingerprints(arguments)
    found = list(measurements(arguments.files))
    bad = [item for _where, item in found if isinstance(item, BadInput)]
    good = [_named(item) for _where, item in found if not isinstance(item, BadInput)]

    async def save() -> None:
        async with Store.open(config.database) as store:
            for measurement in sorted(good, key=lambda m: m.time):
                await store.save(measurement, judge(measurement, fingerprints), defer=True)
            await store.rebuild()

    try:
        asyncio.run(save())
    except StoreError as error:
        raise BadInput(str(error)) from None
    for fault in bad:
        print(f"wallwatch: {fault}", file=sys.stderr)
    print(f"{len(good)} measurements read, {len(bad)} bad", file=sys.stderr)
    return 2 if bad else 0


def _named(measurement: Measurement) -> Measurement:
    """A recorded measurement without an id gets one."""
    return measurement if measurement.uid else msgspec.structs.replace(measurement, uid=uid_of(measurement.time))

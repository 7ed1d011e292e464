"""A store to export: two targets at two vantages, blocks that begin and end, in any order of saving."""

import asyncio
import random
from pathlib import Path
from typing import Any

from blocklists import Fingerprints, load_fingerprints
from monitor.judge.verdict import Verdict
from monitor.publish.export import Package, write
from monitor.store import Selection, Store
from monitor.store.snapshot import snapshot
from probes.measurement import Measurement, VantageFacts

from . import sample

ROOT = Path(__file__).resolve().parents[2]
FINGERPRINTS: Fingerprints = load_fingerprints(sorted((ROOT / "blocklists").glob("fingerprints_*.csv")))
TARGETS = ("https://example.com/", 'https://example.com/a,b?"quoted"=é六四')
VANTAGES = ("home", "away")
PATTERN = "oobbboobob"  # o: ok, b: blocked


def measured(*, simulated: bool = False, rounds: str = PATTERN) -> list[tuple[Measurement, Verdict]]:
    made = []
    for minute, letter in enumerate(rounds):
        for number, (name, place) in enumerate((t, v) for t in TARGETS for v in VANTAGES):
            make = sample.calm if letter == "o" or place == "away" else sample.resets
            facts = VantageFacts(name=place, country="CN" if place == "home" else "", asn=4134 if place == "home" else 0,
                                 simulated=simulated)  # fmt: skip
            made.append(make(f"u{minute:03}{number}", name=name, vantage=facts, minutes=minute + number / 100))
    return made


def stored(path: Path, found: list[tuple[Measurement, Verdict]] | None = None, *, simulated: bool = False,
           shuffled: int = 0) -> Path:  # fmt: skip
    """A database of these; `shuffled` saves them in another order."""
    found = measured(simulated=simulated) if found is None else found
    if shuffled:
        random.Random(shuffled).shuffle(found)

    async def fill() -> None:
        async with Store.open(path, simulated=simulated) as store:
            await asyncio.gather(*(store.save(*pair, defer=True) for pair in found))
            await store.rebuild()

    asyncio.run(fill())
    return path


def packed(database: Path, folder: Path, style: str = "csv", *, author: str = "", licence: str = "",
           **selection: Any) -> Path:  # fmt: skip
    package = Package(format=style, selection=Selection(**selection), version="0.1.0", author=author, licence=licence)
    with snapshot(database) as state:
        write(folder, package, state, fingerprints=FINGERPRINTS)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

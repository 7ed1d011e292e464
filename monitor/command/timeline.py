"""`timeline`: events and present states, from the store or from an exported file."""

import argparse
import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from monitor.publish import exported, timeline_table, timeline_text
from monitor.publish.lines import Fault
from monitor.publish.text import printable
from monitor.publish.timeline import Pile, Placed, Series
from monitor.publish.timeline import timeline as series_of
from monitor.publish.when import time_of
from monitor.store import Selection, Store, StoreError

from .inputs import BadInput, config_of


def timeline(arguments: argparse.Namespace) -> int:
    """Print the timeline; where the file has faults, of what is good in it, and exit 2.

    `--since` chooses events by the time at which they were known; what came before it is evidence all the same.
    """
    since = _time("--since", arguments.since)
    chosen = Selection(target=arguments.target, vantage=arguments.vantage, until=_time("--until", arguments.until))
    if since and chosen.until and since >= chosen.until:
        raise BadInput("--since: must be earlier than --until")
    if arguments.input:
        points, simulated, faults = _from_file(arguments.input, chosen)
    else:
        (points, simulated), faults = _from_store(arguments, chosen), 0
    _print(_since(series_of(points), since), arguments, simulated=simulated)
    return 2 if faults else 0


def _time(option: str, text: str | None) -> datetime | None:
    try:
        return time_of(text) if text is not None else None
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None


def _since(found: Iterable[Series], since: datetime | None) -> Iterator[Series]:
    for series in found:
        shown = tuple(event for event in series.events if since is None or event.detected_at >= since)
        yield msgspec.structs.replace(series, events=shown)


def _from_store(arguments: argparse.Namespace, chosen: Selection) -> tuple[Iterator[Placed], bool]:
    try:
        store = Store.open_any(config_of(arguments).database)
    except StoreError as error:
        raise BadInput(str(error)) from None
    return store.iter_points(chosen), store.simulated


def _from_file(name: str, chosen: Selection) -> tuple[Iterator[Placed], bool, int]:
    """The points of a file, whether they are simulated, and how many faults were told."""
    pile, faults = Pile(), 0
    with _opened(name) as file:
        for found in exported.rows(file):
            if not isinstance(found, Fault):
                number, row = found
                if not _is_chosen(row, chosen) or pile.add(row):
                    continue
                found = Fault(number, "uid", f"{printable(row.uid, 90)!r} was on another line, which says otherwise")
            faults += 1
            print(f"wallwatch: {name}:{found}", file=sys.stderr)
    return pile.points(), pile.simulated, faults


def _is_chosen(row: exported.Row, chosen: Selection) -> bool:
    return (
        (chosen.target is None or row.target == chosen.target)
        and (chosen.vantage is None or row.vantage == chosen.vantage)
        and (chosen.until is None or row.time < chosen.until)
    )


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """A file by its name, `.gz` ones unpacked, or standard input. Raises BadInput."""
    if name == "-":
        yield sys.stdin.buffer
        return
    with _open(name) as file:
        yield file


def _open(name: str) -> BinaryIO:
    try:
        if name.endswith(".gz"):
            return io.BufferedReader(cast(io.RawIOBase, gzip.open(name, "rb")))
        return Path(name).open("rb")
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from None


def _print(found: Iterator[Series], arguments: argparse.Namespace, *, simulated: bool) -> None:
    if simulated and arguments.format != "text":
        print(f"wallwatch: {timeline_text.SIMULATED}", file=sys.stderr)
    for piece in _pieces(found, arguments.format, states=arguments.states, simulated=simulated):
        sys.stdout.write(piece)


def _pieces(found: Iterator[Series], style: str, *, states: bool, simulated: bool) -> Iterator[str]:
    if style == "text":
        return timeline_text.text(found, simulated=simulated, events=not states)
    if states:
        documents = map(timeline_table.state_document, found)
        return timeline_table.as_json(documents) if style == "json" else timeline_table.states_csv(found)
    events = (event for series in found for event in series.events)
    if style == "csv":
        return timeline_table.events_csv(events)
    return timeline_table.as_json(timeline_table.event_documents(events))

"""`timeline`: events and present states, from the store or from an exported file."""

import argparse
import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from monitor.config import KEYS, Config
from monitor.judge.detect import Event
from monitor.judge.wide import SHARE
from monitor.publish import exported, timeline_table, timeline_text
from monitor.publish.lines import Fault
from monitor.publish.text import printable
from monitor.publish.timeline import Pile, Series, folded
from monitor.publish.timeline import timeline as series_of
from monitor.publish.when import time_of
from monitor.store import Selection, Store, StoreError

from .inputs import BadInput, config_of

_ORDER = attrgetter("target", "vantage", "detected_at", "before")


def timeline(arguments: argparse.Namespace) -> int:
    """Print the timeline; where the file has faults, of what is good in it, and exit 2.

    `--since` chooses events by the time at which they were known; what came before it is evidence all the same. So
    are other targets: what most of them do at once is one event.
    """
    since = _time("--since", arguments.since)
    chosen = Selection(target=arguments.target, vantage=arguments.vantage, until=_time("--until", arguments.until))
    if since and chosen.until and since >= chosen.until:
        raise BadInput("--since: must be earlier than --until")
    share, faults = _share(arguments.wide), 0
    if arguments.input:
        found, simulated, faults = _from_file(arguments.input, chosen)
    else:
        config = config_of(arguments)
        share = share or config.wide
        found, simulated = _from_store(config, chosen, states=arguments.states)
    wide: list[Event] = []
    if not arguments.states:
        found, wide = folded(found, share=share or SHARE)
        wide = [event for event in wide if chosen.target in (None, *event.targets) and _is_since(event, since)]
    shown = (one for one in found if chosen.target in (None, one.target))
    _print(_since(shown, since), wide, arguments, simulated=simulated)
    return 2 if faults else 0


def _share(text: str | None) -> int | None:
    try:
        return KEYS["judge"]["wide"].parse(int(text)) if text is not None else None
    except ValueError as error:
        raise BadInput(f"--wide: {error}") from None


def _time(option: str, text: str | None) -> datetime | None:
    try:
        return time_of(text) if text is not None else None
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None


def _since(found: Iterable[Series], since: datetime | None) -> Iterator[Series]:
    for series in found:
        events, shared = (
            tuple(event for event in several if _is_since(event, since)) for several in (series.events, series.shared)
        )
        yield msgspec.structs.replace(series, events=events, shared=shared)


def _is_since(event: Event, since: datetime | None) -> bool:
    return since is None or event.detected_at >= since


def _from_store(config: Config, chosen: Selection, *, states: bool) -> tuple[Iterable[Series], bool]:
    """The chosen series, whether they are simulated, and for events the others of vantages where one changed."""
    try:
        store = Store.open_any(config.database)
    except StoreError as error:
        raise BadInput(str(error)) from None
    found: Iterable[Series] = series_of(store.iter_points(chosen))
    if chosen.target is not None and not states:
        mine = {(one.target, one.vantage): one for one in found}
        for vantage in [one.vantage for one in mine.values() if one.events]:
            others = msgspec.structs.replace(chosen, target=None, vantage=vantage)
            mine |= {(one.target, one.vantage): one for one in series_of(store.iter_points(others))}
        found = [mine[key] for key in sorted(mine)]
    return found, store.simulated


def _from_file(name: str, chosen: Selection) -> tuple[Iterable[Series], bool, int]:
    """The series of a file, also of other targets, whether they are simulated, and how many faults were told."""
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
    return series_of(pile.points()), pile.simulated, faults


def _is_chosen(row: exported.Row, chosen: Selection) -> bool:
    return (
        (chosen.vantage is None or row.vantage == chosen.vantage) and (chosen.until is None or row.time < chosen.until)
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


def _print(
    found: Iterator[Series], wide: list[Event], arguments: argparse.Namespace, *, simulated: bool
) -> None:
    if simulated and arguments.format != "text":
        print(f"wallwatch: {timeline_text.SIMULATED}", file=sys.stderr)
    for piece in _pieces(found, wide, arguments.format, states=arguments.states, simulated=simulated):
        sys.stdout.write(piece)


def _pieces(
    found: Iterator[Series], wide: list[Event], style: str, *, states: bool, simulated: bool
) -> Iterator[str]:
    wide = sorted(wide, key=_ORDER)
    if style == "text":
        return timeline_text.text(found, wide=wide, simulated=simulated, events=not states)
    if states:
        documents = map(timeline_table.state_document, found)
        return timeline_table.as_json(documents) if style == "json" else timeline_table.states_csv(found)
    events = sorted([*wide, *(event for series in found for event in series.events)], key=_ORDER)
    if style == "csv":
        return timeline_table.events_csv(events)
    return timeline_table.as_json(timeline_table.event_documents(events))

"""The timeline for machines: one line of JSON or CSV an event, or a series.

Cells are not escaped against spreadsheets that take `=` or `@` for a formula: names of targets come from the
operator's lists, not from the network, and a name that was altered would not be found in the data again.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from monitor.judge.detect import Event
from monitor.judge.verdict import OUTCOMES
from probes.measurement import rfc3339

from .api import event_document
from .timeline import Series

EVENT = (
    "target", "vantage", "kind", "after", "before", "detected_at", "technique", "confidence", "measurements", "witness",
    "targets", "among",
)  # fmt: skip
STATE = (
    "target", "vantage", "state", "confirmed", "technique", "since_after", "since_before", "first_measurement",
    "last_measurement", "last_evidence", "measurements", "evidence", "longest_gap_s", "outcomes",
)  # fmt: skip


def as_json(documents: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One line a document."""
    for document in documents:
        yield msgspec.json.encode(document).decode() + "\n"


def events_csv(events: Iterable[Event]) -> Iterator[str]:
    """A header and one line an event; the witnesses are separated by spaces, the targets of one of many a JSON list."""
    return _csv(EVENT, map(_event_cells, events))


def _event_cells(event: Event) -> dict[str, Any]:
    document = {**event_document(event), "witness": " ".join(event.witness), "targets": "", "among": ""}
    if event.targets:  # names of phrases hold spaces
        document |= {"targets": msgspec.json.encode(event.targets).decode(), "among": event.among}
    return document


def states_csv(found: Iterable[Series]) -> Iterator[str]:
    """A header and one line a series; a column for each outcome holds how many measurements had it."""
    documents = ({**document, **document["outcomes"]} for document in map(state_document, found))
    return _csv((*STATE[:-1], *OUTCOMES), documents)


def event_documents(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Events as `timeline --format json` has them."""
    return map(event_document, events)


def state_document(found: Series) -> dict[str, Any]:
    """Where a series stands; null where that is not known."""
    times = {
        "since_after": found.after, "since_before": found.before, "first_measurement": found.first,
        "last_measurement": found.last, "last_evidence": found.last_evidence,
    }  # fmt: skip
    written = {name: rfc3339(time) if time else None for name, time in times.items()}
    document = {
        "target": found.target, "vantage": found.vantage, "state": found.state or None, "confirmed": found.confirmed,
        "technique": found.technique, **written, "measurements": found.measurements, "evidence": found.evidence,
        "longest_gap_s": found.longest_gap, "outcomes": found.counts,
    }  # fmt: skip
    return {name: document[name] for name in STATE}


def _csv(columns: tuple[str, ...], documents: Iterable[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for document in documents:
        writer.writerow({name: _cell(document[name]) for name in columns})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value

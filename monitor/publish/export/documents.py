"""Stored measurements as JSON lines: what `measure --format json` prints, without what could lead to the vantage."""

from collections.abc import Callable, Iterator

import msgspec

from blocklists import Fingerprints
from monitor.judge.verdict import Verdict
from monitor.publish import record
from monitor.store import Selection
from monitor.store.snapshot import Snapshot
from probes.measurement import Measurement

from .redact import Redacted, redact
from .tables import Progress, silent

_STEP = 50  # measurements between two reports of progress
Keep = Callable[[str, bytes], None]  # uid, capture file


def nowhere(_uid: str, _pcap: bytes) -> None:
    """Keep no file."""


def lines(
    snapshot: Snapshot, selection: Selection, *, fingerprints: Fingerprints, version: str, progress: Progress = silent,
    keep: Keep = nowhere,
) -> Iterator[bytes]:  # fmt: skip
    """The selected measurements, one by one, in order of time and uid; `keep` gets the packets of each that has any."""
    total = snapshot.count(selection)
    for done, (measurement, verdict) in enumerate(snapshot.measurements(selection), 1):
        found = redact(measurement, verdict, fingerprints)
        if found.measurement.pcap:
            keep(found.measurement.uid, found.measurement.pcap)
        yield _line(found, version)
        if done % _STEP == 0 or done == total:
            progress(done, total)


def line(measurement: Measurement, verdict: Verdict, *, fingerprints: Fingerprints, version: str) -> bytes:
    """The document as one line. `redacted` is there where something was replaced or left out, and names it."""
    return _line(redact(measurement, verdict, fingerprints), version)


def _line(found: Redacted, version: str) -> bytes:
    document = record.document(found.measurement, found.verdict, version=version)
    if found.kinds:
        document["redacted"] = found.kinds
    return msgspec.json.encode(document) + b"\n"

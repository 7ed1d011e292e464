"""Stored measurements as JSON lines: what `measure --format json` prints, without what could lead to the vantage."""

from collections.abc import Iterator

import msgspec

from blocklists import Fingerprints
from monitor.judge.verdict import Verdict
from monitor.publish import record
from monitor.store import Selection
from monitor.store.snapshot import Snapshot
from probes.measurement import Measurement

from .redact import redact
from .tables import Progress, silent

_STEP = 50  # measurements between two reports of progress


def lines(
    snapshot: Snapshot, selection: Selection, *, fingerprints: Fingerprints, version: str, progress: Progress = silent
) -> Iterator[bytes]:
    """The selected measurements, one by one, in order of time and uid."""
    total = snapshot.count(selection)
    for done, (measurement, verdict) in enumerate(snapshot.measurements(selection), 1):
        yield line(measurement, verdict, fingerprints=fingerprints, version=version)
        if done % _STEP == 0 or done == total:
            progress(done, total)


def line(measurement: Measurement, verdict: Verdict, *, fingerprints: Fingerprints, version: str) -> bytes:
    """The document as one line. `redacted` is there where something was replaced or left out, and names it."""
    found = redact(measurement, verdict, fingerprints)
    document = record.document(found.measurement, found.verdict, version=version)
    if found.kinds:
        document["redacted"] = found.kinds
    return msgspec.json.encode(document) + b"\n"

"""How many measurements one core judges in a second."""

import statistics
import time
from collections.abc import Callable

import msgspec

from monitor.judge.analyze import analyze
from monitor.store import records
from probes.measurement import Measurement

from .client import fingerprints
from .measurement import samples
from .row import Row

NAME = "judging"
_SAMPLES, _RUNS, _SECONDS = 48, 3, 1.0


def run() -> list[Row]:
    """Judged a second, from memory and from the record's JSON on: clean measurements, and such with a second look."""
    once = [result.measurement for result in samples(_SAMPLES)]
    return [*_judged(once, "clean"), *_judged([_twice(m) for m in once], "looked at twice", "≥ 3,000")]


def _judged(kept: list[Measurement], what: str, promise: str = "") -> list[Row]:
    known = fingerprints()
    texts = [_text(measurement) for measurement in kept]
    decoder = msgspec.json.Decoder(Measurement)
    size = statistics.median(len(text) for text in texts)
    page = statistics.median(len(body) for m in kept for body in m.bodies.values())

    def judge(n: int) -> None:
        assert analyze(kept[n % _SAMPLES], known).outcome == "ok"

    def decode_and_judge(n: int) -> None:
        whole = kept[n % _SAMPLES]
        read = records.fill(decoder.decode(texts[n % _SAMPLES]), whole.bodies, whole.certificates)
        assert analyze(read, known).outcome == "ok"

    return [
        Row(NAME, f"median sample, {what}: JSON of the record (a page of {page:,.0f} bytes beside it)", size, "bytes"),
        Row(NAME, "judged a second and core, in memory", _rate(judge), "1/s", promise),
        Row(NAME, "judged a second and core, decoded from JSON", _rate(decode_and_judge), "1/s"),
    ]


def _twice(measurement: Measurement) -> Measurement:
    """The same with a further try and the control's word on it: a record of 10 KB."""
    again = [msgspec.structs.replace(op, attempt=1) for op in measurement.operations]
    again = [msgspec.structs.replace(op, flow=op.flow + 100) if hasattr(op, "flow") else op for op in again]
    replies = [msgspec.structs.replace(reply, attempt=1) for reply in measurement.control]
    made: Measurement = msgspec.structs.replace(
        measurement, operations=(*measurement.operations, *again), control=(*measurement.control, *replies)
    )
    return made


def _text(measurement: Measurement) -> bytes:
    return records.unpack(records.encode(measurement))


def _rate(work: Callable[[int], None]) -> float:
    """Times a second of CPU, the median of some runs."""
    rates = []
    for _ in range(_RUNS):
        done, began = 0, time.process_time()
        while time.process_time() - began < _SECONDS:
            for _again in range(50):
                work(done)
                done += 1
        rates.append(done / (time.process_time() - began))
    return statistics.median(rates)

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
_SAMPLES, _RUNS, _SECONDS = 48, 3, 1.5


def run() -> list[Row]:
    """Judged a second: from memory, and from the record's JSON on."""
    known, kept = fingerprints(), [result.measurement for result in samples(_SAMPLES)]
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
        Row(NAME, f"median own sample: JSON of the record (its page of {page:,.0f} bytes beside it)", size, "bytes"),
        Row(NAME, "judged a second and core, in memory", _rate(judge), "1/s", "≥ 3,000"),
        Row(NAME, "judged a second and core, decoded from JSON", _rate(decode_and_judge), "1/s"),
    ]


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

"""All that is told of one measurement in one numbering: the plain client's steps, the experiments, the packets."""

from collections.abc import Iterable
from itertools import chain

import msgspec

from probes.measurement import Measurement

from . import evidence, experiments, packets
from .evidence import Part, Step
from .experiments import Told, Try
from .packets import Seen


class Notebook(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown; the numbers beside it are what is not, above the limits."""

    parts: tuple[Part, ...]
    more_steps: int
    experiments: tuple[Told, ...]
    more_experiments: int
    packets: tuple[Seen, ...]
    more_packets: int


def notebook(measurement: Measurement) -> Notebook:
    """The measurement, told."""
    parts = evidence.parts(measurement)
    steps = [step for part in parts for step in part.steps]
    tried = experiments.told(measurement, begin=len(steps) + 1)
    numbered: Iterable[Step | Try] = chain(steps, (attempt for one in tried for attempt in one.tries))
    numbers = {socket: one.number for one in numbered for socket in one.sockets}
    return Notebook(
        parts=tuple(parts), more_steps=evidence.left_out(measurement), experiments=tuple(tried),
        more_experiments=experiments.left_out(measurement), packets=tuple(packets.seen(measurement, numbers)),
        more_packets=packets.left_out(measurement),
    )  # fmt: skip

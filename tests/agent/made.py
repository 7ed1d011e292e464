"""Small measurements as an agent makes them."""

import random
from datetime import UTC, datetime, timedelta

from probes.measurement import Measurement, VantageFacts

BEGAN = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


def measurement(
    number: int, *, target: str = "https://site.example/", vantage: str = "inside", size: int = 0
) -> Measurement:
    """A small one, made `number` minutes after `BEGAN`; `size` bytes that cannot be packed go with it."""
    time = BEGAN + timedelta(minutes=number)
    return Measurement(
        uid=f"{time:%Y%m%dT%H%M%S.%fZ}-{number:012x}", time=time, target=target, url=target,
        vantage=VantageFacts(name=vantage, kind="agent"), pcap=random.Random(number).randbytes(size),
    )  # fmt: skip

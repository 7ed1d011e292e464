"""Which of the service's kept controls belongs to a measurement that an agent made without one of its own."""

from datetime import timedelta

import msgspec

from monitor.store import KeptControl, Span
from probes.measurement import ControlReply, Measurement

WITHIN = 300.0  # seconds: as long as a control's word counts anywhere (`collect.control.SHARED`)


def needs_control(measurement: Measurement) -> bool:
    """Whether no control of its own answered for the target's own URL. A phrase has none: nobody opens it."""
    return bool(measurement.url) and not any(r.hop == 0 and r.failure is None for r in measurement.control)


def span_of(measurement: Measurement) -> Span:
    """The time that its controls must lie around. Raises OverflowError at the end of the calendar."""
    return Span(measurement.url, measurement.time, measurement.time + timedelta(seconds=measurement.duration))


def with_control(
    measurement: Measurement, before: KeptControl | None, after: KeptControl | None, *, retries: int
) -> Measurement:
    """The measurement with the replies from before its beginning as those of its first look, and the ones from after
    its end as those of its last try. What its own controls failed at stays beside them."""
    kept = [_placed(measurement, before, 0), _placed(measurement, after, max(retries, 1))]
    replies = tuple(reply for replies in kept for reply in replies)
    if not replies:
        return measurement
    return msgspec.structs.replace(measurement, control=(*measurement.control, *replies), control_configured=True)


def _placed(measurement: Measurement, kept: KeptControl | None, attempt: int) -> list[ControlReply]:
    if kept is None:
        return []
    at = (kept.at - measurement.time).total_seconds()
    return [msgspec.structs.replace(r, at=at, attempt=attempt, hop=0) for r in kept.replies if r.url == measurement.url]

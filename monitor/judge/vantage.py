"""What a self-test says about the vantage: the situations that it can be in, and what each does to its results.

`quarantine`: results are `insufficient`; `notice`: they count, and whoever reads them should know.
"""

from collections.abc import Callable

import msgspec

from probes.measurement import SelfTest, VantageFacts

from .innocent import CLOCK, is_captive, is_offline

QUARANTINE, NOTICE = "quarantine", "notice"


class Situation(msgspec.Struct, frozen=True):
    """One row: `id`, effect, when (a sentence where it is so, else an empty string)."""

    id: str
    effect: str
    when: Callable[[SelfTest, VantageFacts], str]


class Found(msgspec.Struct, frozen=True):
    """A situation that a vantage is in; `text` is a sentence without a full stop."""

    id: str
    effect: str
    text: str


def _offline(test: SelfTest, _facts: VantageFacts) -> str:
    return "every control name failed: it is offline" if is_offline(test) else ""


def _captive(test: SelfTest, _facts: VantageFacts) -> str:
    return "it is behind a captive portal" if is_captive(test) else ""


def _clock(test: SelfTest, _facts: VantageFacts) -> str:
    if test.clock_skew is None or abs(test.clock_skew) <= CLOCK:
        return ""
    return f"its clock is {abs(test.clock_skew):.0f} s {'fast' if test.clock_skew > 0 else 'slow'}"


SITUATIONS = (
    Situation("offline", QUARANTINE, _offline),
    Situation("captive_portal", QUARANTINE, _captive),
    Situation("clock", QUARANTINE, _clock),
)


def situations(test: SelfTest, facts: VantageFacts) -> tuple[Found, ...]:
    """The situations that a vantage is in, quarantines first."""
    found = [Found(s.id, s.effect, text) for s in SITUATIONS if (text := s.when(test, facts))]
    return tuple(sorted(found, key=lambda f: f.effect != QUARANTINE))


def is_quarantined(test: SelfTest, facts: VantageFacts) -> bool:
    """Whether results beside this test are `insufficient`."""
    return any(found.effect == QUARANTINE for found in situations(test, facts))

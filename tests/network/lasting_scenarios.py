"""Scenarios of the lab with the limits that the service has by default: how long a suspicious measurement takes.

90 seconds, and 150 with path and throughput; what the clock of the lab skips is in the measurement's duration.
"""

from collections.abc import Callable
from typing import Any

from . import plan, rules
from .scenario import Played, Scenario

NAME = "site.example"
MOST, MOST_WITH_ALL = 90.0, 150.0  # seconds


def _within(seconds: float) -> Callable[[Played], None]:
    def check(played: Played) -> None:
        assert played.measurement.duration <= seconds, played.measurement.duration

    return check


def _by_default(**fields: Any) -> Scenario:
    """With the limits that the service has; the lab's are shorter."""
    return Scenario(timeout=10.0, listen=2.0, **fields)


SCENARIOS: tuple[Scenario, ...] = (
    _by_default(name="by default: silence by SNI", twin="a server that is mute for everybody", rules=(rules.sni_drop(NAME),),
             outcome="blocked", technique="tls.timeout.sni", check=_within(MOST)),
    _by_default(name="by default: address blackhole", twin="the site is dead", rules=(rules.blackhole("93.184.215.34"),),
             outcome="likely_blocked", technique="tcp.timeout", check=_within(MOST)),
    _by_default(name="by default: queries vanish", twin="clean https", outcome="likely_blocked", technique="dns.timeout",
             rules=(rules.Rule(sees="dns", does="drop", names=(NAME,), addresses=(plan.SYSTEM,)),),
             check=_within(MOST)),
    _by_default(name="by default: everything at once", twin="clean https", outcome="blocked",
             technique="dns.injection.other", check=_within(MOST),
             rules=(rules.gfw_dns(NAME), rules.blackhole("93.184.215.34"), rules.sni_drop(NAME))),
    _by_default(name="by default: with path", twin="clean https", outcome="blocked", technique="dns.injection.other",
             rules=(rules.gfw_dns(NAME), rules.sni_reset(NAME)), path=True, check=_within(MOST_WITH_ALL)),
    _by_default(name="by default: throttled, with path", twin="a line that is slow for everything",
             url="https://big.example/", rules=(rules.throttle("big.example"),), path=True, outcome="impaired",
             technique="throttle.sni", check=_within(MOST_WITH_ALL)),
)  # fmt: skip

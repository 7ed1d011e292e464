"""What a self-test says about the vantage: the situations that it can be in, and what each does to its results.

`quarantine`: results are `insufficient`; `notice`: they count, and whoever reads them should know.
"""

from collections.abc import Callable

import msgspec

from probes.measurement import SelfTest, VantageFacts

from .unusable import CLOCK, is_captive, is_offline, moved

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


def _fake_addresses(test: SelfTest, _facts: VantageFacts) -> str:
    return "a local proxy answers names with fake addresses (198.18/15)" if test.fake_addresses else ""


def _moved(test: SelfTest, facts: VantageFacts) -> str:
    text = moved(test, facts)
    return f"its {text}" if text else ""


def _wildcard(test: SelfTest, _facts: VantageFacts) -> str:
    if not test.wildcard:
        return ""
    return f"its resolver invents answers for names that do not exist ({test.wildcard[0]}): these are no evidence"


def _no_ipv6(test: SelfTest, _facts: VantageFacts) -> str:
    return "IPv6 does not work: it is left out of account" if test.ipv6 is False else ""


def _no_quic(test: SelfTest, _facts: VantageFacts) -> str:
    return "UDP is dropped for every name: QUIC is not measured" if test.quic is False else ""


def _nat64(test: SelfTest, _facts: VantageFacts) -> str:
    if not test.nat64:
        return ""
    return f"it reaches IPv4 through NAT64 ({', '.join(test.nat64)}): the addresses inside are compared"


def _resolver_elsewhere(test: SelfTest, _facts: VantageFacts) -> str:
    if not test.egress_asn or not test.resolver_asns or test.egress_asn in test.resolver_asns:
        return ""
    theirs = ", ".join(f"AS{asn}" for asn in test.resolver_asns)
    return f"its resolver is in {theirs}, not in its own network AS{test.egress_asn}: others may be told otherwise"


def _resolvers_fail(test: SelfTest, _facts: VantageFacts) -> str:
    if not test.failed_resolvers:
        return ""
    return f"resolvers that fail for control names too: {', '.join(test.failed_resolvers)}; that is no evidence"


def _intercepted(test: SelfTest, _facts: VantageFacts) -> str:
    if len(test.untrusted) != 1:  # two are a portal
        return ""
    return f"somebody shows a certificate of their own for the control name {test.untrusted[0]}"


def _some_fail(test: SelfTest, _facts: VantageFacts) -> str:
    if not test.failed or not test.opened:
        return ""
    return f"control names that do not open: {', '.join(test.failed)}"


def _known_blocked(test: SelfTest, _facts: VantageFacts) -> str:
    if not test.known_blocked_open:
        return ""
    return f"sites known to be blocked there open: {', '.join(test.known_blocked_open)}"


def _egress_unknown(test: SelfTest, facts: VantageFacts) -> str:
    if test.egress_country or test.egress_asn or facts.direction != "inside-out":
        return ""
    return "where its way out ends is not known: a moved one would not be noticed"


SITUATIONS = (
    Situation("offline", QUARANTINE, _offline),
    Situation("captive_portal", QUARANTINE, _captive),
    Situation("clock", QUARANTINE, _clock),
    Situation("fake_addresses", QUARANTINE, _fake_addresses),
    Situation("moved_egress", QUARANTINE, _moved),
    Situation("wildcard_dns", NOTICE, _wildcard),
    Situation("no_ipv6", NOTICE, _no_ipv6),
    Situation("no_quic", NOTICE, _no_quic),
    Situation("nat64", NOTICE, _nat64),
    Situation("resolver_elsewhere", NOTICE, _resolver_elsewhere),
    Situation("resolvers_fail", NOTICE, _resolvers_fail),
    Situation("intercepted_tls", NOTICE, _intercepted),
    Situation("control_names_fail", NOTICE, _some_fail),
    Situation("known_blocked_opens", NOTICE, _known_blocked),
    Situation("egress_unknown", NOTICE, _egress_unknown),
)


def situations(test: SelfTest, facts: VantageFacts) -> tuple[Found, ...]:
    """The situations that a vantage is in, quarantines first."""
    found = [Found(s.id, s.effect, text) for s in SITUATIONS if (text := s.when(test, facts))]
    return tuple(sorted(found, key=lambda f: f.effect != QUARANTINE))


def is_quarantined(test: SelfTest, facts: VantageFacts) -> bool:
    """Whether results beside this test are `insufficient`."""
    return any(found.effect == QUARANTINE for found in situations(test, facts))

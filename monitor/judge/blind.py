"""What a vantage cannot see: rules that would need it are silent, and the verdict says so.

The words are those of `probes.capability`; a measurement keeps them with its vantage, so it is judged alike for ever.
"""

from collections.abc import Iterable

from probes.capability import ADDRESSES, CLIENT, CLOSE_REASONS, PACKETS, QUIC, SYSTEM_DNS, UDP, WORDS
from probes.failure import EOF, RESET

from .observe import Case

NEEDS: dict[str, frozenset[str]] = {
    "dns.two_answers": frozenset({UDP}),
    "dns.bogon_only_here": frozenset({SYSTEM_DNS}),
    "dns.known_block_address": frozenset({SYSTEM_DNS}),
    "dns.answer_from_nowhere": frozenset({UDP}),
    "tls.untrusted_only_here": frozenset({ADDRESSES}),
    "tcp.reset_not_the_servers": frozenset({PACKETS}),
    "quic.fails_only_with_the_name": frozenset({QUIC}),
    "dns.fails_only_here": frozenset({SYSTEM_DNS}),
    "dns.stranger": frozenset({SYSTEM_DNS}),
    "down.dns_fails_alike": frozenset({SYSTEM_DNS, CLIENT}),
    "down.dead_domain": frozenset({SYSTEM_DNS, CLIENT}),
}
"""Rule id -> capabilities without which it must not fire."""


def is_silent(rule_id: str, blind: Iterable[str]) -> bool:
    """Whether a vantage that is so blind cannot see what a rule is about."""
    return not NEEDS.get(rule_id, frozenset()).isdisjoint(blind)


def named(case: Case, technique: str, failure: str | None) -> str:
    """The technique as far as the vantage can tell it: cut off is cut off, where a reset and a close look alike."""
    alike = CLOSE_REASONS in case.measurement.vantage.blind and failure in (RESET, EOF)
    return technique.partition(".")[0] if alike else technique


def ended(case: Case, failure: str | None) -> str:
    """A failure in a sentence, likewise."""
    alike = CLOSE_REASONS in case.measurement.vantage.blind and failure in (RESET, EOF)
    return "cut off" if alike else failure or ""


def told(case: Case) -> str:
    """A sentence that says what was not measured; empty where everything was."""
    words = [WORDS[word] for word in WORDS if word in case.measurement.vantage.blind]
    return f" Not measured from here: {', '.join(words)}." if words else ""

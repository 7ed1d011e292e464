"""Every kind of vantage at one service: each with the right verdicts, each saying what it could not measure."""

from collections.abc import Mapping
from typing import Any

import pytest

from .conftest import Answers
from .fleet import AGENTS, METHODS, TARGETS

OK, DOWN, UNTOLD = ("ok", None), ("down", None), ("insufficient", None)
SITE, PLAIN, PAIR, BOTH, DROPPED, SIX, DEAD = TARGETS
CLEAR = {target: OK for target in TARGETS} | {DEAD: DOWN}
CUT = CLEAR | {
    SITE: ("blocked", "tls.reset.sni"), PLAIN: ("blocked", "http.reset.host"), PAIR: ("blocked", "dns.injection.other"),
    BOTH: ("blocked", "http.blockpage"), DROPPED: ("likely_blocked", "tcp.timeout"),
}  # fmt: skip
# A proxy does not tell a reset from a close, nor a false answer of its resolver from a false certificate.
PROXIED = CUT | {SITE: ("blocked", "tls"), PLAIN: ("blocked", "http"), PAIR: ("likely_blocked", "tls")}
OUTSIDE = {target: OK for target in TARGETS}  # with nobody inside, a dead site looks like any other
DNS_OUTSIDE = OUTSIDE | {PAIR: CUT[PAIR]}
TCP_OUTSIDE = OUTSIDE | {SITE: CUT[SITE], PLAIN: CUT[PLAIN]}
EXPECTED = {
    "tunnel-cut": CUT, "tunnel-clear": CLEAR, "agent-cut": CUT, "agent-clear": CLEAR, "socks": PROXIED, "web": PROXIED,
    "remote-injection": DNS_OUTSIDE, "remote-resolvers": DNS_OUTSIDE,
    "remote-servers": TCP_OUTSIDE | {BOTH: ("likely_blocked", "http.diff")},
    "remote-sink": TCP_OUTSIDE | {BOTH: UNTOLD},  # that somebody answers at the sink is no reset
}  # fmt: skip
UNSEEN = {
    "socks": {"QUIC", "a reset apart from a close", "the answers of its own resolver", "DNS over UDP", "packets"},
    "web": {"QUIC", "a reset apart from a close", "the answers of its own resolver", "DNS over UDP", "packets"},
    "remote-injection": {"TCP", "TLS", "HTTP", "QUIC", "what a plain client inside gets"},
    "remote-resolvers": {"TCP", "TLS", "HTTP", "QUIC", "what a plain client inside gets"},
    "remote-servers": {"DNS", "QUIC", "what a plain client inside gets"},
    "remote-sink": {"DNS", "QUIC", "what a plain client inside gets"},
}


@pytest.mark.timeout(400)  # twelve processes in one lab, and the methods from outside keep to their rates
def test_fleet(answers: Answers) -> None:
    seen = answers.of("fleet").seen
    assert seen is not None
    found = {name: (verdict["outcome"], verdict["technique"]) for name, verdict in seen["verdicts"].items()}
    assert found == {f"{v} {target}": what for v, each in EXPECTED.items() for target, what in each.items()}
    _check_what_was_not_measured(seen["verdicts"])
    _check_vantages({vantage["name"]: vantage for vantage in seen["vantages"]["vantages"]})


def _check_what_was_not_measured(verdicts: Mapping[str, Any]) -> None:
    for name, verdict in verdicts.items():
        unseen = UNSEEN.get(name.split()[0], set())
        _reason, mark, rest = verdict["reason"].partition("Not measured from here: ")
        assert bool(mark) == bool(unseen), verdict
        assert unseen <= set(rest.removesuffix(".").split(", ")), verdict


def _check_vantages(stated: Mapping[str, Any]) -> None:
    assert {name for name, vantage in stated.items() if vantage["blind"]} == set(UNSEEN)
    outside = {name for name, vantage in stated.items() if vantage["direction"] == "outside-in"}
    assert outside == {f"remote-{method}" for method in METHODS}
    assert all(vantage["state"] == "good" and vantage["last_contact"] for vantage in stated.values()), stated
    assert all(stated[name]["version"] and stated[name]["spooled"] is not None for name in AGENTS), stated

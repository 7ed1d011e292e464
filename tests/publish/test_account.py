"""The account that `wallwatch measure` prints."""

import re

import msgspec
import pytest

from monitor.publish.account import account
from monitor.publish.evidence import MOST, left_out, parts
from monitor.publish.text import width
from probes.measurement import Measurement, SelfTest, VantageFacts
from probes.tcp import TCPConnect

from . import sample, tried


def test_it_tells_the_steps_beside_the_control_and_then_the_verdict() -> None:
    text = account(*sample.forged())
    assert text.index("DNS A for example.com, asked of system") < text.index("contact 31.13.94.37 port 443")
    answers = [line for line in text.splitlines() if "after 12.3 ms: A 31.13.94.37" in line]
    assert answers and "│ th.example: 93.184.215.14" in answers[0]
    assert "after 45.1 ms: A 93.184.215.14 (IP TTL 48)" in text
    assert "2 answers to one query" in text
    assert "th.example: did not try this address" in text
    assert text.index("VERDICT  BLOCKED  dns.injection.other") > text.index("The vantage about itself")
    assert "dns.two_answers: A query sent once has one answer" in text


def test_further_tries_stand_after_the_first_look() -> None:
    text = account(*sample.resets())
    first, again = text.split("Further tries")
    assert "TLS: connection_reset after 30.0 ms" in first
    assert [f"Try {n}" in again for n in (1, 2, 3)] == [True] * 3
    assert again.count("connection_reset") >= 3
    assert "VERDICT  LIKELY_BLOCKED  tls.reset" in text


def test_a_page_shows_status_title_and_certificate() -> None:
    text = account(*sample.calm())
    assert "HTTP: status 200 in 340.0 ms" in text
    assert "title: “Example”" in text
    assert "certificate: good for example.com" in text
    assert "leaf: for O=example.com, by O=example.com" in text
    assert "VERDICT  OK" in text


def test_nothing_from_the_network_reaches_the_terminal_as_it_came() -> None:
    text = account(*sample.hostile())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    assert "A" * 700 not in text
    assert len(text) < 60_000


@pytest.mark.parametrize("make", [sample.calm, sample.resets, sample.forged, sample.hostile, tried.tried])
def test_lines_fit(make: object) -> None:
    text = account(*make())  # type: ignore[operator]
    assert max(width(line) for line in text.splitlines()) <= 110


def test_a_simulated_one_says_so_first() -> None:
    measurement, verdict = sample.calm(vantage=VantageFacts(name="demo", simulated=True))
    assert account(measurement, verdict).splitlines()[0].startswith("*** SIMULATED")
    assert "SIMULATED" not in account(*sample.calm())


def test_what_was_not_measured_is_said_once() -> None:
    facts = VantageFacts(name="far", kind="socks5", country="IR", blind=("quic", "udp"))
    text = " ".join(account(*sample.calm(vantage=facts)).split())
    assert text.count("Not measured from here: DNS over UDP, QUIC.") == 1 == text.lower().count("not measured")
    remote = VantageFacts(name="far", kind="remote", country="IR", direction="outside-in", method="injection")
    assert "far (remote, IR, outside-in, injection)" in account(*sample.calm(vantage=remote))


def test_the_self_test_tells_where_the_way_out_ends() -> None:
    made, verdict = sample.calm()
    test = SelfTest(wildcard=("203.0.113.9",), known_blocked_open=("https://x.example/",), egress_country="CN",
                    egress_asn=4134, egress_name="CHINANET")  # fmt: skip
    text = account(msgspec.structs.replace(made, self_tests=(test,)), verdict)
    for shown in (
        "way out: CN AS4134 CHINANET", "✗ a name that does not exist is answered: 203.0.113.9",
        "✗ known to be blocked there, and open: https://x.example/",
    ):  # fmt: skip
        assert shown in text, shown


def test_an_empty_one_without_control() -> None:
    empty = Measurement(
        uid="u", time=sample.BEGAN, target="t", url="u", vantage=sample.VANTAGE, control_configured=False
    )
    text = account(empty, sample.OK)
    assert "no control is configured" in text
    assert parts(empty) == []


def test_steps_are_bounded() -> None:
    many = tuple(TCPConnect(started=n, finished=n, address="192.0.2.1", port=n) for n in range(MOST + 5))
    measurement = msgspec.structs.replace(sample.calm()[0], operations=many)
    assert sum(len(part.steps) for part in parts(measurement)) == MOST
    assert left_out(measurement) == 5
    assert "and 5 more steps" in account(measurement, sample.OK)

"""Experiments and packets as they are told: in order, numbered with the steps, counted, and nothing left unsaid."""

import re

import msgspec
import pytest

from monitor.judge.analyze import analyze
from monitor.publish import experiments, packets
from monitor.publish.account import account
from monitor.publish.experiments import Told, told
from monitor.publish.notebook import notebook
from probes.experiment import Attempt, Experiment
from probes.measurement import Measurement

from . import sample, tried

SNI, OWN, HOST, PHRASE, INJECTION, QUIC, THROUGHPUT, PATH, SEARCH = range(9)


def only(number: int, **changes: object) -> Told:
    """One experiment of the sample, told."""
    made, _verdict = tried.tried()
    experiment = msgspec.structs.replace(tried.experiments()[number], **changes)
    [one] = told(msgspec.structs.replace(made, experiments=(experiment,)), begin=1)
    return one


def test_tries_are_numbered_on_from_the_steps() -> None:
    text = account(*tried.tried())
    numbers = [int(n) for n in re.findall(r"^ {0,4}(\d+)\. \+", text, re.MULTILINE)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert text.index("Further tries") < text.index("Experiments: ") < text.index("Packets: ") < text.index("Control, ")


def test_experiments_stand_in_the_order_in_which_they_began() -> None:
    made, _verdict = tried.tried()
    assert [one.at for one in told(made, begin=1)] == sorted(e.started for e in made.experiments)


def test_a_differential_says_what_was_sent_where_and_how_it_ended() -> None:
    text = account(*tried.tried())
    assert "Does the same listener complete TLS with an innocuous name? (neutral listener, TLS)" in text
    assert "+3.000 s  innocuous: TLS as “control.example”, 198.51.100.7 port 20000" in text
    assert "+3.500 s  in question: TLS as “example.com”, 198.51.100.7 port 20000" in text
    assert "✗ connection_reset after 60.0 ms" in text
    assert only(SNI).count == "failed 3 of 3 with example.com, passed 3 of 3 with control.example"
    assert [t.innocuous for t in only(SNI).tries] == [True, False] * 3


def test_the_count_is_the_one_that_the_rule_gives() -> None:
    made, _verdict = tried.tried()
    alone = msgspec.structs.replace(made, experiments=tried.experiments()[:1])
    verdict = analyze(alone, sample.NONE)
    assert verdict.technique == "tls.reset.sni"
    assert "in 3 of 3 tries" in verdict.reason and "in 3 of 3 in between" in verdict.reason


def test_what_did_not_come_to_the_step_counts_for_neither() -> None:
    *tries, last = tried.experiments()[SNI].tries
    unreached = msgspec.structs.replace(last, operations=last.operations[:1], failure="connection_refused")
    count = only(SNI, tries=(*tries, unreached)).count
    assert count.startswith("failed 2 of 2 with example.com, passed 3 of 3 with control.example, 1 ended before")


def test_at_the_sites_own_address_the_further_tries_are_those_with_the_name() -> None:
    one = only(OWN)
    assert [t.innocuous for t in one.tries] == [True] * 3
    assert (
        one.count == "failed 3 of 3 with example.com, passed 3 of 3 with control.example; with the further tries above"
    )


def test_what_was_left_out_says_why_and_counts_nothing() -> None:
    one = only(HOST)
    assert (one.left_out, one.count, one.tries) == ("no neutral listener is free", "", ())
    assert "left out: no neutral listener is free" in account(*tried.tried())


def test_every_injected_answer_is_told_with_time_rcode_and_ttl() -> None:
    text = account(*tried.tried())
    assert "A after 5.0 ms: NOERROR, A 31.13.94.37 (IP TTL 48)" in text
    assert "A after 7.0 ms: NOERROR, A 31.13.94.38 (IP TTL 49)" in text
    assert only(INJECTION).count == "answered 2 of 2 for example.com, answered 0 of 2 for control.example"
    assert [t.ended.tone for t in only(INJECTION).tries] == ["", "bad", "", "bad"]


def test_a_path_is_a_table_of_hops() -> None:
    one = only(PATH)
    assert one.hops and [t.ttl for t in one.tries] == sorted(t.ttl for t in one.tries)
    rows = [line for line in account(*tried.tried()).splitlines() if "it ran out there" in line]
    assert [line.split()[3:5] for line in rows] == [[str(n), a] for n, a in enumerate(tried.HOPS, 1)]
    assert "something came from TTL 4 on, where 202.97.12.9 says that it ran out" in one.count


def test_a_forged_answer_stands_in_the_table_of_hops() -> None:
    [_control, forged, *_more] = tried.experiments()[INJECTION].tries
    one = only(PATH, tries=(msgspec.structs.replace(forged, ttl=7),))
    assert one.tries[0].lines[0].text == "A after 5.0 ms: NOERROR, A 31.13.94.37 (IP TTL 48)"


def test_a_path_that_settles_nothing_says_so() -> None:
    triggers = tried.experiments()[PATH].tries[:2]
    assert only(PATH, tries=triggers).count.endswith("the tries do not settle who sent it")
    assert only(PATH, tries=triggers[1:]).count == "nobody reacted at any TTL"


def test_rates_and_pages_are_counted_in_their_own_words() -> None:
    assert only(THROUGHPUT).count == "262.1 kB/s with control.example, 26.2 kB/s with example.com"
    assert only(SEARCH).count == "a notice in 2 of 2 pages for the phrase, in 0 of 2 for the innocuous one"
    assert only(SEARCH).question.endswith("(the platform's public page, search.example, HTTP)")


def test_an_innocent_network_is_told_without_a_cross() -> None:
    """Both names pass at the listener, whose own certificate nobody trusts."""
    tries = tuple(tried.tls(name, 3.0 + n, port=20000 + n) for n in range(3) for name in (tried.CONTROL, tried.NAME))
    one = only(SNI, tries=tries)
    assert one.count == "failed 0 of 3 with example.com, passed 3 of 3 with control.example"
    assert "ssl_unknown_authority" in str(one.tries[0].lines)
    assert not any(line.tone == "bad" for t in one.tries for line in (t.ended, *t.lines))


def test_a_quic_handshake_is_a_step_of_the_first_look() -> None:
    text = account(*tried.tried())
    first, _rest = text.split("Further tries")
    assert "contact 93.184.215.14 port 443 over QUIC as" in first
    assert "QUIC: v1 h3 and acknowledged in 50.0 ms" in first
    made, verdict = sample.calm()
    lost = tried.quic(tried.NAME, 0.5, port=443, address=sample.ADDRESS, failure=tried.TIMEOUT)
    complete = msgspec.structs.replace(lost, completed=True, started=11.0, finished=21.0)
    text = account(msgspec.structs.replace(made, operations=(*made.operations, lost, complete)), verdict)
    assert "✗ QUIC: generic_timeout_error after 10.00 s" in text
    assert "0 bytes came before that" in text and "the handshake was complete" in text


def flows(*found: object) -> list[packets.Seen]:
    made, _verdict = tried.tried()
    return list(notebook(msgspec.structs.replace(made, flows=found)).packets)


def test_each_reset_stands_beside_the_syn_ack() -> None:
    [seen] = flows(tried.flow(40_001, 0.02))
    assert seen.title == "93.184.215.14 port 443, from our port 40001 (step 2)"
    assert seen.rows[0] == ("SYN-ACK", "+0.050 s", "30.0 ms", "52", "0", "yes", "65160", "none")
    assert seen.rows[1:] == (("reset RA", "+0.065 s", "14.8 ms", "119", "16962", "yes", "8192", "none"),) * 3
    assert "from our SYN to the SYN-ACK: 30.0 ms" in seen.said
    assert "after the first reset this address went on: 1 more packet, 1448 bytes of payload" in seen.said
    assert any("gfw-type-2" in said and "alone proves nothing" in said for said in seen.said)


def test_a_servers_own_reset_is_told_as_plainly() -> None:
    """One reset by the server's own TTL, nothing after it: no pattern, no word of anybody else."""
    whole = tried.flow(40_001, 0.02).packets
    own = msgspec.structs.replace(whole[4], ttl=52, ip_id=0, flags="R", window=0)
    [seen] = flows(msgspec.structs.replace(tried.flow(40_001, 0.02), packets=(*whole[:4], own)))
    assert "after the first reset this address said nothing more" in seen.said
    assert [row[3] for row in seen.rows] == ["52", "52"]
    quiet = msgspec.structs.replace(tried.flow(1, 0.02), packets=whole[:1])
    [seen] = flows(quiet)
    assert seen.rows == () and "step" not in seen.title
    assert {"no SYN-ACK is among them", "no reset came"} <= set(seen.said)


def test_packets_of_an_experiments_try_name_its_number() -> None:
    made, _verdict = tried.tried()
    book = notebook(made)
    numbered = {socket: t.number for one in book.experiments for t in one.tries for socket in t.sockets}
    socket, number = next((s, n) for s, n in numbered.items() if s[0] == tried.LISTENER)
    flow = msgspec.structs.replace(tried.flow(socket[2], 3.0), address=socket[0], port=socket[1])
    assert f"(step {number})" in flows(flow)[0].title


def test_everything_is_bounded() -> None:
    made, verdict = tried.tried()
    tries = tuple(Attempt(sent=str(n), started=n, finished=n) for n in range(experiments.MOST_TRIES + 7))
    many = (*(Experiment(kind="sni", place="own", tries=tries) for _ in range(2)), *made.experiments * 4)
    made = msgspec.structs.replace(made, experiments=many, flows=made.flows * (packets.MOST + 3))
    found = told(made, begin=1)
    assert len(found) == experiments.MOST and sum(len(one.tries) for one in found) == experiments.MOST_TRIES
    assert sum(one.more for one in found) + experiments.MOST_TRIES == sum(len(e.tries) for e in _first(made))
    text = account(made, verdict)
    assert f"and {len(many) - experiments.MOST} more experiments" in text and "more tries" in text
    assert "and 3 more connections" in text


def _first(made: Measurement) -> list[Experiment]:
    return sorted(made.experiments, key=lambda e: e.started)[: experiments.MOST]


def test_kinds_and_places_of_another_version_are_told_as_they_are() -> None:
    one = only(SNI, kind="ech", place="moon")
    assert one.question == "ech: (moon)"
    assert one.count == "failed 3 of 3 with example.com, passed 3 of 3 with control.example"


@pytest.mark.parametrize("uid", ["20260131T120000.123457Z-a_b", "a"])
def test_a_uid_is_the_files_name(uid: str) -> None:
    assert packets.file_name(uid) == f"{uid}.pcap"


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", 'a"; x', "a\r\nSet-Cookie: b", "", ".hidden", "é", "x" * 101, "-rf"]
)
def test_any_other_uid_gives_a_plain_name(uid: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}\.pcap", packets.file_name(uid))

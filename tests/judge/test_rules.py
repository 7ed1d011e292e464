"""Every rule of the table: one measurement that fires it, and one as near as possible that must not."""

from typing import Any

import msgspec
import pytest

from monitor.judge.analyze import analyze
from monitor.judge.rules import RULES, fire
from probes.experiment import Experiment
from probes.failure import NOT_TRIED_RESIDUAL, PROXY, TIMEOUT
from probes.measurement import Measurement, SelfTest, VantageFacts
from probes.packets import Flow, Packet
from probes.proxy import ProxyNetwork
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from . import build as b
from .build import contact, control, control_page, dns, endpoint, http_control, measure, repeated, twice
from .outside import STRANGERS, measured, resolver
from .servers_outside import ALWAYS, from_outside, lasting, server, sink
from .test_throttling import CRAWL, FAST, LINE, alone, four
from .test_throttling import control as throttled_control

STAGES = {rule.id: rule.stage for rule in RULES}
UNCONDITIONAL = {"insufficient.ambiguous"}  # the last row fires whenever it is asked: its near miss is another verdict
CALM = (dns(b.SITE), contact())


class Pair(msgspec.Struct, kw_only=True):
    """What fires a rule and what does not; the outcomes and causes are those of the whole verdict."""

    fires: Measurement
    outcome: str
    cause: str | None = None
    technique: str | None = None
    misses: Measurement
    otherwise: str


def _tested(**facts: Any) -> Measurement:
    return measure(*CALM, test=SelfTest(**facts))


def _plain(**page: Any) -> Measurement:
    return measure(dns(b.SITE), contact(url=b.PLAIN, **page), url=b.PLAIN)


def _stranger(**how: Any) -> list[Any]:
    parts: list[Any] = []
    for attempt in range(4):
        parts += [dns(b.STRANGER, attempt=attempt), *contact(b.STRANGER, attempt=attempt, **how)]
    return parts


def _invented(**how: Any) -> Measurement:
    """The own resolver gives somebody's address, the one that it gives for names that do not exist too."""
    how = {"test": SelfTest(wildcard=(b.STRANGER,)), **how}
    return measure(_stranger(certificate=b.WRONG_NAME), **how)


def _different(**page: Any) -> Measurement:
    unlike = {"url": b.PLAIN, "title": "Nothing familiar", "body_length": 90, **page}
    return measure(repeated(4, **unlike), url=b.PLAIN)


def _servfail(apart: float) -> Measurement:
    return measure(*(dns(2, attempt=n, at=n * apart / 3) for n in range(4)))


def _tried(*experiments: Any, failing: int = 4, **how: Any) -> Measurement:
    """A site whose plain tries failed, and what was found out beside them."""
    return measure(repeated(failing, **how), experiments=experiments)


def _packets(ttl: int, *, spoken: bool = False, took: float = 0.05) -> Measurement:
    """Four connections that were reset; the server's own packets have TTL 51, the way there and back takes 40 ms."""
    made = _tried(tls=b.RESET)
    connects = [op for op in made.operations if isinstance(op, TCPConnect)]
    operations = tuple(
        msgspec.structs.replace(op, local_port=40000 + op.attempt) if op in connects else op for op in made.operations
    )
    flows = tuple(_flow(40000 + op.attempt, ttl, took, spoken=spoken) for op in connects)
    return msgspec.structs.replace(made, operations=operations, flows=flows)


def _flow(local_port: int, ttl: int, took: float, *, spoken: bool) -> Flow:
    def packet(at: float, flags: str, *, inbound: bool = True, ttl: int = 51, length: int = 0, ack: int = 1) -> Packet:
        return Packet(at=at, inbound=inbound, ttl=ttl, flags=flags, window=64240, length=length, acknowledged=ack)

    packets = [
        packet(0.0, "S", inbound=False, ack=0), packet(0.04, "SA"), packet(0.041, "PA", inbound=False, length=517),
        packet(0.041 + took, "R", ttl=ttl),
    ]  # fmt: skip
    answer = [packet(0.041 + took + 0.02, "PA", length=1400, ack=518)] if spoken else []
    return Flow(address=b.SITE, port=443, local_port=local_port, packets=(*packets, *answer))


def _http(*experiments: Any, **how: Any) -> Measurement:
    return measure(repeated(4, url=b.PLAIN, **how), url=b.PLAIN, experiments=experiments)


def _quic(without: bool, failure: str | None, number: int) -> QUICHandshake:
    return QUICHandshake(started=5.0 + number, finished=6.0 + number, address=b.LISTENER, port=20000 + number,
                         server_name=b.OTHER_NAME if without else b.NAME, failure=failure)  # fmt: skip


def _certificate(leaf: str) -> Any:
    def step(without: bool, failure: str | None, number: int) -> TLSHandshake:
        return TLSHandshake(started=5.0 + number, finished=6.0 + number, address=b.LISTENER, port=20000 + number,
                            server_name=b.NAME, failure=failure, chain=("usual" if without else leaf,))  # fmt: skip

    return step


def _page(body: str) -> Any:
    return lambda without, failure, number: b.request(without, failure, number, body="neutral" if without else body)


def _slow(*experiments: Any) -> Measurement:
    return measure(*CALM, replies=throttled_control(), experiments=experiments)


def _searched(*, notices: int) -> Experiment:
    """Two pages of a platform's search for each phrase; `notices` of those for the phrase say that it is withheld."""
    tries = []
    for number in range(4):
        innocuous = number % 2 == 0
        matched = ("present", "notice:0") if not innocuous and number // 2 < notices else ("present",)
        tries.append(msgspec.structs.replace(b.attempt(innocuous=innocuous, at=5.0 + number), matched=matched))
    return Experiment(kind="search", place="platform:there", tries=tuple(tries))


def _phrase(*experiments: Any) -> Measurement:
    made = measure(experiments=experiments, replies=())
    return msgspec.structs.replace(made, target=b.PHRASE, url="", site="")


def _proxied(*parts: Any, **how: Any) -> Measurement:
    """Through a proxy whose far side resolves the name: contacts are with the name."""
    facts = VantageFacts(name="proxy", kind="socks5", country="CN", asn=4134, blind=tuple(sorted(ProxyNetwork.blind)))
    return msgspec.structs.replace(measure(*parts, **how), vantage=facts)


def _strangers_by_name(**how: Any) -> Measurement:
    return _proxied(*(contact(b.NAME, attempt=n, certificate=b.WRONG_NAME) for n in range(4)), **how)


ALL, NONE, SOME = (b.RESET,) * 3, (None,) * 6, (b.RESET, None, None, None, None, None)
NO_SUCH_NAME = {"addresses": (), "endpoints": (), "dns_failure": "dns_nxdomain_error"}
NO_PAGE = control_page(status=0, failure="connection_reset")
UNREAD = {"page": control_page(status=0, failure="unknown_failure")}
BLOCK_PAGE = {"status": 200, "title": "Notice", "body": b.BLOCK_BODY}
NOTICE = {"status": 200, "title": "Notice", "body": b"somebody else's words"}
ONLY_RESOLVED = twice(endpoints=(endpoint(tls=None),))

PAIRS: dict[str, Pair] = {
    "vantage.proxy": Pair(
        fires=_proxied(contact(b.NAME, tcp=PROXY)), outcome="insufficient", cause="not_measurable",
        misses=_proxied(contact(b.NAME, tcp=b.REFUSED)), otherwise="insufficient",
    ),
    "vantage.offline": Pair(
        fires=_tested(failed=("a.example", "b.example", "c.example")), outcome="insufficient", cause="offline",
        misses=_tested(failed=("a.example", "b.example", "c.example"), opened=("d.example",)), otherwise="ok",
    ),
    "vantage.captive_portal": Pair(
        fires=_tested(untrusted=("a.example", "b.example")), outcome="insufficient", cause="captive_portal",
        misses=_tested(untrusted=("a.example",)), otherwise="ok",
    ),
    "vantage.clock": Pair(
        fires=_tested(clock_skew=-300.5), outcome="insufficient", cause="clock",
        misses=_tested(clock_skew=-300.0), otherwise="ok",
    ),
    "vantage.fake_addresses": Pair(
        fires=measure(dns("198.18.0.7"), contact("198.18.0.7")), outcome="insufficient", cause="not_measurable",
        misses=measure(*CALM, dns("198.18.0.7", resolver="udp://8.8.8.8:53")), otherwise="ok",
    ),
    "vantage.moved_egress": Pair(
        fires=_tested(egress_country="DE", egress_asn=4134), outcome="insufficient", cause="not_measurable",
        misses=_tested(egress_country="CN", egress_asn=4134, egress_name="another name"), otherwise="ok",
    ),
    "vantage.wildcard_answer": Pair(
        fires=_invented(), outcome="insufficient", cause="not_measurable",
        misses=_invented(test=SelfTest(wildcard=("203.0.113.8",))), otherwise="likely_blocked",
    ),
    "dns.two_answers": Pair(
        fires=measure(dns(b.STRANGER, b.SITE), contact(b.STRANGER, tcp="generic_timeout_error")),
        outcome="blocked", technique="dns.injection.other",
        # The answers differ and share one record: a resolver that sends twice.
        misses=measure(dns((b.STRANGER, b.SITE), b.SITE), contact()), otherwise="ok",
    ),
    "dns.bogon_only_here": Pair(
        fires=measure(dns(b.BOGON)), outcome="blocked", technique="dns.injection.bogon",
        misses=measure(dns(b.BOGON), replies=twice(addresses=(b.SITE, b.BOGON), endpoints=(endpoint(),))),
        otherwise="insufficient",
    ),
    "dns.known_block_address": Pair(
        fires=measure(dns(b.BLOCK_ADDRESS), contact(b.BLOCK_ADDRESS, tls=b.RESET), replies=b.FAILED),
        outcome="blocked", technique="dns.injection.blockpage",
        misses=measure(dns(b.FOREIGN_BLOCK_ADDRESS), contact(b.FOREIGN_BLOCK_ADDRESS, tls=b.RESET), replies=b.FAILED),
        otherwise="insufficient",
    ),
    "tls.untrusted_only_here": Pair(
        fires=measure(dns(b.SITE), contact(certificate=b.UNKNOWN)), outcome="blocked", technique="tls.mitm",
        misses=measure(dns(b.SITE), contact(certificate=b.UNKNOWN), replies=ONLY_RESOLVED), otherwise="insufficient",
    ),
    "http.known_block_page": Pair(
        fires=_plain(body=b.BLOCK_BODY, title="Notice"), outcome="blocked", technique="http.blockpage",
        misses=measure(
            dns(b.SITE), contact(url=b.PLAIN, body=b.BLOCK_BODY, title="Notice"), url=b.PLAIN,
            replies=http_control(page=control_page(title="Notice", body_length=len(b.BLOCK_BODY))),
        ),
        otherwise="ok",
    ),
    "dns.answer_from_nowhere": Pair(
        fires=measure(*CALM, experiments=(b.asked({b.NAME: (b.STRANGER,)}),)), outcome="impaired",
        technique="dns.injection.other",
        misses=measure(*CALM, experiments=(b.asked({b.NAME: (b.SITE,), b.OTHER_NAME: ("151.101.1.7",)}),)),
        otherwise="ok",
    ),
    "dns.outside_two_answers": Pair(
        fires=measured(resolver(1, (b.STRANGER, b.SITE)), STRANGERS), outcome="blocked",
        technique="dns.injection.other",
        misses=measured(resolver(1, ((b.STRANGER, b.SITE), b.SITE)), STRANGERS), otherwise="ok",
    ),
    "dns.outside_block_address": Pair(
        fires=measured(resolver(1, (b.BLOCK_ADDRESS,))), outcome="blocked", technique="dns.injection.blockpage",
        misses=measured(resolver(1, (b.FOREIGN_BLOCK_ADDRESS,))), otherwise="insufficient",
    ),
    "tls.fails_only_with_the_name": Pair(
        fires=_tried(b.pairs("sni", ALL), tls=b.RESET), outcome="blocked", technique="tls.reset.sni",
        misses=_tried(b.pairs("sni", SOME), tls=b.RESET), otherwise="likely_blocked",
    ),
    "tls.other_certificate_for_the_name": Pair(
        fires=_tried(b.pairs("sni", (None,) * 3, step=_certificate("strange")), tls=b.RESET), outcome="blocked",
        technique="tls.mitm",
        misses=_tried(b.pairs("sni", (None,) * 3, step=_certificate("usual")), tls=b.RESET),
        otherwise="likely_blocked",
    ),
    "tcp.reset_not_the_servers": Pair(
        fires=_packets(249, spoken=True), outcome="blocked", technique="tls.reset",
        misses=_packets(52, spoken=True), otherwise="likely_blocked",
    ),
    "http.fails_only_with_the_host": Pair(
        fires=_http(b.pairs("host", ALL, step=b.request), http=b.RESET), outcome="blocked",
        technique="http.reset.host",
        misses=_http(b.pairs("host", ALL, innocuous=b.RESET, step=b.request), http=b.RESET),
        otherwise="likely_blocked",
    ),
    "http.other_page_for_the_host": Pair(
        fires=_http(b.pairs("host", (None,) * 3, step=_page("blocked")), http=b.RESET), outcome="blocked",
        technique="http.blockpage",
        misses=_http(b.pairs("host", (None,) * 3, step=_page("neutral")), http=b.RESET), otherwise="likely_blocked",
    ),
    "http.fails_only_with_the_phrase": Pair(
        fires=_phrase(b.pairs("phrase", ALL, step=b.request)), outcome="blocked", technique="http.reset.keyword",
        misses=_phrase(b.pairs("phrase", SOME, step=b.request)), otherwise="insufficient",
    ),
    "remote.only_with_the_name": Pair(
        fires=from_outside(server(1, *ALWAYS), server(2, *ALWAYS), server(3, None)), outcome="blocked",
        technique="tls.reset.sni",
        misses=from_outside(server(1, *ALWAYS)), otherwise="likely_blocked",
    ),
    "remote.known_block_page": Pair(
        fires=from_outside(server(1, *[BLOCK_PAGE] * 5, kind="host")), outcome="blocked", technique="http.blockpage",
        # The same, but a control name got it once too: the server itself has it to show.
        misses=from_outside(server(1, *[BLOCK_PAGE] * 5, kind="host", between=(BLOCK_PAGE,))), otherwise="insufficient",
    ),
    "tcp.reset_at_the_sink": Pair(
        fires=measured(sink((b.RESET, b.RESET, None)), method="sink"), outcome="blocked", technique="tls.reset.sni",
        misses=measured(sink((b.RESET, "eof_error", "eof_error")), method="sink"), otherwise="insufficient",
    ),
    "throttle.only_with_the_name": Pair(
        fires=_slow(four(CRAWL, FAST, FAST, CRAWL)), outcome="impaired", technique="throttle.sni",
        misses=_slow(four(CRAWL, FAST, FAST, FAST)), otherwise="ok",
    ),
    "content.withheld_here": Pair(
        fires=_phrase(_searched(notices=2)), outcome="blocked", technique="content.withheld",
        misses=_phrase(_searched(notices=1)), otherwise="insufficient",
    ),
    "quic.fails_only_with_the_name": Pair(
        fires=measure(*CALM, experiments=(b.pairs("quic", (TIMEOUT,) * 3, step=_quic),)), outcome="impaired",
        technique="quic.timeout.sni",
        misses=measure(*CALM, experiments=(b.pairs("quic", (TIMEOUT,) * 3, innocuous=TIMEOUT, step=_quic),)),
        otherwise="ok",
    ),
    "down.dns_fails_alike": Pair(
        fires=measure(dns(3), replies=twice(**NO_SUCH_NAME)), outcome="down", cause="dead",
        misses=measure(dns(3), replies=(control(**NO_SUCH_NAME), control(source=b.OTHER_HELPER))),
        otherwise="insufficient",
    ),
    "down.dnssec_fault": Pair(
        fires=measure(dns(2), dns(b.SITE, cd=True)), outcome="down", cause="other",
        misses=measure(dns(2), dns(2, cd=True)), otherwise="insufficient",
    ),
    "down.bogon_everywhere": Pair(
        fires=measure(dns(b.BOGON), replies=twice(addresses=(b.BOGON,), endpoints=(), **UNREAD)),
        outcome="down", cause="other",
        misses=measure(dns(b.BOGON), replies=twice(addresses=(b.BOGON, b.SITE), endpoints=(), **UNREAD)),
        otherwise="insufficient",
    ),
    "down.certificate": Pair(
        fires=measure(
            dns(b.SITE), contact(certificate=b.WRONG_NAME),
            replies=twice(endpoints=(endpoint(tls=False, failure=b.WRONG_NAME),), page=NO_PAGE),
        ),
        outcome="down", cause="certificate",
        misses=measure(
            dns(b.SITE), contact(certificate=b.WRONG_NAME),
            replies=(
                control(endpoints=(endpoint(tls=False, failure=b.WRONG_NAME),), page=NO_PAGE),
                control(source=b.OTHER_HELPER),
            ),
        ),
        otherwise="insufficient",
    ),
    "down.fails_alike": Pair(
        fires=measure(
            repeated(4, tls=b.RESET), replies=twice(endpoints=(endpoint(tls=False, failure=b.RESET),), page=NO_PAGE),
        ),
        outcome="down", cause="other",
        misses=measure(
            repeated(4, tls=b.RESET),
            replies=(
                *twice(endpoints=(endpoint(tls=False, failure=b.RESET),), page=NO_PAGE),
                *twice(source=b.OTHER_HELPER),
            ),
        ),
        otherwise="likely_blocked",
    ),
    "down.dead_domain": Pair(
        fires=measure(
            dns(b.STRANGER), contact(b.STRANGER, url=b.PLAIN, title="Buy this name"), url=b.PLAIN,
            replies=twice(url=b.PLAIN, page=control_page(status=0, failure="dns_nxdomain_error"), **NO_SUCH_NAME),
        ),
        outcome="down", cause="dead",
        misses=measure(
            dns(b.STRANGER), contact(b.STRANGER),
            replies=twice(page=control_page(status=0, failure="dns_nxdomain_error"), **NO_SUCH_NAME),
        ),
        otherwise="ok",
    ),
    "down.server_refusal": Pair(
        fires=measure(dns(b.SITE), contact(status=403, title="Forbidden", body_length=90)),
        outcome="down", cause="server_refusal",
        misses=_plain(status=403, title="Forbidden", body_length=90), otherwise="insufficient",
    ),
    "down.redirects": Pair(
        fires=measure(dns(b.SITE), contact(status=302, location="https://"), b.nowhere()),
        outcome="down", cause="redirects",
        misses=measure(
            dns(b.SITE), contact(url=b.PLAIN, status=302, location="https://"), b.nowhere(), url=b.PLAIN,
        ),
        otherwise="insufficient",
    ),
    "down.parked": Pair(
        fires=measure(dns(b.SITE), contact(expected=False)), outcome="down", cause="dead",
        misses=_plain(expected=False, title="For sale", body_length=90), otherwise="insufficient",
    ),
    "dns.fails_only_here": Pair(
        fires=_servfail(60.0), outcome="likely_blocked", technique="dns.servfail",
        misses=_servfail(59.0), otherwise="insufficient",
    ),
    "dns.stranger": Pair(
        fires=measure(_stranger(certificate=b.WRONG_NAME)), outcome="likely_blocked", technique="dns.injection.other",
        # The same, but the address belongs to the site's own network.
        misses=measure(_stranger(certificate=b.WRONG_NAME), asns=((b.STRANGER, 15133), (b.SITE, 15133))),
        otherwise="insufficient",
    ),
    "dns.outside_differs": Pair(
        fires=measured(*(resolver(n, *[(3,)] * 4) for n in (1, 2)), resolver(3, (b.SITE,))),
        outcome="likely_blocked", technique="dns.nxdomain",
        misses=measured(resolver(1, *[(3,)] * 4), *(resolver(n, (b.SITE,)) for n in (2, 3))), otherwise="insufficient",
    ),
    "contact.fails_only_here": Pair(
        fires=measure(repeated(4, tls=b.RESET)), outcome="likely_blocked", technique="tls.reset",
        misses=measure(repeated(4, tls=b.RESET), replies=ONLY_RESOLVED), otherwise="insufficient",
    ),
    "tls.wrong_name_only_here": Pair(
        fires=measure(repeated(4, certificate=b.WRONG_NAME)), outcome="likely_blocked", technique="tls.mitm",
        misses=measure(repeated(4, certificate=b.WRONG_NAME), replies=ONLY_RESOLVED), otherwise="insufficient",
    ),
    "tls.stranger_by_name": Pair(
        fires=_strangers_by_name(), outcome="likely_blocked", technique="tls",
        misses=_strangers_by_name(replies=ONLY_RESOLVED), otherwise="insufficient",
    ),
    "remote.only_at_one": Pair(
        fires=from_outside(server(1, *ALWAYS)), outcome="likely_blocked", technique="tls.reset.sni",
        misses=from_outside(server(1, *ALWAYS[1:], None)), otherwise="insufficient",
    ),
    "remote.lasting": Pair(
        fires=from_outside(lasting(1), lasting(2), server(3, None)), outcome="likely_blocked", technique="tls.reset",
        misses=from_outside(lasting(1), lasting(2, after=b.RESET), server(3, None)), otherwise="insufficient",
    ),
    "remote.other_answer": Pair(
        fires=from_outside(*(server(n, *[NOTICE] * 5, kind="host") for n in (1, 2))), outcome="likely_blocked",
        technique="http.diff",
        # Each has another answer of its own.
        misses=from_outside(*(server(n, *[{"status": 200, "body": b"%d" % n}] * 5, kind="host") for n in (1, 2))),
        otherwise="insufficient",
    ),
    "http.page_differs": Pair(
        fires=_different(), outcome="likely_blocked", technique="http.diff",
        misses=_different(title="Another newspaper"), otherwise="insufficient",
    ),
    "throttle.only_here": Pair(
        fires=_slow(LINE, alone(CRAWL, CRAWL)), outcome="impaired", technique="throttle",
        misses=_slow(LINE, alone(CRAWL, FAST)), otherwise="ok",
    ),
    "ok.valid_certificate": Pair(
        fires=measure(*CALM), outcome="ok",
        misses=measure(dns(b.SITE), contact(certificate=b.WRONG_NAME, page=True)), otherwise="insufficient",
    ),
    "ok.same_page": Pair(
        fires=_plain(title="Other words", body_length=3501), outcome="ok",
        misses=_plain(title="Other words", body_length=3500), otherwise="insufficient",
    ),
    "ok.mostly_reached": Pair(
        fires=measure(repeated(1, good=2, tls=b.RESET)), outcome="ok",
        misses=measure(repeated(2, good=2, tls=b.RESET)), otherwise="insufficient",
    ),
    "ok.phrase_passes": Pair(
        fires=_phrase(b.pairs("phrase", NONE, step=b.request)), outcome="ok",
        misses=_phrase(b.pairs("phrase", (None, b.RESET, None), step=b.request)), otherwise="insufficient",
    ),
    "ok.nothing_from_outside": Pair(
        fires=measured(resolver(1, (b.SITE,))), outcome="ok",
        misses=measured(resolver(1, (b.STRANGER,))), otherwise="insufficient",
    ),
    "ok.servers_from_outside": Pair(
        fires=from_outside(server(1, None)), outcome="ok",
        misses=from_outside(server(1, None), server(2, b.RESET, None, None, None, None)), otherwise="insufficient",
    ),
    "ok.silent_sink": Pair(
        fires=measured(sink((None,) * 3), method="sink"), outcome="ok",
        misses=measured(sink((None,)), method="sink"), otherwise="insufficient",
    ),
    "insufficient.residual": Pair(
        fires=measure(dns((b.SITE, b.SECOND)), contact(tcp=NOT_TRIED_RESIDUAL), contact(b.SECOND, tcp=NOT_TRIED_RESIDUAL)),
        outcome="insufficient", cause="residual",
        misses=measure(dns((b.SITE, b.SECOND)), contact(tcp=NOT_TRIED_RESIDUAL), contact(b.SECOND)), otherwise="ok",
    ),
    "insufficient.no_listener": Pair(
        fires=_phrase(), outcome="insufficient", cause="not_measurable",
        misses=_phrase(b.pairs("phrase", SOME, step=b.request)), otherwise="insufficient",
    ),
    "insufficient.date": Pair(
        fires=measure(dns(b.SITE), contact(certificate=b.BAD_DATE)), outcome="insufficient", cause="ambiguous",
        misses=measure(dns(b.SITE), contact(certificate=b.UNKNOWN)), otherwise="blocked",
    ),
    "insufficient.servers": Pair(
        fires=from_outside(server(1, None, left_out="a control name fails there")), outcome="insufficient",
        cause="not_measurable",
        misses=from_outside(server(1, None, left_out="a control name fails there"), server(2, None)), otherwise="ok",
    ),
    "insufficient.sink": Pair(
        fires=measured(sink(SOME), method="sink"), outcome="insufficient", cause="ambiguous",
        misses=measured(sink(NONE), method="sink"), otherwise="ok",
    ),
    "insufficient.no_control": Pair(
        fires=measure(dns(b.SITE), contact(tls=b.RESET), replies=(), control_configured=False),
        outcome="insufficient", cause="no_control",
        misses=measure(dns(b.SITE), contact(tls=b.RESET), replies=()), otherwise="insufficient",
    ),
    "insufficient.control_failed": Pair(
        fires=measure(dns(b.SITE), contact(tls=b.RESET), replies=b.FAILED),
        outcome="insufficient", cause="control_failed",
        misses=measure(dns(b.SITE), contact(tls=b.RESET), replies=(b.FAILED[0], control(source=b.OTHER_HELPER))),
        otherwise="insufficient",
    ),
    "insufficient.from_outside": Pair(
        fires=measured(resolver(1, *[(3,)] * 4)), outcome="insufficient", cause="ambiguous",
        misses=measured(resolver(1, (b.SITE,))), otherwise="ok",
    ),
    "insufficient.ambiguous": Pair(
        fires=measure(repeated(2, tls=b.RESET)), outcome="insufficient", cause="ambiguous",
        misses=measure(repeated(3, tls=b.RESET)), otherwise="likely_blocked",
    ),
}  # fmt: skip


def _fired(measurement: Measurement, rule: str) -> set[str]:
    return {row.id for row, _finding in fire(b.case(measurement), STAGES[rule])}


def test_every_rule_has_a_pair_and_every_pair_a_rule() -> None:
    assert list(PAIRS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("rule", PAIRS)
def test_the_rule_fires_and_decides(rule: str) -> None:
    pair = PAIRS[rule]
    assert rule in _fired(pair.fires, rule)
    verdict = analyze(pair.fires, b.FINGERPRINTS)
    assert (verdict.outcome, verdict.cause, verdict.technique) == (pair.outcome, pair.cause, pair.technique), verdict
    assert rule in verdict.rules


@pytest.mark.parametrize("rule", PAIRS)
def test_the_near_miss_does_not_fire(rule: str) -> None:
    pair = PAIRS[rule]
    if rule not in UNCONDITIONAL:
        assert rule not in _fired(pair.misses, rule)
    verdict = analyze(pair.misses, b.FINGERPRINTS)
    assert verdict.outcome == pair.otherwise, verdict
    assert rule not in verdict.rules


def test_every_rule_says_why() -> None:
    assert all(rule.why.endswith(".") for rule in RULES)
    assert len(STAGES) == len(RULES)


def test_stages_come_in_the_order_of_decision_except_that_differences_wait() -> None:
    order = list(dict.fromkeys(rule.stage for rule in RULES))
    assert order == ["unusable", "artefact", "down", "difference", "ok", "insufficient"]


@pytest.mark.parametrize(
    ("ttl", "spoken", "took", "outcome"),
    [
        (249, False, 0.015, "blocked"),  # too early for anything at the server's end
        (249, False, 0.05, "likely_blocked"),  # a firewall at the server's end has a TTL of its own
        (53, False, 0.015, "likely_blocked"),
        (51, True, 0.015, "likely_blocked"),
        (39, True, 0.05, "blocked"),
    ],
)
def test_a_header_alone_proves_nothing(ttl: int, spoken: bool, took: float, outcome: str) -> None:
    assert analyze(_packets(ttl, spoken=spoken, took=took), b.FINGERPRINTS).outcome == outcome


def test_packets_of_another_connection_are_no_evidence() -> None:
    made = _packets(249, spoken=True)
    others = tuple(msgspec.structs.replace(flow, local_port=flow.local_port + 100) for flow in made.flows)
    assert analyze(msgspec.structs.replace(made, flows=others), b.FINGERPRINTS).outcome == "likely_blocked"

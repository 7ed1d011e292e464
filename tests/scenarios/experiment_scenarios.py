"""Scenarios that experiments settle: listeners that answer to every name, and an address that runs no resolver."""

import msgspec

from monitor.demo.censor import Rule
from probes.failure import NOT_TRIED_RESIDUAL

from .harness import SILENT, Result, Scenario, default_site

NAME = ("site.example",)
HTTP = msgspec.structs.replace(default_site(), http="serve")
URL = "http://site.example/"
RESET = Rule(kind="tls_reset", names=NAME, residual=180.0)
FORGED = Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), addresses=(SILENT,))


def _kinds(result: Result) -> dict[tuple[str, str], str]:
    return {(e.kind, e.place): e.left_out for e in result.measurement.experiments}


def _innocuous_first(result: Result) -> None:
    neutral = [e for e in result.measurement.experiments if e.place == "neutral"]
    assert neutral
    for experiment in neutral:
        places: dict[tuple[str, int], list[bool]] = {}
        for attempt in experiment.tries:
            places.setdefault((attempt.address, attempt.port), []).append(attempt.innocuous)
        assert all(tries == [True, False] for tries in places.values()), places


def _residue_is_no_difference(result: Result) -> None:
    own = next(e for e in result.measurement.experiments if e.place == "own")
    assert [t.innocuous for t in own.tries] == [True]
    assert own.tries[0].failure is not None
    _innocuous_first(result)


def _no_listener_left(result: Result) -> None:
    assert "no neutral listener is free" in _kinds(result).values()


def _not_twice(result: Result) -> None:
    assert not any(op.failure == NOT_TRIED_RESIDUAL for op in result.measurement.every_operation())


SCENARIOS = (
    Scenario(
        name="a reset that leaves residual blocking, told at neutral listeners",
        outcome="blocked",
        technique="tls.reset.sni",
        rules=(RESET,),
        neutral=8,
        check=_residue_is_no_difference,
    ),
    Scenario(
        name="the same without listeners: the residue hides the difference",
        outcome="likely_blocked",
        technique="tls.reset",
        rules=(RESET,),
    ),
    Scenario(
        name="silence with residue, told at neutral listeners",
        outcome="blocked",
        technique="tls.timeout.sni",
        rules=(Rule(kind="tls_drop", names=NAME, residual=180.0),),
        neutral=8,
    ),
    Scenario(
        name="too few listeners leave it to the site's own address",
        outcome="likely_blocked",
        technique="tls.reset",
        rules=(RESET,),
        neutral=1,
        check=_no_listener_left,
    ),
    Scenario(
        name="the address is cut off, and the name passes elsewhere",
        outcome="likely_blocked",
        technique="tcp.timeout",
        rules=(Rule(kind="tcp_blackhole", addresses=("93.184.215.34",)),),
        neutral=8,
    ),
    Scenario(
        name="every name is reset at the site's address",
        outcome="likely_blocked",
        technique="tls.reset",
        rules=(Rule(kind="tls_reset", addresses=("93.184.215.34",)),),
        neutral=8,
    ),
    Scenario(
        name="DNS, address and name are blocked together",
        outcome="blocked",
        technique="dns.injection.other",
        techniques=("dns.injection.other", "tcp.timeout", "tls.reset.sni"),
        rules=(
            Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",)),
            Rule(kind="tcp_blackhole", addresses=("93.184.215.34",)),
            RESET,
        ),
        neutral=8,
    ),
    Scenario(
        name="a filter that looks at the Host",
        outcome="blocked",
        technique="http.reset.host",
        url=URL,
        sites=(HTTP,),
        rules=(Rule(kind="http_reset", names=NAME, residual=90.0),),
        neutral=16,
    ),
    Scenario(
        name="a block page for the Host, at every address",
        row=11,
        outcome="blocked",
        technique="http.blockpage",
        rule="http.other_page_for_the_host",
        url=URL,
        sites=(HTTP,),
        rules=(Rule(kind="block_page", names=NAME, body=b"<title>No</title>not here"),),
        neutral=16,
    ),
    Scenario(
        name="403 for the Host, at every address",
        row=10,
        outcome="blocked",
        technique="http.blockpage",
        url=URL,
        sites=(HTTP,),
        rules=(Rule(kind="block_page", names=NAME, status=403, body=b"forbidden"),),
        neutral=16,
    ),
    Scenario(
        name="a phrase in the path",
        outcome="blocked",
        technique="http.reset.keyword",
        rule="http.fails_only_with_the_phrase",
        url=URL + "search?q=%E5%85%AD%E5%9B%9B",
        sites=(HTTP,),
        rules=(Rule(kind="http_reset", phrases=("六四",), residual=90.0),),
        neutral=16,
    ),
    Scenario(
        name="a phrase alone",
        outcome="blocked",
        technique="http.reset.keyword",
        url="phrase:六四",
        rules=(Rule(kind="http_reset", phrases=("六四",), residual=90.0),),
        neutral=16,
    ),
    Scenario(
        name="a phrase that nobody minds",
        outcome="ok",
        rule="ok.phrase_passes",
        url="phrase:六五",
        rules=(Rule(kind="http_reset", phrases=("六四",), residual=90.0),),
        neutral=16,
    ),
    Scenario(
        name="every request is reset, whatever it says",
        outcome="insufficient",
        cause="ambiguous",
        rule="insufficient.ambiguous",
        url="phrase:六四",
        rules=(Rule(kind="http_reset", addresses=("192.241.1.1",)),),
        neutral=16,
    ),
    Scenario(
        name="a phrase, and no listener to send it to",
        outcome="insufficient",
        cause="not_measurable",
        rule="insufficient.no_listener",
        url="phrase:六四",
    ),
    Scenario(
        name="another phrase in the path, the site is down",
        outcome="down",
        cause="other",
        url=URL + "search?q=weather",
        sites=(msgspec.structs.replace(HTTP, behaviour="down"),),
        rules=(Rule(kind="http_reset", phrases=("六四",)),),
        neutral=16,
    ),
    Scenario(
        name="an answer from an address that runs no resolver",
        outcome="impaired",
        technique="dns.injection.other",
        rule="dns.answer_from_nowhere",
        silent=True,
        rules=(FORGED,),
        blocked_before=True,
    ),
    Scenario(
        name="everything sent to port 53 is answered rightly",
        row=28,
        outcome="ok",
        silent=True,
        blocked_before=True,
        rules=(
            Rule(kind="dns_forge", names=NAME, forged=("93.184.215.34",), addresses=(SILENT,), query_types=("A",)),
            Rule(
                kind="dns_forge", names=("example",), forged=("151.101.10.7",), addresses=(SILENT,), query_types=("A",)
            ),
        ),
    ),
    Scenario(
        name="another certificate for the name, at every address",
        outcome="blocked",
        technique="tls.mitm.self_signed",
        rule="tls.other_certificate_for_the_name",
        rules=(Rule(kind="mitm", names=NAME),),
        neutral=8,
    ),
    Scenario(
        name="the first look succeeds, the filter is flaky, and it was blocked before",
        row=27,
        outcome="blocked",
        technique="tls.reset.sni",
        neutral=16,
        blocked_before=True,
        seed=5,
        rules=(Rule(kind="tls_reset", names=NAME, probability=0.75),),
    ),
    Scenario(
        name="it was blocked before and is not any more",
        row=27,
        outcome="ok",
        neutral=16,
        blocked_before=True,
        check=_not_twice,
    ),
    Scenario(
        name="a server that resets names it does not know, and the censor this one",
        row=13,
        outcome="blocked",
        technique="tls.reset.sni",
        rules=(RESET,),
        neutral=8,
    ),
    Scenario(
        name="a server that resets everybody but the control",
        row=13,
        outcome="likely_blocked",
        technique="tls.reset",
        sites=(default_site(per_client={"inside": {"behaviour": "reset"}}),),
        neutral=8,
    ),
)

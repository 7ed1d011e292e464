"""Scenarios about the vantage itself: where its way out ends, a resolver that invents answers, blocks that are gone."""

from monitor.demo.censor import Rule
from monitor.demo.trouble import Trouble
from monitor.judge.vantage import situations

from .harness import Result, Scenario, default_site

NAME, URL = ("site.example",), "http://site.example/"
HOME, ELSEWHERE = "36.110.9.9", "45.33.9.9"  # AS4134 (CN) and AS9009 (DE) by the harness' table
ADVERTISING = "203.0.113.9"
OWN_RESOLVER = ("185.12.64.0/24",)
WILD = Trouble(wildcard=ADVERTISING)
BOTH = default_site(http="serve")
BUY = b"<title>Buy it</title>"
SHOP = default_site("shop.example", ADVERTISING, http="serve", title="Buy it", body=BUY)
DEAD_HERE = Rule(
    kind="dns_forge", names=NAME, addresses=OWN_RESOLVER, forged=(ADVERTISING,), follows=False, query_types=("A",)
)
INJECTED = Rule(kind="dns_forge", names=NAME, addresses=OWN_RESOLVER, forged=(ADVERTISING,))


def _situations(result: Result) -> set[str]:
    made = result.measurement
    return {found.id for test in made.self_tests for found in situations(test, made.vantage)}


def _both_networks_are_named(result: Result) -> None:
    reason = result.verdict.reason
    assert "from AS4134 (CN) to AS9009 (DE)" in reason
    assert "`wallwatch confirm inside`" in reason
    assert ELSEWHERE not in repr(result.measurement), "the address itself must not be kept"


def _nothing_is_wrong(result: Result) -> None:
    assert _situations(result) == set()


def _it_is_told_and_counts(result: Result) -> None:
    assert _situations(result) == {"known_blocked_opens", "egress_unknown"}
    assert result.measurement.self_tests[0].known_blocked_open == ("https://news.example/",)


def _it_stays_blocked(result: Result) -> None:
    assert "known_blocked_opens" not in _situations(result)


SCENARIOS = (
    Scenario(name="the way out ends where it should", row=21, outcome="ok", asn=4134, seen_from=HOME, check=_nothing_is_wrong),
    Scenario(name="the way out has moved", row=21, outcome="insufficient", cause="not_measurable", asn=4134,
             seen_from=ELSEWHERE, rule="vantage.moved_egress", check=_both_networks_are_named),
    Scenario(name="the way out has moved, and the site is blocked there", row=21, outcome="insufficient",
             cause="not_measurable", asn=4134, seen_from=ELSEWHERE, rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="where the way out ends is not known", row=21, outcome="ok", asn=4134, seen_from="198.51.100.7"),
    Scenario(name="a known-blocked site opens", row=20, outcome="ok", known_blocked=("https://news.example/",),
             sites=(default_site(), default_site("news.example", "93.184.215.60")), check=_it_is_told_and_counts),
    Scenario(name="a known-blocked site is still blocked", row=20, outcome="ok", known_blocked=("https://news.example/",),
             sites=(default_site(), default_site("news.example", "93.184.215.60")), check=_it_stays_blocked,
             rules=(Rule(kind="tls_reset", names=("news.example",)),)),
    Scenario(name="a known-blocked site whose censor shows a certificate", row=20, outcome="ok", check=_it_stays_blocked,
             sites=(default_site(), default_site("news.example", "93.184.215.60")),
             known_blocked=("https://news.example/",), rules=(Rule(kind="mitm", names=("news.example",)),)),
    Scenario(name="a resolver that invents answers does not find the site", outcome="insufficient", cause="not_measurable",
             rule="vantage.wildcard_answer", url=URL, sites=(BOTH, SHOP), trouble=WILD, rules=(DEAD_HERE,)),
    Scenario(name="the same answer from a resolver that invents none", outcome="likely_blocked",
             technique="dns.injection.other", url=URL, sites=(BOTH, SHOP), rules=(DEAD_HERE,)),
    Scenario(name="a resolver that invents answers knows the site", outcome="ok", trouble=WILD),
    Scenario(name="a resolver that invents answers for a dead domain", row=16, outcome="down", cause="dead",
             rule="down.dead_domain", url=URL, trouble=WILD,
             sites=(default_site("shop.example", ADVERTISING, http="serve", certificate="none", title="", body=BUY),)),
    Scenario(name="a resolver that invents answers, and a site that is there", outcome="ok", trouble=WILD,
             sites=(default_site(address=ADVERTISING),)),
    Scenario(name="a resolver that invents answers on an intercepted line", row=28, outcome="ok",
             trouble=Trouble(wildcard=ADVERTISING, intercepted_dns=True)),
    Scenario(name="an answer is injected before an inventing resolver's", outcome="blocked",
             technique="dns.injection.other", rule="dns.two_answers", trouble=WILD, rules=(INJECTED,)),
)  # fmt: skip

"""Scenarios in which DNS lies, fails, or only seems to."""

from monitor.demo.censor import Rule
from monitor.demo.trouble import Trouble
from monitor.demo.world import Site
from probes.dns import DNSLookup
from probes.tcp import TCPConnect

from .harness import Result, Scenario, default_site

NAME = ("site.example",)
FORGED = ("31.13.94.37", "104.244.43.128", "162.125.2.5")
CDN = default_site(address="151.101.1.69", per_client={"inside": {"addresses": ("23.53.112.99",)}})
EDGES = ("23.53.112.99", "23.53.112.100")
PLAIN = default_site(http="serve", certificate="none")
OWN_EDGE = default_site(per_client={"elsewhere": {"addresses": ("31.13.94.37",)}})  # it answers there for its name
HINTED = default_site(https_record='1 . alpn="h2" ipv4hint=93.184.215.99')
GEO_PLAIN = default_site(
    http="serve", certificate="none", address="151.101.1.69", per_client={"inside": {"addresses": ("23.53.112.99",)}}
)


def _lookups(result: Result, query_type: str) -> list[DNSLookup]:
    found = (op for op in result.measurement.operations if isinstance(op, DNSLookup))
    return [op for op in found if op.query_type == query_type]


def _dialled(result: Result) -> set[str]:
    """The addresses that a connect was made to."""
    connects = (op for op in result.measurement.operations if isinstance(op, TCPConnect))
    return {op.address for op in connects if not (op.failure or "").startswith("not_tried")}


def _one_stranger_dialled(result: Result) -> None:
    assert len(_dialled(result) & set(FORGED)) <= 1


def _both_edges_dialled(result: Result) -> None:
    assert _dialled(result) >= set(EDGES)


def _all_answers_kept(result: Result) -> None:
    assert any(len(op.responses) >= 2 for op in _lookups(result, "A"))


def _nothing_dialled(result: Result) -> None:
    assert not {a for a in _dialled(result) if a.startswith(("127.", "10."))}


def _hint_kept(result: Result) -> None:
    hints = {r.hints() for op in _lookups(result, "HTTPS") for r in op.responses}
    assert ("93.184.215.99",) in hints


def _cd_asked(result: Result) -> None:
    assert any(getattr(op, "checking_disabled", False) for op in result.measurement.operations)


SCENARIOS = (
    Scenario(name="two forged answers, then the true one", row=1, outcome="blocked", technique="dns.injection.other",
             rule="dns.two_answers", check=_all_answers_kept,
             rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED, count=2),)),
    Scenario(name="forged answers of many addresses, one is dialled", row=23, outcome="blocked",
             technique="dns.injection.other", rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED, count=3),),
             check=_one_stranger_dialled),
    Scenario(name="a forged answer behind the true one", row=1, outcome="impaired", technique="dns.injection.other",
             rule="dns.two_answers", rules=(Rule(kind="dns_second", names=NAME, forged=("31.13.94.37",)),)),
    Scenario(name="the same true answer twice", outcome="ok", rule="ok.valid_certificate",
             rules=(Rule(kind="dns_second", names=NAME),)),
    Scenario(name="only the public resolver's path is forged", outcome="impaired", technique="dns.injection.other",
             rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED, addresses=("8.8.8.8",)),)),
    Scenario(name="a forged answer alone", outcome="likely_blocked", technique="dns.injection.other", rule="dns.stranger",
             sites=(default_site(), default_site("stranger.example", "31.13.94.37")),
             rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",)))),
    Scenario(name="a private address", outcome="blocked", technique="dns.injection.bogon", rule="dns.bogon_only_here",
             rules=(Rule(kind="dns_forge", names=NAME, forged=("10.10.34.36",), follows=False),), country="IR"),
    Scenario(name="loopback, here only", row=29, outcome="blocked", technique="dns.injection.bogon",
             rules=(Rule(kind="dns_forge", names=NAME, forged=("127.0.0.1",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",))), check=_nothing_dialled),
    Scenario(name="loopback for everybody", row=29, outcome="down", cause="other", rule="down.bogon_everywhere",
             sites=(default_site(address="127.0.0.1"),), check=_nothing_dialled),
    Scenario(name="loopback for everybody, another useless address here", row=29, outcome="down", cause="other",
             rule="down.bogon_everywhere", sites=(default_site(address="127.0.0.1"),), check=_nothing_dialled,
             rules=(Rule(kind="dns_forge", names=NAME, forged=("0.0.0.0",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",)))),
    Scenario(name="a known block address", outcome="blocked", technique="dns.injection.blockpage",
             rule="dns.known_block_address", country="ID",
             rules=(Rule(kind="dns_forge", names=NAME, forged=("36.86.63.185",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",)))),
    Scenario(name="the block address of another country is a stranger's", outcome="likely_blocked",
             technique="dns.injection.other", country="DE",
             sites=(default_site(), default_site("stranger.example", "36.86.63.185")),
             rules=(Rule(kind="dns_forge", names=NAME, forged=("36.86.63.185",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",)))),
    Scenario(name="NXDOMAIN here only", outcome="likely_blocked", technique="dns.nxdomain", rule="dns.fails_only_here",
             rules=(Rule(kind="dns_nxdomain", names=NAME),)),
    Scenario(name="NXDOMAIN for everybody", row=16, outcome="down", cause="dead", rule="down.dns_fails_alike",
             sites=(Site("site.example", behaviour="dns_dead"),)),
    Scenario(name="no address here only", outcome="likely_blocked", technique="dns.no_answer",
             rules=(Rule(kind="dns_empty", names=NAME),)),
    Scenario(name="SERVFAIL here only, twice a minute apart", row=12, outcome="likely_blocked", technique="dns.servfail",
             rules=(Rule(kind="dns_servfail", names=NAME),)),
    Scenario(name="SERVFAIL by a broken zone", row=12, outcome="down", cause="other", rule="down.dnssec_fault",
             sites=(default_site(behaviour="servfail"),), check=_cd_asked),
    Scenario(name="REFUSED here only, twice a minute apart", row=12, outcome="likely_blocked", technique="dns.refused",
             rules=(Rule(kind="dns_refused", names=NAME),)),
    Scenario(name="no answer at all here, twice a minute apart", row=12, outcome="likely_blocked",
             technique="dns.timeout", rules=(Rule(kind="dns_timeout", names=NAME, addresses=("185.12.64.0/24",)),)),
    Scenario(name="a resolver that fails for control names too", outcome="insufficient", cause="offline",
             rules=(Rule(kind="dns_servfail", names=("example",), addresses=("185.12.64.0/24",)),)),
    Scenario(name="geo-DNS: disjoint addresses, each with a valid certificate", row=2, outcome="ok",
             rule="ok.valid_certificate", sites=(CDN,)),
    Scenario(name="geo-DNS over plain HTTP: the same page", row=2, outcome="ok", rule="ok.same_page",
             url="http://site.example/", sites=(GEO_PLAIN,)),
    Scenario(name="geo-DNS over plain HTTP: another page, no certificate to be had", row=2, outcome="insufficient",
             cause="ambiguous", url="http://site.example/",
             sites=(default_site(http="serve", certificate="none", address="151.101.1.69",
                                 per_client={"inside": {"addresses": ("23.53.112.99",), "status": 404,
                                                        "body": b"<title>elsewhere</title>nothing", "headers": ()}}),)),
    Scenario(name="a stranger's address that is dead for everybody", outcome="insufficient", cause="ambiguous",
             rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",)))),
    Scenario(name="only IPv6 answers are forged", outcome="impaired", technique="dns.injection.other",
             rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED, query_types=("AAAA",)),)),
    Scenario(name="NAT64: the made-up address is reset", row=3, outcome="blocked", technique="tls.reset.sni",
             trouble=Trouble(nat64="64:ff9b::/96"), rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="NAT64: the made-up address holds the true one", row=3, outcome="ok",
             trouble=Trouble(nat64="64:ff9b::/96")),
    Scenario(name="fake addresses of a local proxy", outcome="insufficient", cause="not_measurable",
             rule="vantage.fake_addresses", trouble=Trouble(fake_addresses=True)),
    Scenario(name="port 53 is intercepted and answered rightly", row=28, outcome="ok",
             trouble=Trouble(intercepted_dns=True)),
    Scenario(name="the helper's own resolver is poisoned", row=7, outcome="ok",
             helper_rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), follows=False),)),
    Scenario(name="a helper that is poisoned cannot make a plain site blocked", row=7, outcome="insufficient",
             cause="ambiguous", url="http://site.example/", sites=(PLAIN,),
             helper_rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), follows=False),)),
    Scenario(name="wildcard advertising on a dead domain", row=16, outcome="down", cause="dead", rule="down.dead_domain",
             url="http://site.example/",
             sites=(default_site(http="serve", certificate="none", behaviour="dns_dead",
                                 per_client={"inside": {"behaviour": "normal", "body": b"<title>Buy it</title>"}}),)),
    Scenario(name="an encrypted resolver reaches the site, the plain client does not", outcome="likely_blocked",
             technique="dns.nxdomain", rules=(Rule(kind="dns_nxdomain", names=NAME, addresses=("185.12.64.0/24",)),)),
    Scenario(name="a forged answer whose address serves the site's certificate", row=1, outcome="impaired",
             technique="dns.injection.other", rule="dns.two_answers", sites=(OWN_EDGE,),
             rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), query_types=("A",)),)),
    Scenario(name="the same address given once, by the site's own DNS", row=1, outcome="ok",
             rule="ok.valid_certificate", sites=(default_site(per_client={"inside": {"addresses": ("31.13.94.37",)}}),)),
    Scenario(name="several addresses that nobody else is given, each with the site's certificate", row=23, outcome="ok",
             rule="ok.valid_certificate", check=_both_edges_dialled,
             sites=(default_site(per_client={"inside": {"addresses": EDGES}}),)),
    Scenario(name="an HTTPS record whose hints are not the A records", row=4, outcome="ok", sites=(HINTED,),
             check=_hint_kept),
    Scenario(name="a forged HTTPS record before the true one", row=4, outcome="impaired",
             technique="dns.injection.other", rule="dns.two_answers", sites=(HINTED,), check=_hint_kept,
             rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED, query_types=("HTTPS",)),)),
    Scenario(name="the same HTTPS record twice", row=4, outcome="ok", sites=(HINTED,),
             rules=(Rule(kind="dns_second", names=NAME, query_types=("HTTPS",)),)),
    Scenario(name="a public resolver refuses, the plain client's answers", row=12, outcome="ok",
             rules=(Rule(kind="dns_refused", names=NAME, addresses=("8.8.8.8",)),)),
    Scenario(name="a forged answer for a dead domain, then NXDOMAIN", row=16, outcome="blocked",
             technique="dns.injection.other", rule="dns.two_answers",
             sites=(Site("site.example", behaviour="dns_dead"),),
             rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED, query_types=("A",)),)),
    Scenario(name="a forged answer alone for a dead domain", row=16, outcome="down", cause="dead",
             rule="down.dead_domain",
             sites=(Site("site.example", behaviour="dns_dead"), default_site("stranger.example", "31.13.94.37")),
             rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",), follows=False, query_types=("A",)),)),
    Scenario(name="a private address for everybody, and a resolver that hides such", row=29, outcome="down",
             cause="other", rule="down.bogon_everywhere", sites=(default_site(address="10.1.2.3"),), check=_nothing_dialled,
             rules=(Rule(kind="dns_empty", names=NAME, addresses=("185.12.64.0/24",)),)),
    Scenario(name="a resolver that hides a private address, and DNS over HTTPS for a control", row=29,
             outcome="insufficient", cause="no_control", sites=(default_site(address="10.1.2.3"),), no_helpers=True,
             rules=(Rule(kind="dns_empty", names=NAME, addresses=("185.12.64.0/24",)),)),
    Scenario(name="port 53 is intercepted, and this name answered falsely", row=28, outcome="blocked",
             technique="dns.injection.other", trouble=Trouble(intercepted_dns=True),
             rules=(Rule(kind="dns_forge", names=NAME, forged=FORGED),)),
)  # fmt: skip

"""Scenarios in which an encrypted resolver vouches, exposes, or is itself kept away (row 7, CONTRACT.md section 4)."""

from collections.abc import Callable

from monitor.demo.censor import Rule
from monitor.demo.world import Site
from probes.dns import DNSLookup

from .harness import Result, Scenario, default_site

NAME = ("site.example",)
FORGED = ("31.13.94.37",)
DOT_ADDRESS = "9.9.9.10"
DOT = Site("dot.example", (DOT_ADDRESS,), title="DNS over TLS", dot=True)
WITH_DOT = ("system", f"tls://dot.example?bootstrap={DOT_ADDRESS}")
WITH_DOH = ("system", "https://dns.example/dns-query?bootstrap=9.9.9.9")
PLAIN = default_site(http="serve", certificate="none")
URL = "http://site.example/"
POISONED = Rule(kind="dns_forge", names=NAME, forged=FORGED)
MISSING = Rule(kind="dns_nxdomain", names=NAME)
SILENT = Rule(kind="tcp_blackhole", addresses=(DOT_ADDRESS,), ports=(853,))


def _by_dot(result: Result) -> list[DNSLookup]:
    return [op for op in result.measurement.operations if isinstance(op, DNSLookup) and op.engine == "dot"]


def _vouched(result: Result) -> None:
    found = _by_dot(result)
    assert {op.query_type: op.failure for op in found} == {"A": None, "AAAA": "dns_no_answer"}
    assert {op.resolver for op in found} == {WITH_DOT[1]}
    assert {op.server for op in found} == {DOT_ADDRESS}


def _failed(failure: str) -> Callable[[Result], None]:
    def check(result: Result) -> None:
        assert {op.failure for op in _by_dot(result)} == {failure}
        assert not any(op.responses for op in _by_dot(result))
        (resolver,) = {op.resolver for op in _by_dot(result)}
        assert all(resolver in test.failed_resolvers for test in result.measurement.self_tests)

    return check


SCENARIOS = (
    Scenario(name="the resolver is poisoned, DNS over TLS vouches, there is no control", row=7, outcome="blocked",
             technique="dns.injection.other", rule="dns.two_answers", sites=(default_site(), DOT),
             resolvers=WITH_DOT, no_helpers=True, rules=(POISONED,), check=_vouched),
    Scenario(name="the resolver is poisoned, DNS over HTTPS vouches, there is no control", row=7, outcome="blocked",
             technique="dns.injection.other", rule="dns.two_answers", resolvers=WITH_DOH, no_helpers=True,
             rules=(POISONED,)),
    Scenario(name="the resolver is poisoned, DNS over TLS is silent, there is no control", row=7,
             outcome="insufficient", cause="no_control", sites=(default_site(), DOT), resolvers=WITH_DOT,
             no_helpers=True, rules=(POISONED, SILENT), check=_failed("generic_timeout_error")),
    Scenario(name="the resolver is poisoned, DNS over TLS is reset by its name, there is no control", row=7,
             outcome="insufficient", cause="no_control", sites=(default_site(), DOT), resolvers=WITH_DOT,
             no_helpers=True, rules=(POISONED, Rule(kind="tls_reset", names=("dot.example",))),
             check=_failed("connection_reset")),
    Scenario(name="the resolver is poisoned, somebody stands in for DNS over TLS, there is no control", row=7,
             outcome="insufficient", cause="no_control", sites=(default_site(), DOT), resolvers=WITH_DOT,
             no_helpers=True, rules=(POISONED, Rule(kind="mitm", names=("dot.example",))),
             check=_failed("ssl_unknown_authority")),
    Scenario(name="the resolver gives a private address, DNS over TLS exposes it, there is no control",
             outcome="blocked", technique="dns.injection.bogon", rule="dns.bogon_only_here", country="IR",
             sites=(default_site(), DOT), resolvers=WITH_DOT, no_helpers=True, check=_vouched,
             rules=(Rule(kind="dns_forge", names=NAME, forged=("10.10.34.36",), follows=False),)),
    Scenario(name="the site's own private address, by DNS over TLS too, there is no control", row=29,
             outcome="insufficient", cause="no_control", sites=(default_site(address="10.1.2.3"), DOT),
             resolvers=WITH_DOT, no_helpers=True, check=_vouched),
    Scenario(name="DNS over TLS is silent and the site is fine", outcome="ok", rule="ok.valid_certificate",
             sites=(default_site(), DOT), resolvers=WITH_DOT, rules=(SILENT,),
             check=_failed("generic_timeout_error")),
    Scenario(name="DNS over TLS knows no such name and the site is fine", outcome="ok", sites=(default_site(),),
             resolvers=("system", "tls://dot.example"), check=_failed("dns_temporary_failure")),
    Scenario(name="DNS over TLS at a bare address reaches the site, the plain client does not",
             outcome="likely_blocked", technique="dns.nxdomain", rules=(MISSING,),
             sites=(default_site(), Site("dot.example", (DOT_ADDRESS,), aliases=(DOT_ADDRESS,), dot=True)),
             resolvers=("system", f"tls://{DOT_ADDRESS}")),
    Scenario(name="NXDOMAIN here, and one helper's DNS without a certificate", row=7, outcome="insufficient",
             cause="ambiguous", url=URL, sites=(PLAIN,), resolvers=("system",), rules=(MISSING,)),
    Scenario(name="NXDOMAIN here, and two helpers' DNS without a certificate", row=7, outcome="likely_blocked",
             technique="dns.nxdomain", url=URL, sites=(PLAIN,), resolvers=("system",), helpers=2, rules=(MISSING,)),
    Scenario(name="NXDOMAIN here, and one helper's DNS with DNS over TLS for a second", row=7,
             outcome="likely_blocked", technique="dns.nxdomain", url=URL, sites=(PLAIN, DOT), resolvers=WITH_DOT,
             rules=(MISSING,), check=_vouched),
    Scenario(name="NXDOMAIN here, one helper's DNS, and DNS over TLS is silent", row=7, outcome="insufficient",
             cause="ambiguous", url=URL, sites=(PLAIN, DOT), resolvers=WITH_DOT, rules=(MISSING, SILENT),
             check=_failed("generic_timeout_error")),
)  # fmt: skip

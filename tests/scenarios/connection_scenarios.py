"""Scenarios in which connections fail: by a censor, by the site, by the line."""

import msgspec

from monitor.demo.censor import Rule
from monitor.demo.trouble import Trouble
from probes.dns import DNSLookup
from probes.failure import NOT_TRIED_RESIDUAL

from .harness import Result, Scenario, default_site

NAME = ("site.example",)
ADDRESS = "93.184.215.34"
SIX = "2606:2800:21f::34"
DUAL = msgspec.structs.replace(default_site(), addresses=(ADDRESS, SIX))
PAIR = msgspec.structs.replace(default_site(), addresses=(ADDRESS, "93.184.215.35"))


def _later_layer_is_tested(result: Result) -> None:
    assert {"dns.injection.other", "tls.reset.sni"} <= set(result.verdict.techniques)


def _clear_text_name(result: Result) -> None:
    assert "clear text (SNI)" in result.verdict.reason
    lookups = [op for op in result.measurement.operations if isinstance(op, DNSLookup) and op.query_type == "HTTPS"]
    assert any(op.responses and op.responses[0].records for op in lookups)


def _six_is_cut(result: Result) -> None:
    assert any(":" in getattr(op, "address", "") and op.failure for op in result.measurement.operations)


def _skipped(result: Result) -> None:
    assert any(op.failure == NOT_TRIED_RESIDUAL for op in result.measurement.operations)


def _four_tries(result: Result) -> None:
    assert {op.attempt for op in result.measurement.operations} == {0, 1, 2, 3}
    ports = [op for op in result.measurement.operations if type(op).__name__ == "TLSHandshake"]
    assert len(ports) >= 4


SCENARIOS = (
    Scenario(name="all is well", outcome="ok", rule="ok.valid_certificate"),
    Scenario(name="all is well, by the reference vantage alone", outcome="ok", reference=True, no_helpers=True),
    Scenario(name="reset after the ClientHello", outcome="blocked", technique="tls.reset.sni",
             rule="tls.fails_only_with_the_name", rules=(Rule(kind="tls_reset", names=NAME),), check=_four_tries),
    Scenario(name="reset, seen by the reference vantage alone", outcome="blocked", technique="tls.reset.sni",
             rules=(Rule(kind="tls_reset", names=NAME),), reference=True, no_helpers=True),
    Scenario(name="silence after the ClientHello", outcome="blocked", technique="tls.timeout.sni",
             rules=(Rule(kind="tls_drop", names=NAME),)),
    Scenario(name="close after the ClientHello", outcome="blocked", technique="tls.eof.sni",
             rules=(Rule(kind="tls_close", names=NAME),)),
    Scenario(name="the server resets everybody", outcome="down", cause="other", rule="down.fails_alike",
             sites=(default_site(behaviour="reset"),)),
    Scenario(name="DNS and SNI blocked together", outcome="blocked", technique="dns.injection.other",
             check=_later_layer_is_tested,
             rules=(Rule(kind="dns_forge", names=NAME, forged=("31.13.94.37",)), Rule(kind="tls_reset", names=NAME))),
    Scenario(name="SYN refused here only", outcome="likely_blocked", technique="tcp.refused",
             rules=(Rule(kind="tcp_refuse", addresses=(ADDRESS,)),)),
    Scenario(name="the site is down for everybody", outcome="down", cause="other", rule="down.fails_alike",
             sites=(default_site(behaviour="down"),)),
    Scenario(name="SYN unanswered here only", outcome="likely_blocked", technique="tcp.timeout", rule="contact.fails_only_here",
             rules=(Rule(kind="tcp_blackhole", addresses=(ADDRESS,)),)),
    Scenario(name="the site is silent for everybody", outcome="down", cause="other",
             sites=(default_site(behaviour="silent"),)),
    Scenario(name="unreachable here only", outcome="likely_blocked", technique="tcp.unreachable",
             rules=(Rule(kind="tcp_unreachable", addresses=(ADDRESS,)),)),
    Scenario(name="reset after the connect", outcome="likely_blocked", technique="tls.reset",
             rules=(Rule(kind="tcp_reset", addresses=(ADDRESS,)),)),
    Scenario(name="a self-signed certificate here only", outcome="blocked", technique="tls.mitm.self_signed",
             rule="tls.untrusted_only_here", rules=(Rule(kind="mitm", names=NAME),)),
    Scenario(name="an untrusted authority here only", outcome="blocked", technique="tls.mitm.ca_signed",
             rules=(Rule(kind="mitm", names=NAME, authority="untrusted"),)),
    Scenario(name="a self-signed certificate for everybody", outcome="down", cause="certificate",
             rule="down.certificate", sites=(default_site(certificate="self_signed"),)),
    Scenario(name="an expired certificate", outcome="down", cause="certificate", rule="down.certificate",
             sites=(default_site(certificate="expired"),)),
    Scenario(name="an expired certificate here only", outcome="insufficient", cause="ambiguous",
             rule="insufficient.date",
             sites=(default_site(per_client={"inside": {"certificate": "expired"}}),)),
    Scenario(name="a certificate for other names", outcome="down", cause="certificate",
             sites=(default_site(certificate="wrong_name"),)),
    Scenario(name="a certificate for other names here only", outcome="likely_blocked", technique="tls.mitm",
             rule="tls.wrong_name_only_here",
             sites=(default_site(per_client={"inside": {"certificate": "wrong_name"}}),)),
    Scenario(name="IPv6 is broken at the vantage", row=17, outcome="ok", sites=(DUAL,),
             trouble=Trouble(ipv6="silent")),
    Scenario(name="IPv6 is unreachable at the vantage", row=17, outcome="ok", sites=(DUAL,),
             trouble=Trouble(ipv6="unreachable")),
    Scenario(name="one of the site's own addresses is cut off", outcome="impaired", technique="tcp.timeout",
             sites=(PAIR,), rules=(Rule(kind="tcp_blackhole", addresses=("93.184.215.35",)),)),
    Scenario(name="the site's first address is cut off, the second answers", outcome="impaired",
             technique="tcp.timeout", sites=(PAIR,), rules=(Rule(kind="tcp_blackhole", addresses=(ADDRESS,)),)),
    Scenario(name="one of the site's own addresses is down for everybody", outcome="ok",
             sites=(PAIR, default_site("dead.example", "93.184.215.36"))),
    Scenario(name="two sites on one address, the neighbour was blocked just now", row=22, outcome="insufficient",
             cause="residual", rule="insufficient.residual", url="https://neighbour.example/",
             sites=(default_site(), default_site("neighbour.example", ADDRESS)), before=("https://site.example/",),
             rules=(Rule(kind="tls_reset", names=NAME),), check=_skipped),
    Scenario(name="the neighbour of a good site", row=22, outcome="ok", url="https://neighbour.example/",
             sites=(default_site(), default_site("neighbour.example", ADDRESS)), before=("https://site.example/",)),
    Scenario(name="one try of four is lost", outcome="ok", rule="ok.mostly_reached", seed=3,
             rules=(Rule(kind="tls_drop", names=NAME, probability=0.3),)),
    Scenario(name="a flaky filter is told by its pairs", row=27, outcome="blocked", technique="tls.reset.sni",
             
             seed=1, rules=(Rule(kind="tls_reset", names=NAME, probability=0.75),)),
    Scenario(name="a helper that fails leaves no control", outcome="insufficient", cause="control_failed",
             rule="insufficient.control_failed", broken_helper=True, rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="a helper that fails does not make a good site doubtful", outcome="ok", broken_helper=True),
    Scenario(name="no control is configured", outcome="insufficient", cause="no_control",
             rule="insufficient.no_control", no_helpers=True, rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="no control is configured, the page vouches for itself", outcome="ok", no_helpers=True),
    Scenario(name="the vantage is offline", row=24, outcome="insufficient", cause="offline", rule="vantage.offline",
             trouble=Trouble(offline="unreachable")),
    Scenario(name="the vantage hears nothing", row=24, outcome="insufficient", cause="offline",
             trouble=Trouble(offline="silent")),
    Scenario(name="a captive portal", row=6, outcome="insufficient", cause="captive_portal",
             rule="vantage.captive_portal", trouble=Trouble(captive_portal="page")),
    Scenario(name="a captive portal that redirects", row=6, outcome="insufficient", cause="captive_portal",
             trouble=Trouble(captive_portal="redirect")),
    Scenario(name="the clock is two hours off", outcome="insufficient", cause="clock", rule="vantage.clock",
             ahead=7200.0),
    Scenario(name="the clock is one minute off", outcome="ok", ahead=60.0),
    Scenario(name="the control completes the name elsewhere only", row=14, outcome="down", cause="other",
             sites=(default_site(behaviour="close"),)),
    Scenario(name="encrypted hello is offered, and the name in clear text is reset", row=4, outcome="blocked",
             technique="tls.reset.sni", check=_clear_text_name, rules=(Rule(kind="tls_reset", names=NAME),),
             sites=(default_site(https_record='1 . alpn="h2" ech="AEn+DQBFKwAgACABWIHUGj4u+PIggYXcR5JF0gYk3dCRioBW8uJq9H4mKAAIAAEAAQABAANAEnB1YmxpYy50bHMtZWNoLmRldgAA"'),)),
    Scenario(name="a server that refuses this name to everybody at the address given here", row=14,
             outcome="insufficient", cause="ambiguous",
             sites=(default_site(), default_site("edge.example", "151.101.1.69", behaviour="reset")),
             rules=(Rule(kind="dns_forge", names=NAME, forged=("151.101.1.69",), follows=False, query_types=("A",)),
                    Rule(kind="dns_empty", names=NAME, query_types=("AAAA",)))),
    Scenario(name="the address given here is another than the control's, and only here it is reset", row=14,
             outcome="blocked", technique="tls.reset.sni", rules=(Rule(kind="tls_reset", names=NAME),),
             sites=(default_site(address="151.101.1.69", per_client={"inside": {"addresses": ("23.53.112.99",)}}),)),
    Scenario(name="IPv6 works at the vantage, and the site's is cut off", row=17, outcome="ok", check=_six_is_cut,
             sites=(DUAL,), rules=(Rule(kind="tcp_blackhole", addresses=(SIX,)),)),
    Scenario(name="IPv6 is broken at the vantage, and IPv4 is reset", row=17, outcome="blocked",
             technique="tls.reset.sni", sites=(DUAL,), trouble=Trouble(ipv6="silent"),
             rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="a known-blocked site after its block was lifted", row=20, outcome="ok",
             rule="ok.valid_certificate", before=("https://site.example/",), lifted=True,
             rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="the neighbour after the block was lifted and the address has rested", row=22, outcome="ok",
             url="https://neighbour.example/", before=("https://site.example/",), lifted=True,
             sites=(default_site(), default_site("neighbour.example", ADDRESS)),
             rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="one control name fails too", row=24, outcome="blocked", technique="tls.reset.sni",
             rules=(Rule(kind="tls_reset", names=(*NAME, "control-a.example")),)),
)  # fmt: skip

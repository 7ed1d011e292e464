"""Scenarios of the lab in which DNS is lied about, or only looks so."""

from probes.dns import DNSLookup
from probes.tcp import TCPConnect

from . import plan, rules
from .scenario import Played, Scenario

NAME = "site.example"
HTTP = "http://plain.example/"
FORGED = set(rules.FORGED + rules.FORGED_SIX)


def _one_stranger_at_most(played: Played) -> None:
    dialled = {op.address for op in played.measurement.operations if isinstance(op, TCPConnect)}
    assert len(dialled & FORGED) <= 1


def _pool(played: Played) -> None:
    """The forged pool, with times, flags and TTLs, can be read from the facts (row 23 and acceptance 3)."""
    _one_stranger_at_most(played)
    lookups = [op for op in played.measurement.every_operation() if isinstance(op, DNSLookup)]
    given = {a for op in lookups for r in op.responses for a in r.addresses()} & FORGED
    assert len(given) >= 3
    silent = [r for op in lookups if op.resolver == "silent" and op.name == NAME for r in op.responses]
    assert silent
    assert all(r.hops is not None and r.at > 0 for r in silent if ":" not in str(r.addresses()))


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="forged answers from a pool", row=23, twin="clean https", rules=(rules.gfw_dns(NAME),),
             outcome="blocked", technique="dns.injection.other", rule="dns.answer_from_nowhere", check=_pool),
    Scenario(name="one forged answer before the true one", twin="clean https", rules=(rules.gfw_dns(NAME, count=1),),
             outcome="blocked", technique="dns.injection.other"),
    Scenario(name="a forged answer leads to the site, with a valid certificate", row=1, twin="clean double",
             url="https://double.example/", rules=(rules.gfw_dns("double.example", count=1, answers=("93.184.219.2",)),),
             outcome="impaired", technique="dns.injection.other"),
    Scenario(name="clean double", row=1, url="https://double.example/"),
    Scenario(name="a forged bogon", row=29, twin="the zone itself leads nowhere",
             rules=(rules.gfw_dns(NAME, count=1, answers=("10.10.34.36",)),), outcome="blocked",
             technique="dns.injection.bogon"),
    Scenario(name="the zone itself leads nowhere", row=29, url="https://nowhere.example/", outcome="down",
             cause="other"),
    Scenario(name="another address here than at the control", row=2, url="https://geo.example/"),
    Scenario(name="another address here, and the name is reset", row=2, twin="another address here than at the control",
             url="https://geo.example/", rules=(rules.sni_reset("geo.example"),), outcome="blocked",
             technique="tls.reset.sni"),
    Scenario(name="NXDOMAIN by the network's resolver", twin="clean https", outcome="likely_blocked",
             technique="dns.nxdomain",
             rules=(rules.Rule(sees="dns", does="rcode", names=(NAME,), addresses=(plan.SYSTEM,)),)),
    Scenario(name="NXDOMAIN put in on the path", twin="clean https", rules=(rules.dns_rcode(NAME),), outcome="blocked",
             technique="dns.injection", rule="dns.answer_from_nowhere"),
    Scenario(name="SERVFAIL by the network's resolver", row=12, twin="a zone that does not verify",
             outcome="likely_blocked", technique="dns.servfail",
             rules=(rules.Rule(sees="dns", does="rcode", rcode=2, names=(NAME,), addresses=(plan.SYSTEM,)),)),
    Scenario(name="REFUSED by the network's resolver", row=12, twin="a zone that does not verify",
             outcome="likely_blocked", technique="dns.refused",
             rules=(rules.Rule(sees="dns", does="rcode", rcode=5, names=(NAME,), addresses=(plan.SYSTEM,)),)),
    Scenario(name="a zone that does not verify", row=12, url="https://bogus.example/", outcome="down", cause="other"),
    Scenario(name="queries for the name vanish", row=12, twin="clean https", outcome="likely_blocked",
             technique="dns.timeout",
             rules=(rules.Rule(sees="dns", does="drop", names=(NAME,), addresses=(plan.SYSTEM,)),)),
    Scenario(name="the dead site's name is forged", row=16, twin="the name is gone", url="https://gone.example/",
             rules=(rules.gfw_dns("gone.example"),), outcome="blocked", technique="dns.injection.other"),
    Scenario(name="the name is gone", row=16, url="https://gone.example/", outcome="down", cause="dead"),
    Scenario(name="a parking page", row=16, expect="a text of the real site", outcome="down", cause="dead"),
    Scenario(name="the helper's resolver is poisoned, we are not", row=7, url="https://pair.example/", helpers=("B",),
             helper_rules=(rules.gfw_dns("pair.example", count=1),)),
    Scenario(name="the helper's resolver is poisoned, and so is ours", row=7,
             twin="the helper's resolver is poisoned, we are not", url="https://strict.example/", helpers=("B", "A"),
             rules=(rules.gfw_dns("strict.example"),), helper_rules=(rules.gfw_dns("strict.example", count=1),),
             outcome="blocked", technique="dns.injection.other"),
    Scenario(name="everything sent to port 53 is answered rightly", row=28, blocked_before=True,
             rules=(rules.Rule(sees="dns", does="forge", names=(NAME,), addresses=(plan.SILENT,), answers=("93.184.215.34",)),
                    *(rules.Rule(sees="dns", does="forge", names=(f"control-{c}.example",), addresses=(plan.SILENT,),
                                 answers=(f"151.101.{n}.7",)) for n, c in enumerate("abcd", 10)))),
    Scenario(name="port 53 is answered by somebody, this name wrongly", row=28, blocked_before=True,
             twin="everything sent to port 53 is answered rightly", outcome="impaired", technique="dns.injection.other",
             rules=(rules.Rule(sees="dns", does="forge", names=(NAME,), addresses=(plan.SILENT,), answers=("31.13.94.37",)),
                    *(rules.Rule(sees="dns", does="forge", names=(f"control-{c}.example",), addresses=(plan.SILENT,),
                                 answers=(f"151.101.{n}.7",)) for n, c in enumerate("abcd", 10)))),
    Scenario(name="DNS, address and name are blocked together", twin="clean https", outcome="blocked",
             technique="dns.injection.other", techniques=("dns.injection.other", "tcp.timeout", "tls.reset.sni"),
             rules=(rules.gfw_dns(NAME), rules.blackhole("93.184.215.34"), rules.sni_reset(NAME))),
    Scenario(name="NAT64: the made-up address stands for the site's", row=3, url="https://nat.example/"),
    Scenario(name="NAT64, and the name is reset", row=3, twin="NAT64: the made-up address stands for the site's",
             url="https://nat.example/", rules=(rules.sni_reset("nat.example"),), outcome="blocked",
             technique="tls.reset.sni"),
)  # fmt: skip

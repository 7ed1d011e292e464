"""The first scenarios: one of each kind of interference, with its innocent twin beside it."""

from . import rules
from .scenario import Played, Scenario

NAME = "site.example"
ADDRESS = "93.184.215.34"

CENSORED_TOO = rules.sni_reset("two.cdn.example", residual=0)  # in the way of helper B


def _forged_before_the_true_one(played: Played) -> None:
    lookups = [op for op in played.measurement.operations if type(op).__name__ == "DNSLookup"]
    assert any(len(getattr(op, "responses", ())) >= 4 for op in lookups)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="clean https"),
    Scenario(name="clean http", url="http://plain.example/"),
    Scenario(name="an IPv6 site", url="https://six.example/"),
    Scenario(name="triple injection", row=1, twin="clean https", rules=(rules.gfw_dns(NAME),), outcome="blocked",
             technique="dns.injection.other", check=_forged_before_the_true_one),
    Scenario(name="address blackhole", twin="the site is dead", rules=(rules.blackhole(ADDRESS),),
             outcome="likely_blocked", technique="tcp.timeout"),
    Scenario(name="reset by SNI, type II", twin="a server that resets everybody", rules=(rules.sni_reset(NAME),),
             outcome="blocked", technique="tls.reset.sni"),
    Scenario(name="silence by SNI", twin="a server that is mute for everybody", rules=(rules.sni_drop(NAME),), outcome="blocked",
             technique="tls.timeout.sni"),
    Scenario(name="a block page", twin="clean http", url="http://plain.example/", rules=(rules.block_page("plain.example"),),
             outcome="blocked", technique="http.blockpage"),
    Scenario(name="a certificate of the censor's", twin="a self-signed certificate for everybody",
             rules=(rules.mitm(NAME),), outcome="blocked", technique="tls.mitm.self_signed"),
    Scenario(name="the site is dead", url="https://refused.example/", outcome="down", cause="other"),
    Scenario(name="a server that resets everybody", url="https://resetting.example/", outcome="down", cause="other"),
    Scenario(name="a server that is mute for everybody", url="https://mute.example/", outcome="down", cause="other"),
    Scenario(name="a self-signed certificate for everybody", url="https://selfsigned.example/", outcome="down",
             cause="certificate"),
    Scenario(name="loss of 3 in 100", loss=0.03, timeout=5.0),
    Scenario(name="a helper is censored too, another is not", twin="one helper's censor alone", helpers=("A", "B"),
             url="https://two.cdn.example/", rules=(rules.sni_reset("two.cdn.example"),), helper_rules=(CENSORED_TOO,),
             outcome="blocked", technique="tls.reset.sni"),
    Scenario(name="one helper's censor alone", helpers=("A", "B"), url="https://two.cdn.example/", helper_rules=(CENSORED_TOO,)),
)  # fmt: skip

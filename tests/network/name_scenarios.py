"""Scenarios of the lab in which connections or pages are interfered with, by name or by address."""

from probes.failure import NOT_TRIED_RESIDUAL

from . import rules
from .scenario import Played, Scenario

NAME, ADDRESS = "site.example", "93.184.215.34"
PLAIN, BOTH = "http://plain.example/", "http://both.example/"
SEARCH = "http://both.example/search?q=%E5%85%AD%E5%9B%9B"
CONTROLS_SIX = tuple(f"2a04:4e42:{n}::7" for n in range(10, 14))


def _says(text: str) -> object:
    def check(played: Played) -> None:
        assert text in played.verdict.reason, played.verdict.reason

    return check


def _resets(kind: str) -> object:
    """The resets' header can be read from the facts and is named by its pattern."""

    def check(played: Played) -> None:
        resets = [r for f in played.measurement.flows for r in f.resets]
        assert resets
        assert played.measurement.pcap[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")
        flags = {"I": "R", "II": "RA", "III": "RA", "henan": "RA"}[kind]
        assert {r.flags for r in resets} == {flags}, resets
        if kind == "I":
            assert {r.ip_id for r in resets} == {0}
        if kind == "III":
            assert all(r.ip_id is not None and 0x9916 <= r.ip_id <= 0x9933 for r in resets)
        if kind == "henan":
            assert {r.payload for r in resets} == {"01020304050607080900"}

    return check


def _not_contacted(played: Played) -> None:
    assert any(op.failure == NOT_TRIED_RESIDUAL for op in played.measurement.operations)


def _reset(kind: str) -> Scenario:
    return Scenario(
        name=f"reset by SNI, header of type {kind}", twin="a server that resets everybody", outcome="blocked",
        rules=(rules.sni_reset(NAME, kind=kind, residual=0 if kind == "henan" else 180.0),), technique="tls.reset.sni",
        check=_resets(kind),
    )  # fmt: skip


SCENARIOS: tuple[Scenario, ...] = (
    *(_reset(kind) for kind in ("I", "II", "III", "henan")),
    Scenario(name="a forged close after the ClientHello", twin="a server that closes on everybody",
             rules=(rules.sni_fin(NAME),), outcome="blocked", technique="tls.eof.sni"),
    Scenario(name="a server that closes on everybody", row=14, url="https://closing.example/", outcome="down",
             cause="other"),
    Scenario(name="silence by SNI, without memory", twin="a server that is mute for everybody",
             rules=(rules.sni_drop(NAME, residual=0.0),), outcome="blocked", technique="tls.timeout.sni"),
    Scenario(name="SYN is refused", twin="the site is dead", rules=(rules.refuse(ADDRESS),), outcome="likely_blocked",
             technique="tcp.refused"),
    Scenario(name="ICMP says prohibited", twin="the site is dead", rules=(rules.unreachable(ADDRESS),),
             outcome="likely_blocked", technique="tcp.unreachable"),
    Scenario(name="a certificate of an unknown authority", twin="a self-signed certificate for everybody",
             rules=(rules.mitm(NAME, box="unknown_ca"),), outcome="blocked", technique="tls.mitm.ca_signed"),
    Scenario(name="only IPv6, and the name is reset", twin="only IPv6", url="https://only-six.example/",
             rules=(rules.sni_reset("only-six.example"),), outcome="blocked", technique="tls.reset.sni"),
    Scenario(name="only IPv6", url="https://only-six.example/"),
    Scenario(name="IPv6 is broken here", row=17, url="https://dual.example/",
             rules=(rules.blackhole("2606:2800:21f::5", *CONTROLS_SIX),)),
    Scenario(name="IPv6 is broken here, and the name is reset", row=17, twin="IPv6 is broken here",
             url="https://dual.example/", outcome="blocked", technique="tls.reset.sni",
             rules=(rules.blackhole("2606:2800:21f::5", *CONTROLS_SIX), rules.sni_reset("dual.example"))),
    Scenario(name="one of two addresses is cut off", twin="two addresses", url="https://pair.example/",
             rules=(rules.blackhole("93.184.219.4"),), outcome="impaired", technique="tcp.timeout"),
    Scenario(name="two addresses", url="https://pair.example/"),
    Scenario(name="two sites on one address, the other was just reset", row=22, url="https://one.cdn.example/",
             before=("https://two.cdn.example/",), rules=(rules.sni_reset("two.cdn.example"),), outcome="insufficient",
             cause="residual", check=_not_contacted),
    Scenario(name="two sites on one address, after the rest", row=22, url="https://one.cdn.example/",
             before=("https://two.cdn.example/",), rules=(rules.sni_reset("two.cdn.example"),), lifted=True),
    Scenario(name="two sites on one address, the blocked one", row=22, url="https://two.cdn.example/",
             twin="two sites on one address, after the rest", rules=(rules.sni_reset("two.cdn.example"),),
             outcome="blocked", technique="tls.reset.sni"),
    Scenario(name="a server that resets names it does not know", row=13, url="https://nervous.example/"),
    Scenario(name="a server that resets names it does not know, and the censor this one", row=13,
             twin="a server that resets names it does not know", url="https://nervous.example/",
             rules=(rules.sni_reset("nervous.example"),), outcome="blocked", technique="tls.reset.sni"),
    Scenario(name="a server that rejects names it does not know", row=13, url="https://strict.example/"),
    Scenario(name="a flaky filter", row=27, twin="loss of 3 in 100", seed=4, outcome="blocked",
             technique="tls.reset.sni", blocked_before=True,
             rules=(rules.sni_reset(NAME, residual=0.0, probability=0.75),)),
    Scenario(name="blocked before, open now", row=27, blocked_before=True),
    Scenario(name="a redirect whose hop is reset", row=15, twin="a redirect", url="https://moved.example/",
             rules=(rules.sni_reset("next.example"),), outcome="blocked", technique="tls.reset.sni",
             check=_says("redirect 1")),
    Scenario(name="a redirect", row=15, url="https://moved.example/"),
    Scenario(name="redirects without end", url="https://loop.example/", outcome="down", cause="redirects"),
    Scenario(name="http is reset, https is fine", row=5, twin="http, and https beside it", url=BOTH,
             rules=(rules.host_reset("both.example"),), outcome="blocked", technique="http.reset.host",
             check=_says("completes TLS on port 443")),
    Scenario(name="http, and https beside it", row=5, url=BOTH),
    Scenario(name="silence by Host", twin="clean http", url=PLAIN, rules=(rules.host_drop("plain.example"),),
             outcome="blocked", technique="http.timeout.host"),
    Scenario(name="a phrase in the query is reset", twin="a query that nobody minds", url=SEARCH,
             rules=(rules.phrase_reset("六四"),), outcome="blocked", technique="http.reset.keyword"),
    Scenario(name="a query that nobody minds", url="http://both.example/?q=weather", rules=(rules.phrase_reset("六四"),)),
    Scenario(name="a phrase alone", twin="a phrase that nobody minds", url="phrase:六四",
             rules=(rules.phrase_reset("六四"),), outcome="blocked", technique="http.reset.keyword"),
    Scenario(name="a phrase that nobody minds", url="phrase:六五", rules=(rules.phrase_reset("六四"),)),
    Scenario(name="an unknown block page", row=11, twin="clean http", url=PLAIN,
             rules=(rules.block_page("plain.example"),), outcome="blocked", technique="http.blockpage"),
    Scenario(name="a block page at this address only", row=11, twin="clean http", url=PLAIN, outcome="likely_blocked",
             technique="http.diff",
             rules=(rules.Rule(sees="host", does="page", addresses=("93.184.215.42",), page=rules.block_page().page),)),
    Scenario(name="a redirect to a page of the censor's", twin="clean http", url=PLAIN,
             rules=(rules.redirect("plain.example", to="http://forbidden.example/"),), outcome="blocked",
             technique="http.redirect"),
    Scenario(name="403 for us only", row=10, url="http://refuses-us.example/", outcome="insufficient",
             cause="ambiguous"),
    Scenario(name="403 for the Host, at every address", row=10, twin="403 for us only", url=PLAIN,
             rules=(rules.block_page("plain.example", status="403 Forbidden"),), outcome="blocked",
             technique="http.blockpage"),
    Scenario(name="403 for the helper only", row=9, url="https://refuses-helper.example/"),
    Scenario(name="403 for the helper only, over plain HTTP", row=9, url="http://refuses-helper-too.example/",
             outcome="insufficient", cause="ambiguous"),
    Scenario(name="403 for the helper, reset for us", row=8, twin="403 for the helper only",
             url="https://refuses-helper.example/", rules=(rules.sni_reset("refuses-helper.example"),),
             outcome="blocked", technique="tls.reset.sni"),
    Scenario(name="403 for everybody", row=26, url="http://forbidden.example/", outcome="down", cause="server_refusal"),
    Scenario(name="403 for us over valid TLS", row=26, url="https://geoblock.example/", outcome="down",
             cause="server_refusal"),
    Scenario(name="a captive portal", row=6, outcome="insufficient", cause="captive_portal",
             rules=(rules.mitm(), rules.Rule(sees="address", does="divert", ports=(80,), protocol="tcp", box="page"))),
    Scenario(name="offline", row=24, rules=(rules.Rule(sees="address", does="drop"),), outcome="insufficient",
             cause="offline"),
    Scenario(name="encrypted hello is offered, and the name in clear text is reset", row=4,
             twin="encrypted hello is offered", url="https://ech.example/", rules=(rules.sni_reset("ech.example"),),
             outcome="blocked", technique="tls.reset.sni", check=_says("clear text (SNI)")),
    Scenario(name="encrypted hello is offered", row=4, url="https://ech.example/"),
    Scenario(name="expired for everybody", url="https://expired.example/", outcome="down", cause="certificate"),
    Scenario(name="another's certificate for everybody", url="https://wrongname.example/", outcome="down",
             cause="certificate"),
    Scenario(name="a site that answers late", url="https://tardy.example/"),
)  # fmt: skip

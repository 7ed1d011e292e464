"""What is to be concluded through a proxy: a change to what is behind it, and the verdict."""

import msgspec

from monitor.demo.censor import Rule
from monitor.demo.sites import page
from monitor.demo.world import Site
from tests.scenarios.harness import default_site

NAME, ADDRESS, NOWHERE, BOTH = ("site.example",), "93.184.215.34", "198.51.100.9", ("socks5", "http")
PLAIN, URL = default_site(http="serve", certificate="none"), "http://site.example/"
IRAN = b'<html><body><iframe src="http://10.10.34.36?type=Invalid Site" style="width: 100%"></iframe></body></html>'
NEXT = default_site("next.example", "93.184.215.50")


class Proxied(msgspec.Struct, kw_only=True):
    """`hosts`: where names lead at the far side, empty: nowhere; `closed` and `silent`: addresses that refuse or do not
    answer there; `dies`: the proxy does, after the first contact with the site; `absent`: it never ran; `deaf`: only the
    control names are out of its reach."""

    name: str
    outcome: str
    technique: str | None = None
    cause: str | None = None
    rule: str = ""
    said: str = ""
    kinds: tuple[str, ...] = BOTH
    url: str = "https://site.example/"
    sites: tuple[Site, ...] = (default_site(),)
    rules: tuple[Rule, ...] = ()
    neutral: int = 0
    country: str = "IR"
    hosts: dict[str, str] = {}
    closed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    dies: bool = False
    absent: bool = False
    deaf: bool = False


SCENARIOS = (
    Proxied(name="a page over TLS", outcome="ok", rule="ok.valid_certificate", said="Not measured from here"),
    Proxied(name="a page over plain HTTP", outcome="ok", rule="ok.same_page", url=URL, sites=(PLAIN,)),
    Proxied(name="a redirect to another name", outcome="ok",
            sites=(default_site(redirect_to="https://next.example/"), NEXT)),
    Proxied(name="reset on the name", outcome="blocked", technique="tls", rule="tls.fails_only_with_the_name",
            said="(cut off)", rules=(Rule(kind="tls_reset", names=NAME),), neutral=8),
    Proxied(name="close on the name", outcome="blocked", technique="tls", rule="tls.fails_only_with_the_name",
            said="(cut off)", rules=(Rule(kind="tls_close", names=NAME),), neutral=8),
    Proxied(name="reset on the name, no listeners", outcome="blocked", technique="tls",
            said="at the site's own address", rules=(Rule(kind="tls_reset", names=NAME),)),
    Proxied(name="silence on the name", outcome="blocked", technique="tls.timeout.sni",
            rules=(Rule(kind="tls_drop", names=NAME),), neutral=8),
    Proxied(name="reset on the name of a redirect", outcome="blocked", technique="tls", neutral=8, said="redirect 1",
            sites=(default_site(redirect_to="https://next.example/"), NEXT),
            rules=(Rule(kind="tls_reset", names=("next.example",)),)),
    Proxied(name="reset on the Host", outcome="blocked", technique="http", rule="http.fails_only_with_the_host",
            url=URL, sites=(PLAIN,), rules=(Rule(kind="http_reset", names=NAME),), neutral=8),
    Proxied(name="a known block page", outcome="blocked", technique="http.blockpage", rule="http.known_block_page",
            url=URL, sites=(PLAIN,), rules=(Rule(kind="block_page", names=NAME, body=IRAN, status=403),)),
    Proxied(name="another page", outcome="likely_blocked", technique="http.diff", url=URL, sites=(PLAIN,),
            rules=(Rule(kind="block_page", names=NAME, body=page("Another", seed="o", paragraphs=3)),)),
    Proxied(name="an untrusted certificate", outcome="likely_blocked", technique="tls", rule="tls.stranger_by_name",
            rules=(Rule(kind="mitm", names=NAME),)),
    Proxied(name="the name leads to somebody else", outcome="likely_blocked", technique="tls",
            rule="tls.stranger_by_name", hosts={"site.example": "93.184.215.50"}, sites=(default_site(), NEXT)),
    Proxied(name="the name leads to a node that is down", outcome="insufficient", cause="ambiguous",
            kinds=("socks5",), hosts={"site.example": NOWHERE}),
    Proxied(name="the name leads to a node that resets", outcome="insufficient", cause="ambiguous",
            hosts={"site.example": "93.184.215.50"},
            sites=(default_site(), default_site("next.example", "93.184.215.50", behaviour="reset"))),
    Proxied(name="the name leads nowhere", outcome="insufficient", cause="not_measurable", rule="vantage.proxy",
            said="proxy could not connect to site.example", hosts={"site.example": ""}),
    Proxied(name="refused here only", outcome="likely_blocked", technique="tcp.refused", kinds=("socks5",),
            closed=(ADDRESS,)),
    Proxied(name="refused here only, and no reason given", outcome="insufficient", cause="not_measurable",
            kinds=("http",), rule="vantage.proxy", closed=(ADDRESS,)),
    Proxied(name="unanswered here only", outcome="likely_blocked", technique="tcp.timeout", silent=(ADDRESS,)),
    Proxied(name="refused for everybody", outcome="down", cause="other", kinds=("socks5",), closed=(ADDRESS,),
            sites=(default_site(behaviour="down"),)),
    Proxied(name="reset for everybody", outcome="down", cause="other", sites=(default_site(behaviour="reset"),)),
    Proxied(name="a bad certificate for everybody", outcome="down", cause="certificate",
            sites=(default_site(certificate="self_signed"),)),
    Proxied(name="the proxy dies while we look again", outcome="insufficient", cause="not_measurable",
            rule="vantage.proxy", said="proxy could not be reached", dies=True,
            rules=(Rule(kind="tls_reset", names=NAME),)),
    Proxied(name="no proxy is there", outcome="insufficient", cause="not_measurable", rule="vantage.proxy",
            said="proxy could not be reached", absent=True),
    Proxied(name="the network behind it is offline", outcome="insufficient", cause="offline", rule="vantage.offline",
            kinds=("socks5",), deaf=True, closed=(ADDRESS,)),
)  # fmt: skip

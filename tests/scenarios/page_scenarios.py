"""Scenarios about pages: block pages, other pages, redirects, refusals, slow ones."""

from monitor.demo.censor import Rule
from monitor.demo.sites import page
from monitor.demo.trouble import Trouble

from .harness import Result, Scenario, default_site

NAME = ("site.example",)
PLAIN = default_site(http="serve", certificate="none")
BOTH = default_site(http="serve")
URL = "http://site.example/"
NOTICE = b"<html><head><title>Notice</title></head><body>nothing to see</body></html>"
IRAN = b'<html><body><iframe src="http://10.10.34.36?type=Invalid Site" style="width: 100%"></iframe></body></html>'
OTHER = page("Quite another thing", seed="quite-other", paragraphs=3)


def _https_is_said(result: Result) -> None:
    assert "TLS on port 443" in result.verdict.reason


def _https_is_not_said(result: Result) -> None:
    assert "443" not in result.verdict.reason


def _hop_is_named(result: Result) -> None:
    assert "redirect 1" in result.verdict.reason
    assert any(reply.hop == 1 for reply in result.measurement.control)


def _every_hop(result: Result) -> None:
    hops = {op.hop for op in result.measurement.operations if type(op).__name__ == "DNSLookup"}
    assert hops == {0, 1}


SCENARIOS = (
    Scenario(name="plain HTTP, the same page", outcome="ok", rule="ok.same_page", url=URL, sites=(PLAIN,)),
    Scenario(name="a known block page", outcome="blocked", technique="http.blockpage", rule="http.known_block_page",
             url=URL, sites=(BOTH,), country="IR",
             rules=(Rule(kind="block_page", names=NAME, body=IRAN, status=403),)),
    Scenario(name="the same notice from the site itself", row=26, outcome="down", cause="server_refusal", url=URL,
             country="IR", sites=(default_site(http="serve", certificate="none", body=IRAN, status=451, title=""),),
             rule="down.server_refusal"),
    Scenario(name="a redirect to a known block page", outcome="blocked", technique="http.redirect", url=URL,
             sites=(BOTH, default_site("blocked.example", "203.0.113.80", http="serve", certificate="none", body=IRAN)),
             country="IR", rules=(Rule(kind="redirect", names=NAME, location="http://blocked.example/"),)),
    Scenario(name="an unknown block page", row=11, outcome="likely_blocked", technique="http.diff",
             rule="http.page_differs", url=URL, sites=(PLAIN,),
             rules=(Rule(kind="block_page", names=NAME, body=NOTICE),)),
    Scenario(name="another page with the same title word", row=11, outcome="insufficient", cause="ambiguous", url=URL,
             sites=(default_site(http="serve", certificate="none",
                                 per_client={"inside": {"body": page("The page of somebody", seed="b", paragraphs=2)}}),)),
    Scenario(name="403 over plain HTTP here only", row=10, outcome="insufficient", cause="ambiguous", url=URL,
             sites=(PLAIN,), rules=(Rule(kind="block_page", names=NAME, body=NOTICE, status=403),)),
    Scenario(name="reset on the Host", outcome="blocked", technique="http.reset.host", rule="http.fails_only_with_the_host", url=URL, sites=(BOTH,),
             row=5, check=_https_is_said, rules=(Rule(kind="http_reset", names=NAME),)),
    Scenario(name="silence on the Host", outcome="blocked", technique="http.timeout.host", url=URL, sites=(PLAIN,),
             rules=(Rule(kind="http_drop", names=NAME),)),
    Scenario(name="close on the Host", outcome="blocked", technique="http.eof.host", url=URL, sites=(PLAIN,),
             rules=(Rule(kind="http_close", names=NAME),)),
    Scenario(name="the redirect to https is followed and measured", outcome="ok", url=URL, check=_every_hop),
    Scenario(name="the redirect's hop is reset", row=15, outcome="blocked", technique="tls.reset.sni",
             sites=(default_site(redirect_to="https://next.example/"), default_site("next.example", "93.184.215.50")),
             rules=(Rule(kind="tls_reset", names=("next.example",)),), check=_hop_is_named),
    Scenario(name="the redirect's hop is down for everybody", row=15, outcome="down", cause="other",
             sites=(default_site(redirect_to="https://next.example/"),
                    default_site("next.example", "93.184.215.50", behaviour="down"))),
    Scenario(name="a redirect loop", outcome="down", cause="redirects", rule="down.redirects",
             sites=(default_site(behaviour="loop"),)),
    Scenario(name="403 over valid TLS here only", row=9, outcome="down", cause="server_refusal",
             rule="down.server_refusal", sites=(default_site(per_client={"inside": {"status": 403}}),)),
    Scenario(name="451 for everybody", row=26, outcome="down", cause="server_refusal", sites=(default_site(status=451),)),
    Scenario(name="a CAPTCHA for this client", outcome="down", cause="server_refusal",
             sites=(default_site(per_client={"inside": {"status": 403, "title": "Attention Required! | Cloudflare",
                    "body": b"<title>Attention Required! | Cloudflare</title>"}}),)),
    Scenario(name="the helper is refused by a bot wall", row=8, outcome="ok",
             sites=(default_site(per_client={"helper-0": {"status": 403}}),)),
    Scenario(name="the helper is refused, the vantage is reset", row=8, outcome="blocked", technique="tls.reset.sni",
             sites=(default_site(per_client={"helper-0": {"status": 403}, "helper-1": {"status": 403}}),), helpers=2,
             rules=(Rule(kind="tls_reset", names=NAME),)),
    Scenario(name="the control is geoblocked over plain HTTP", row=9, outcome="insufficient", cause="ambiguous", url=URL,
             sites=(default_site(http="serve", certificate="none",
                                 per_client={"helper-0": {"status": 403, "body": NOTICE, "title": "", "headers": ()}}),)),
    Scenario(name="a slow site", row=19, outcome="ok", sites=(default_site(behaviour="slow", seconds=0.3),)),
    Scenario(name="a site whose body stalls for everybody", outcome="down", cause="other",
             sites=(default_site(behaviour="stall"),)),
    Scenario(name="a body that keeps coming until the deadline", row=19, outcome="ok", timeout=2.0,
             sites=(default_site(body=b"<title>Long</title>" + b"x" * 400_000, title="Long", rate=60_000),)),
    Scenario(name="a transparent proxy that changes nothing", outcome="ok", url=URL, sites=(PLAIN,),
             trouble=Trouble(transparent_proxy=True)),
    Scenario(name="404 for everybody", outcome="ok", sites=(default_site(status=404),)),
    Scenario(name="503 for everybody", outcome="down", cause="server_refusal", sites=(default_site(status=503),)),
    Scenario(name="500 of the site itself", outcome="down", cause="other", sites=(default_site(status=500),)),
    Scenario(name="a parking page", row=16, outcome="down", cause="dead", rule="down.parked", expect="the real thing",
             sites=(default_site(),)),
    Scenario(name="the page holds its own text", row=16, outcome="ok", expect="The page of site.example"),
    Scenario(name="reset on the Host of a site without https", row=5, outcome="blocked",
             technique="http.reset.host", url=URL, sites=(PLAIN,), check=_https_is_not_said,
             rules=(Rule(kind="http_reset", names=NAME),)),
    Scenario(name="https of a site whose http is reset", row=5, outcome="ok", sites=(BOTH,),
             rules=(Rule(kind="http_reset", names=NAME),)),
    Scenario(name="the control is geoblocked, the vantage reads the site over TLS", row=9, outcome="ok",
             rule="ok.valid_certificate", sites=(default_site(per_client={"helper-0": {"status": 451, "body": NOTICE,
                    "title": "", "headers": ()}}),)),
    Scenario(name="the control is reset, the vantage reads the site over TLS", row=9, outcome="ok",
             sites=(default_site(per_client={"helper-0": {"behaviour": "reset"}}),)),
    Scenario(name="the control is reset, the vantage gets a page over plain HTTP", row=9, outcome="insufficient",
             cause="ambiguous", url=URL, sites=(default_site(http="serve", certificate="none",
                                          per_client={"helper-0": {"behaviour": "reset"}}),)),
    Scenario(name="a bot wall over plain HTTP here only", row=10, outcome="down", cause="server_refusal", url=URL,
             sites=(default_site(http="serve", certificate="none", per_client={"inside": {"status": 403,
                    "title": "Attention Required! | Cloudflare", "headers": (),
                    "body": b"<title>Attention Required! | Cloudflare</title>"}}),)),
    Scenario(name="403 over plain HTTP for everybody", row=10, outcome="down", cause="server_refusal", url=URL,
             sites=(default_site(http="serve", certificate="none", status=403),)),
    Scenario(name="another page with the same uncommon header", row=11, outcome="insufficient", cause="ambiguous",
             url=URL, sites=(PLAIN,),
             rules=(Rule(kind="block_page", names=NAME, body=NOTICE, headers=(("X-Site-Edge", "miss"),)),)),
    Scenario(name="another page of like length", row=11, outcome="ok", rule="ok.same_page", url=URL,
             sites=(default_site(http="serve", certificate="none", per_client={"inside": {
                    "body": page("Eine ganz andere", seed="site-example"), "headers": ()}}),)),
    Scenario(name="another page, in its own language, over TLS", row=11, outcome="ok", rule="ok.valid_certificate",
             sites=(default_site(per_client={"inside": {"body": OTHER, "title": "Quite another thing", "headers": ()}}),)),
    Scenario(name="the redirect's hop has a forged address", row=15, outcome="blocked", technique="dns.injection.other",
             sites=(default_site(redirect_to="https://next.example/"), default_site("next.example", "93.184.215.50")),
             rules=(Rule(kind="dns_forge", names=("next.example",), forged=("31.13.94.37",)),)),
    Scenario(name="a law's notice that everybody gets over plain HTTP", row=26, outcome="down", cause="server_refusal",
             url=URL, sites=(default_site(http="serve", certificate="none", status=451, body=NOTICE, title=""),)),
    Scenario(name="the same notice in the site's place here only", row=26, outcome="insufficient", cause="ambiguous",
             url=URL, sites=(PLAIN,), rules=(Rule(kind="block_page", names=NAME, body=NOTICE, status=451),)),
)  # fmt: skip

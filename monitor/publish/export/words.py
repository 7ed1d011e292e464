"""What the words in the tables mean, each in one line without a semicolon; docs/rules.md says how they are reached."""

from collections.abc import Mapping
from types import MappingProxyType

Meanings = Mapping[str, str]

OUTCOMES: Meanings = MappingProxyType(
    {
        "ok": "the vantage reached the same site that the control sees, and no interference was seen",
        "blocked": "the vantage did not get the site, and an artefact proves interference",
        "likely_blocked": "the vantage did not get the site in at least 3 tries, and nothing innocent explains it",
        "impaired": "the vantage reached the site, and interference was seen all the same",
        "down": "the site failed for the control in the same way, or the fault is the site's own",
        "insufficient": "it cannot be told - never to be counted as ok",
    }
)
CAUSES: Meanings = MappingProxyType(
    {
        "dead": "down: the site does not exist any more",
        "certificate": "down: the certificate is bad for the control too",
        "server_refusal": "down: the server refuses (geoblock, bot wall, 401, 403, 429, 451)",
        "redirects": "down: the site's redirects lead nowhere",
        "other": "down: it fails for the control too, in another way",
        "offline": "insufficient: the vantage reached none of its control sites",
        "captive_portal": "insufficient: somebody answered in everybody's place",
        "no_control": "insufficient: no control is configured that could explain the failure",
        "control_failed": "insufficient: the control itself failed",
        "clock": "insufficient: the vantage's clock is wrong",
        "residual": "insufficient: the address was left alone after an earlier contact",
        "not_measurable": "insufficient: a local proxy hides the network",
        "ambiguous": "insufficient: no rule explains what was seen",
    }
)
TECHNIQUES: Meanings = MappingProxyType(
    {
        "dns.injection": "a forged DNS answer",
        "dns.injection.bogon": "a forged DNS answer with an address at which no public site can be",
        "dns.injection.blockpage": "a forged DNS answer with the address of a known block page",
        "dns.injection.other": "a forged DNS answer with somebody else's address",
        "dns.nxdomain": "the resolver says that the name does not exist",
        "dns.refused": "the resolver refuses to answer",
        "dns.servfail": "the resolver says that it failed",
        "dns.timeout": "the resolver does not answer",
        "dns.no_answer": "the resolver answers without an address",
        "tcp.refused": "the TCP connect is answered by a reset",
        "tcp.reset": "the TCP connection is reset before any data",
        "tcp.timeout": "the TCP connect is not answered",
        "tcp.unreachable": "the network says that the address cannot be reached",
        "tls": "the TLS handshake is broken off, or answered by somebody else - through a proxy no more can be told",
        "tls.reset": "the TLS handshake is reset",
        "tls.reset.sni": "the TLS handshake is reset, because of the name in it",
        "tls.timeout": "the TLS handshake is not answered",
        "tls.timeout.sni": "the TLS handshake is not answered, because of the name in it",
        "tls.eof": "the connection is closed during the TLS handshake",
        "tls.eof.sni": "the connection is closed during the TLS handshake, because of the name in it",
        "tls.mitm": "somebody between shows a certificate of their own",
        "tls.mitm.self_signed": "the certificate shown is self-signed",
        "tls.mitm.ca_signed": "the certificate shown is signed by an authority that is not trusted",
        "quic.timeout": "the QUIC handshake is not answered",
        "quic.timeout.sni": "the QUIC handshake is not answered, because of the name in it",
        "http": "the HTTP request is broken off - through a proxy a reset and a close look alike",
        "http.blockpage": "a known block page instead of the page",
        "http.redirect": "a redirect to a known block page",
        "http.reset": "the connection is reset after the HTTP request",
        "http.reset.host": "the connection is reset because of the Host header",
        "http.reset.keyword": "the connection is reset because of a word in the request",
        "http.eof": "the connection is closed after the HTTP request",
        "http.eof.host": "the connection is closed because of the Host header",
        "http.timeout": "the HTTP request is not answered",
        "http.timeout.host": "the HTTP request is not answered, because of the Host header",
        "http.diff": "another page than the control's, with nothing in common",
        "throttle": "the connection is slowed down",
        "throttle.sni": "the connection is slowed down because of the name in it",
        "content.withheld": "the platform itself withholds what it holds on a phrase",
    }
)
EVENT_KINDS: Meanings = MappingProxyType(
    {
        "blocked": "the target became blocked or likely_blocked",
        "unblocked": "the target became ok",
        "impaired": "the target became impaired",
        "technique_changed": "the target stayed blocked or impaired, at another layer",
    }
)
VANTAGE_KINDS: Meanings = MappingProxyType(
    {
        "direct": "packets leave by the vantage's own route",
        "socks5": "through a SOCKS5 proxy",
        "http": "through an HTTP proxy",
        "agent": "measured by an agent on its own schedule",
        "remote": "a remote method, from outside",
        "ooni": "recorded by an OONI probe and imported",
    }
)
DIRECTIONS: Meanings = MappingProxyType(
    {
        "inside-out": "from the network in question to the site",
        "outside-in": "from outside into the network in question",
    }
)
FLAGS: Meanings = MappingProxyType(
    {
        "true": "the network was made up by `wallwatch demo` - says nothing about the Internet",
        "false": "measured on a real network",
    }
)
REDACTED: Meanings = MappingProxyType(
    {
        "resolver": "the address of the vantage's own nameserver, replaced by its class and a number",
        "cookie": "the values of cookies that a site set",
        "address": "IP addresses that a page, header or redirect printed and that belong to no recorded step",
        "hash": "the SHA-256 of a body that is not published or was changed",
        "router": "the addresses of routers near the vantage, each replaced by its class and a number",
        "packets": "packets of the capture that belong to no recorded step, and addresses and cookies in others",
    }
)

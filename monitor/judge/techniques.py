"""The tree of techniques (CONTRACT.md section 2), lowest layer first; a child stands behind its parent.

`tls` and `http` alone are for what is cut off where a reset and a close look alike: behind a proxy.
"""

TECHNIQUES = (
    "dns.injection",
    "dns.injection.bogon",
    "dns.injection.blockpage",
    "dns.injection.other",
    "dns.nxdomain",
    "dns.refused",
    "dns.servfail",
    "dns.timeout",
    "dns.no_answer",
    "tcp.refused",
    "tcp.reset",
    "tcp.timeout",
    "tcp.unreachable",
    "tls",
    "tls.reset",
    "tls.reset.sni",
    "tls.timeout",
    "tls.timeout.sni",
    "tls.eof",
    "tls.eof.sni",
    "tls.mitm",
    "tls.mitm.self_signed",
    "tls.mitm.ca_signed",
    "quic.timeout",
    "quic.timeout.sni",
    "http",
    "http.blockpage",
    "http.redirect",
    "http.reset",
    "http.reset.host",
    "http.reset.keyword",
    "http.eof",
    "http.eof.host",
    "http.timeout",
    "http.timeout.host",
    "http.diff",
    "throttle",
    "throttle.sni",
    "content.withheld",
)
_ORDER = {name: index for index, name in enumerate(TECHNIQUES)}


def rank(technique: str) -> int:
    """The place of a technique: lower layers first."""
    return _ORDER[technique]


def ordered(techniques: set[str]) -> tuple[str, ...]:
    """Lowest layer first, without a parent whose child is there too."""
    deepest = (t for t in techniques if not any(other.startswith(t + ".") for other in techniques))
    return tuple(sorted(deepest, key=rank))

"""What the control saw, in words."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from probes.measurement import ControlEndpoint, ControlPage, ControlReply, Measurement, SelfTest

from .operations import Line
from .text import printable, seconds


def source(reply: ControlReply) -> str:
    """The helper's host, or the reference vantage's name."""
    kind, _, rest = reply.source.partition(":")
    if kind != "helper":
        return printable(reply.source, 60)
    try:
        return printable(urlsplit(rest).hostname or rest, 60)
    except ValueError:
        return printable(rest, 60)


def of(measurement: Measurement, *, hop: int, attempt: int) -> list[ControlReply]:
    """The replies on a hop's URL: those of that try where there are any, else those of all."""
    found = [reply for reply in measurement.control if reply.hop == hop]
    return [reply for reply in found if reply.attempt == attempt] or found


def dns(replies: Sequence[ControlReply], query_type: str) -> list[Line]:
    """What the control resolved, of the family that was asked for."""
    return _once([_dns(source(reply), reply, query_type) for reply in replies])


def contact(replies: Sequence[ControlReply], address: str, port: int) -> list[Line]:
    """What the control met at that address and port, and its page at the end of the redirects."""
    found: list[Line] = []
    for reply in replies:
        who = source(reply)
        if reply.failure is not None:
            found.append(_failed(reply))
            continue
        tried = [e for e in reply.endpoints if (e.address, e.port) == (address, port)]
        found += [_endpoint(who, endpoint) for endpoint in tried]
        if not tried and address:
            found.append(Line(f"{who}: did not try this address"))
        if reply.page is not None:
            found.append(_page(f"{who}: page", reply.page))
    return _once(found)


def summary(reply: ControlReply) -> list[Line]:
    """All of one reply."""
    if reply.failure is not None:
        return [_failed(reply)]
    found = [_dns("DNS", reply, "ANY")]
    for endpoint in reply.endpoints[:32]:
        line = _endpoint(f"{printable(endpoint.address, 64)} port {endpoint.port}", endpoint)
        found.append(line)
    if reply.page is not None:
        found.append(_page("page", reply.page))
    return found


def self_test(test: SelfTest) -> list[Line]:
    """What the vantage found out about itself."""
    found = [_names("reached", test.opened, "good"), _names("not reached", test.failed, "bad")]
    found += [
        _names("resolvers that failed for control names", test.failed_resolvers, "bad"),
        _names("untrusted certificates", test.untrusted, "bad"), _names("not empty", test.not_empty, "bad"),
        _names("NAT64", test.nat64, ""),
        _names("a name that does not exist is answered", test.wildcard, "bad"),
        _names("known to be blocked there, and open", test.known_blocked_open, "bad"),
    ]  # fmt: skip
    egress = (test.egress_country, f"AS{test.egress_asn}" if test.egress_asn else "", test.egress_name)
    if any(egress):
        found.append(Line(f"way out: {printable(' '.join(word for word in egress if word), 80)}"))
    if test.fake_addresses:
        found.append(Line("a local proxy gives fake addresses", "bad"))
    if test.clock_skew is not None:
        side = "ahead" if test.clock_skew >= 0 else "behind"
        found.append(Line(f"own clock is {seconds(abs(test.clock_skew))} {side}"))
    if test.ipv6 is not None:
        found.append(Line("IPv6 works" if test.ipv6 else "IPv6 does not work"))
    if test.quic is not None:
        found.append(Line("QUIC works" if test.quic else "QUIC is dropped for every name", "" if test.quic else "bad"))
    return [line for line in found if line is not None]


def _names(what: str, names: Sequence[str], tone: str) -> Line | None:
    shown = ", ".join(printable(name, 80) for name in names[:12])
    return Line(f"{what}: {shown}", tone) if names else None


def _dns(who: str, reply: ControlReply, query_type: str) -> Line:
    if reply.failure is not None:
        return _failed(reply)
    if not reply.dns_known:
        return Line(f"{who}: said nothing of DNS")
    if reply.dns_failure is not None:
        return Line(f"{who}: {printable(reply.dns_failure, 80)}", "bad")
    wanted = [a for a in reply.addresses if query_type not in ("A", "AAAA") or (":" in a) == (query_type == "AAAA")]
    if wanted:
        return Line(f"{who}: " + ", ".join(printable(a, 64) for a in wanted[:12]))
    return Line(f"{who}: no address" if not reply.addresses else f"{who}: no {printable(query_type, 10)} address")


def _endpoint(who: str, endpoint: ControlEndpoint) -> Line:
    said = "TCP ok" if endpoint.tcp_failure is None else f"TCP {printable(endpoint.tcp_failure, 60)}"
    bad = endpoint.tcp_failure is not None or endpoint.tls is False
    if endpoint.tls is not None:
        said += ", TLS ok" if endpoint.tls else f", TLS {printable(endpoint.tls_failure or 'failed', 60)}"
    return Line(f"{who}: {said}", "bad" if bad else "good")


def _page(who: str, page: ControlPage) -> Line:
    if page.failure is not None or not page.status:
        return Line(f"{who}: none: {printable(page.failure or 'no status', 80)}", "bad")
    length = f", {page.body_length} bytes" if page.body_length >= 0 else ""
    title = f", title “{printable(page.title)}”" if page.title else ""
    return Line(f"{who}: status {page.status}{length}{title}", "good")


def _failed(reply: ControlReply) -> Line:
    return Line(f"{source(reply)}: failed itself: {printable(reply.failure or '', 80)}", "bad")


def _once(lines: Sequence[Line]) -> list[Line]:
    return list(dict.fromkeys(lines))

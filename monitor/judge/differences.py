"""Rules for a difference between vantage and control that nothing explains: suspicious, proof only by repetition."""

from probes.address import embedded_ipv4, is_bogon, is_ipv6, is_name
from probes.failure import EOF, NO_ANSWER, NXDOMAIN, REFUSED, RESET, TIMEOUT

from .blind import ended, named
from .finding import Finding
from .observation import Observation
from .observe import Case
from .pages import clearly_different, control_page_of, is_false_positive, reached_site, same, vouched
from .proxied import name_is_to_blame

# log10 likelihood ratios that OONI measured on expert-labelled measurements (ooni/data, July 2026).
TLS_RESET, DNS_FAILURE, TLS_OTHER, TCP_FAILURE, STRANGER, PAGE = 2.04, 1.61, 1.60, 1.52, 1.55, 1.2
ROUNDS_APART = 60.0  # seconds between the two rounds of tries that a resolver's refusal needs (row 12)
_WEAK_DNS = {"dns_servfail_error": "dns.servfail", "dns_refused_error": "dns.refused", TIMEOUT: "dns.timeout"}
_STRONG_DNS = {NXDOMAIN: "dns.nxdomain", NO_ANSWER: "dns.no_answer", "android_dns_cache_no_data": "dns.no_answer"}
_TCP = {
    REFUSED: "tcp.refused",
    RESET: "tcp.reset",
    TIMEOUT: "tcp.timeout",
    "timed_out": "tcp.timeout",
    "host_unreachable": "tcp.unreachable",
    "network_unreachable": "tcp.unreachable",
}
_TLS = {RESET: "tls.reset", TIMEOUT: "tls.timeout", "timed_out": "tls.timeout", EOF: "tls.eof"}
_HTTP = {RESET: "http.reset", TIMEOUT: "http.timeout", "timed_out": "http.timeout", EOF: "http.eof"}


def dns_fails_only_here(case: Case) -> list[Finding]:
    """The plain client's resolver says that there is nothing, and the control resolves the name."""
    first = case.first
    if first.layer != "dns" or not _control_resolves(case, first.hop) or resolver_is_bad(case):
        return []
    technique = _STRONG_DNS.get(first.failure or "")
    tries = [t for t in case.tries if t.layer == "dns"]
    if technique is None:
        technique = _WEAK_DNS.get(first.failure or "")
        if technique is None or (not _apart(case) and not case.measurement.recorded):
            return []
    return [
        Finding(
            technique=technique, weight=DNS_FAILURE, hop=first.hop, failures=len(tries),
            passes=len(case.tries) - len(tries),
            text=f"the network's resolver fails for {first.name} ({first.failure}), and the control resolves it",
        )
    ]  # fmt: skip


def resolver_is_bad(case: Case) -> bool:
    """The plain client's resolver fails for control names too, so its failures are no evidence."""
    return any("system" in test.failed_resolvers for test in case.measurement.self_tests)


def _control_resolves(case: Case, hop: int) -> bool:
    view = case.reference.at(hop)
    if view.addresses or any(not is_bogon(a) for a in case.vouched_by_encrypted(hop)):
        return True
    return hop > 0 and not view.good and bool(case.reference.at(0).pages)


def _apart(case: Case) -> bool:
    moments = [a.started for a in case.answers if a.plain and a.failure and a.query_type != "HTTPS"]
    return bool(moments) and max(moments) - min(moments) >= ROUNDS_APART


def stranger_answer(case: Case) -> list[Finding]:
    """The plain client is sent to an address that is not the site's, and nothing there can be the site."""
    first = case.first
    if not _told_strangers(case, first.attempt, first.hop) or reached_site(case, first):
        return []
    if not _shown_false(case, first.hop):
        return []
    told = [t for t in case.tries if _told_strangers(case, t.attempt, first.hop)]
    address = next(a for x in case.answers_at(first.hop, attempt=first.attempt) if x.plain for a in x.addresses)
    return [
        Finding(
            technique="dns.injection.other", weight=STRANGER, hop=first.hop, failures=len(told),
            passes=len(case.tries) - len(told),
            text=f"the network's resolver sends {first.name} to {address}, which neither the control nor an encrypted "
            "resolver gives and where no valid certificate for the name is to be had",
        )
    ]  # fmt: skip


def _told_strangers(case: Case, attempt: int, hop: int) -> bool:
    told = {a for x in case.answers_at(hop, attempt=attempt) if x.plain for a in x.addresses}
    return bool(told) and all(case.is_site(a, hop) is False for a in told)


def _shown_false(case: Case, hop: int) -> bool:
    """The vantage or the control saw another's certificate at the address, where the site has one of its own.

    An address that is silent or refuses for both shows nothing: it may be a cache of the network's own that is down.
    """
    view = case.reference.at(hop)
    capable = any(e.tls for r in view.replies for e in r.endpoints) or any(o.valid_tls for o in case.contacts(hop))
    tried = [o for o in case.contacts(hop) if o.plain and not o.not_tried]
    bad = any(o.certificate_failure for o in tried)
    checked = any((o.control_tls or "").startswith("ssl_") for o in tried)
    return capable and (bad or checked)


def contact_fails_only_here(case: Case) -> list[Finding]:
    """Contacts with the site's own addresses fail here, and the control completes them at the same address."""
    found = []
    for key in dict.fromkeys((o.hop, o.address, o.port) for o in case.observations):
        contacts = [o for o in case.observations if (o.hop, o.address, o.port) == key and not o.not_tried]
        contacts.sort(key=lambda o: o.attempt)
        failing = [o for o in contacts if _fails_alone(case, o)]
        # Only the first failure names the technique: later ones may be the residue of our own trigger.
        technique = _technique(case, failing[0]) if failing and failing[0] is contacts[0] else None
        if technique is None:
            continue
        passes = len([o for o in contacts if o not in failing])
        found.append(_contact_finding(case, failing, technique, passes))
    return found


def _contact_finding(case: Case, failing: list[Observation], technique: str, passes: int) -> Finding:
    seen = failing[0]
    weights = {"tls.reset": TLS_RESET, "tcp": TCP_FAILURE}
    weight = weights.get(technique, weights.get(technique.split(".")[0], TLS_OTHER))
    step = {"tcp": "the TCP connect", "tls": "the TLS handshake", "http": "the HTTP request"}[seen.layer]
    where = f" at redirect {seen.hop}" if seen.hop else ""
    return Finding(
        technique=technique, weight=weight, hop=seen.hop, address=seen.address,
        failures=len(failing), passes=passes,
        text=f"{step} to {seen.address} port {seen.port} for {seen.name}{where} failed ({ended(case, seen.failure)}) "
        f"in {len(failing)} of {len(failing) + passes} tries, and the control completes it",
    )  # fmt: skip


def _technique(case: Case, seen: Observation) -> str | None:
    technique = {"tcp": _TCP, "tls": _TLS, "http": _HTTP}[seen.layer].get(seen.failure or "")
    return named(case, technique, seen.failure) if technique else None


def _fails_alone(case: Case, seen: Observation) -> bool:
    """The contact failed, and the control completed the same step at the same address (row 14)."""
    if seen.failure is None or not seen.address or is_bogon(seen.address) or ipv6_is_broken(case, seen):
        return False
    if case.is_site(seen.address, seen.hop) is False or not name_is_to_blame(case, seen):
        return False
    view = case.reference.at(seen.hop)
    elsewhere = seen.hop > 0 and not view.good and bool(case.reference.at(0).pages)
    if seen.layer == "tcp":
        return seen.control_tcp == "ok" or (elsewhere and seen.control_tcp is None)
    if seen.layer == "tls":
        return seen.control_tls == "ok" or (elsewhere and seen.control_tls is None)
    return bool(view.pages) or elsewhere


def ipv6_is_broken(case: Case, seen: Observation) -> bool:
    """An IPv6 address at a vantage that has no working IPv6, or where nobody knows whether it has (rows 2284, 17)."""
    if not is_ipv6(embedded_ipv4(seen.address, case.nat64)):
        return False
    known = [t.ipv6 for t in case.measurement.self_tests if t.ipv6 is not None]
    return not known or not all(known) or seen.failure in ("network_unreachable", "host_unreachable")


def wrong_name_only_here(case: Case) -> list[Finding]:
    """A trusted certificate for other names, where the control saw one for this name at the same address."""
    alike = [
        o for o in case.observations
        if o.certificate_failure == "ssl_invalid_hostname" and o.control_tls == "ok" and not is_name(o.address)
    ]  # fmt: skip
    if not alike:
        return []
    return [
        Finding(
            technique="tls.mitm", weight=TLS_OTHER, hop=alike[0].hop, failures=len({o.attempt for o in alike}),
            text=f"{alike[0].address} showed a certificate for other names than {alike[0].name}; the control "
            "saw the right one there",
        )
    ]  # fmt: skip


def page_differs_only_here(case: Case) -> list[Finding]:
    """Another page than the control's over plain HTTP, with nothing in common (row 11)."""
    ends = [t for t in case.tries if t.reached and t.seen is not None]
    if not ends or ends[0].attempt != case.first.attempt:
        return []
    different = [t for t in ends if differs(case, t.attempt)]
    if different[:1] != ends[:1]:
        return []
    seen = different[0].seen
    assert seen is not None
    return [
        Finding(
            technique="http.diff", weight=PAGE, hop=seen.hop, failures=len(different),
            passes=len(ends) - len(different),
            text=f"the page at {seen.url} has status, length, headers and title unlike the control's",
        )
    ]  # fmt: skip


def differs(case: Case, attempt: int) -> bool:
    """Whether the page of a try is somebody else's: unlike every control page, no bot wall, no bare refusal."""
    end = next(t for t in case.tries if t.attempt == attempt)
    # A control that is itself refused (geoblock, bot wall) has not seen the site's page (rows 8 and 9).
    seen, pages = end.seen, [p for p in control_page_of(case, end) if p.status < 400]
    if seen is None or not seen.got_page or vouched(case, end) or not pages:
        return False
    if case.is_site(seen.address, seen.hop) is False or any(same(case, seen, p) for p in pages):
        return False
    refused = seen.status >= 400
    return not refused and not is_false_positive(case, seen) and all(clearly_different(case, seen, p) for p in pages)

"""Rules for what is nobody's interference: the site's own fault, or simply the site (`unusable`: the vantage's)."""

from probes.address import is_bogon
from probes.certificate import INVALID_CERTIFICATE
from probes.failure import NO_ANSWER, NOT_TRIED_RESIDUAL, NXDOMAIN

from .finding import Finding
from .observe import Case
from .pages import REFUSALS, is_blockpage, is_false_positive, reached_site, same, vouched

REACHED, SAME = -1.08, -0.24  # log10 likelihood ratios by OONI's evaluation (certificate_valid, connect_ok)


def dns_fails_alike(case: Case) -> list[Finding]:
    """No address exists for the control either."""
    first = case.first
    failure = case.reference.at(first.hop).dns_failure
    if first.layer != "dns" or failure is None:
        return []
    cause = "dead" if {first.failure, failure} <= {NXDOMAIN, NO_ANSWER} else "other"
    return [
        Finding(cause=cause, hop=first.hop, text=f"{first.name} does not resolve for the control either ({failure})")
    ]


def dnssec_fault(case: Case) -> list[Finding]:
    """SERVFAIL, and the same resolver answers when asked not to validate: the zone's own fault (row 12)."""
    first = case.first
    if first.layer != "dns" or first.failure != "dns_servfail_error":
        return []
    if not any(a.checking_disabled and a.plain and a.addresses for a in case.answers):
        return []
    return [Finding(cause="other", text=f"the zone of {first.name} fails DNSSEC validation; with CD=1 it is answered")]


def bogon_everywhere(case: Case) -> list[Finding]:
    """The control is given only addresses at which no site can be, and the vantage such ones or none (row 29)."""
    view = case.reference.at(case.first.hop)
    told = [a for x in case.answers_at(case.first.hop) if x.plain for a in x.addresses]
    hidden = case.first.layer == "dns"  # many resolvers drop private addresses, against rebinding
    if (told or hidden) and view.given and all(is_bogon(a) for a in (*told, *view.given)):
        useless = (told or sorted(view.given))[0]
        text = f"{case.first.name} has only bogon addresses ({useless}), for the control too"
        return [Finding(cause="other", text=text)]
    return []


def certificate_bad_for_both(case: Case) -> list[Finding]:
    """The certificate is bad for the control too."""
    seen = case.first.seen
    if seen is None or seen.certificate_failure is None:
        return []
    view = case.reference.at(seen.hop)
    if not seen.hop and view.dns_failure in (NXDOMAIN, NO_ANSWER):
        return []  # whose certificate it is does not matter where the site is dead (row 16)
    alike = seen.control_tls is not None and seen.control_tls.startswith("ssl_")
    by_page = (view.page_failure or "").startswith("ssl_")
    valid = any(e.tls for r in view.replies for e in r.endpoints)
    if valid or not (alike or by_page):
        return []
    return [Finding(cause="certificate", text=f"the certificate of {seen.name} is bad for the control too")]


def fails_alike(case: Case) -> list[Finding]:
    """The same step fails at the same address for the control, or the control gets no page at all."""
    first, seen = case.first, case.first.seen
    if seen is None or seen.failure is None or seen.not_tried or not seen.address:
        return []
    view = case.reference.at(seen.hop)
    control = {"tcp": seen.control_tcp, "tls": seen.control_tls, "http": view.page_failure}[first.layer]
    if control is None and first.layer != "http":
        control = view.page_failure
    if control in (None, "ok") or (case.is_site(seen.address, seen.hop) is False and view.addresses):
        return []
    return [Finding(cause="other", hop=seen.hop, text=f"{seen.name} fails for the control too ({control})")]


def server_refuses(case: Case) -> list[Finding]:
    """The server itself refuses: over valid TLS, or with the page that the control gets too (rows 8, 10, 26)."""
    first, seen = case.first, case.first.seen
    if seen is None or not seen.got_page or is_blockpage(case, seen):
        return []
    alike = any(same(case, seen, page) for page in case.reference.at(0).pages)
    # A page that came well and is the site's own is no refusal because an unrated look-alike matches it.
    wall = is_false_positive(case, seen, surely=seen.status < 400 and (alike or vouched(case, first)))
    if seen.status not in REFUSALS and seen.status < 500 and not wall:
        return []
    if not (vouched(case, first) or alike or (wall and case.is_site(seen.address, seen.hop) is not False)):
        return []
    cause = "server_refusal" if seen.status in REFUSALS or wall else "other"
    how = "the control gets the same page" if alike else "over valid TLS" if vouched(case, first) else "by its bot wall"
    return [Finding(cause=cause, hop=seen.hop, text=f"the server of {seen.name} itself answers {seen.status}, {how}")]


def redirects_nowhere(case: Case) -> list[Finding]:
    """The site's redirects end nowhere, over valid TLS all the way or for the control too."""
    first, seen = case.first, case.first.seen
    if seen is None or seen.address or not seen.failure:
        return []
    way = [p for p in case.pages.values() if p.attempt == first.attempt and p.address]
    secure = bool(way) and all(p.url.startswith("https:") for p in way)
    control = case.reference.at(0)
    if not secure and control.page_failure is None and not any(p.status in range(300, 400) for p in control.pages):
        return []
    return [Finding(cause="redirects", text=f"the site's redirects lead nowhere ({seen.failure})")]


def dead_domain_answers(case: Case) -> list[Finding]:
    """The name does not exist for the control; what answers here without a certificate is advertising (row 16)."""
    first = case.first
    failure = case.reference.at(0).dns_failure
    if failure not in (NXDOMAIN, NO_ANSWER) or first.hop or first.layer in ("dns", "none") or vouched(case, first):
        return []
    return [
        Finding(cause="dead", text=f"{first.name} does not exist for the control; what answers here is not the site")
    ]


def parked(case: Case) -> list[Finding]:
    """The page lacks the text that the real one holds, and the control's is the same or the server vouches for it."""
    first, seen = case.first, case.first.seen
    if seen is None or seen.expected is not False or not seen.got_page:
        return []
    if vouched(case, first) or any(same(case, seen, page) for page in case.reference.at(0).pages):
        return [Finding(cause="dead", text=f"{seen.url} is up but no longer the site: its own text is missing")]
    return []


def valid_certificate(case: Case) -> list[Finding]:
    """The page came over TLS with a valid certificate for its name."""
    first, seen = case.first, case.first.seen
    if seen is None or not vouched(case, first) or seen.expected is False:
        return []
    return [Finding(weight=REACHED, text=f"{seen.name} was reached over TLS with a valid certificate")]


def same_page(case: Case) -> list[Finding]:
    """Over plain HTTP the same page came as to the control."""
    first, seen = case.first, case.first.seen
    if seen is None or seen.expected is False or not reached_site(case, first) or vouched(case, first):
        return []
    return [Finding(weight=SAME, text=f"{seen.url} brought the same page as to the control")]


def mostly_reached(case: Case) -> list[Finding]:
    """The first look failed, and most tries reached the site: loss, not interference."""
    tries = [t for t in case.tries if t.layer != "none"]
    good = [t for t in tries if reached_site(case, t)]
    if case.first.reached or len(good) <= len(tries) - len(good):
        return []
    return [
        Finding(weight=SAME, text=f"the site was reached in {len(good)} of {len(tries)} tries; the others were lost")
    ]


def residual(case: Case) -> list[Finding]:
    """The contact was not made, since a censor may still be reacting to an earlier one (row 22)."""
    skipped = [o for o in case.observations if o.failure == NOT_TRIED_RESIDUAL]
    if case.first.layer != "none" or not skipped:
        return []
    return [
        Finding(
            cause="residual",
            text=f"{skipped[0].address} port {skipped[0].port} was not contacted: residual blocking of an "
            f"earlier contact",
        )
    ]


def no_listener(case: Case) -> list[Finding]:
    """A phrase can be tried only where a helper lends a listener that is beyond the censor."""
    tries = [t for e in case.measurement.experiments if e.kind in ("phrase", "search") for t in e.tries]
    if not case.is_phrase or tries or case.measurement.vantage.direction == "outside-in":
        return []
    return [Finding(cause="not_measurable", text="no helper lends a neutral listener, so the phrase was sent nowhere")]


def bad_date_only_here(case: Case) -> list[Finding]:
    """A certificate out of date here and good for the control: another node of the same site, or the clock."""
    seen = case.first.seen
    if seen is None or seen.certificate_failure != INVALID_CERTIFICATE:
        return []
    return [Finding(cause="ambiguous", text=f"the certificate of {seen.name} is out of date here only")]


def no_control(case: Case) -> list[Finding]:
    """A failure or a page that only a control could explain, and none is configured."""
    if case.reference.configured or case.is_phrase:
        return []
    return [Finding(cause="no_control", text="no control is configured, so nothing tells why this failed")]


def control_failed(case: Case) -> list[Finding]:
    """The control itself failed."""
    if case.reference.answered or case.is_phrase:  # a phrase's control are the innocuous tries
        return []
    return [Finding(cause="control_failed", text="the control failed, so nothing tells why this failed")]


def ambiguous(case: Case) -> list[Finding]:
    """Nothing above explains what was seen."""
    first = case.first
    if case.is_phrase:
        return [Finding(cause="ambiguous", text="requests with the phrase and without it went alike, or unevenly")]
    what = f"failed at {first.layer} ({first.failure})" if first.failure else f"ended at {first.layer}"
    return [Finding(cause="ambiguous", text=f"{first.name or case.measurement.target} {what}; no rule explains it")]

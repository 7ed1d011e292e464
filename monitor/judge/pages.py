"""Whether two pages are the same, and whether a page can vouch for itself (CONTRACT.md section 2)."""

from collections.abc import Sequence

from blocklists import Fingerprint, site_of
from probes.measurement import ControlPage

from .observation import Observation, Try
from .observe import Case

SAME_BODY = 0.7  # OONI: min/max of the lengths, strictly more
REFUSALS = frozenset({401, 403, 429, 451, 503})
# Headers that say nothing about whose page it is: OONI's list, and the three that the contract adds.
COMMON_HEADERS = frozenset(
    [
        "date",
        "content-type",
        "server",
        "cache-control",
        "vary",
        "set-cookie",
        "location",
        "expires",
        "x-powered-by",
        "content-encoding",
        "last-modified",
        "accept-ranges",
        "pragma",
        "x-frame-options",
        "etag",
        "x-content-type-options",
        "age",
        "via",
        "p3p",
        "x-xss-protection",
        "content-language",
        "cf-ray",
        "strict-transport-security",
        "link",
        "x-varnish",
        "content-length",
        "alt-svc",
        "connection",
        "transfer-encoding",
        "keep-alive",
        "x-wallwatch-simulated",
    ]  # the last marks every page of the demo's world
)
SURE = 5  # of 10: what OONI gives a fingerprint that nobody rated; what is rated lower proves nothing alone
_WORD = 5  # characters; OONI compares title words of at least five


def same(case: Case, seen: Observation, page: ControlPage) -> bool:
    """Equal status and body ratio > 0.7, or equal title, or, where a body was cut, a shared uncommon header."""
    if seen.status != page.status:
        return False
    if seen.title and seen.title == " ".join(page.title.split()):
        return True
    if seen.cut:
        return bool(uncommon(headers_of(case, seen)) & uncommon(page.headers))
    return ratio(seen.body_length, page.body_length) > SAME_BODY


def clearly_different(case: Case, seen: Observation, page: ControlPage) -> bool:
    """Neither length nor headers nor title have anything in common (judgement row 11).

    The length of a body that was still coming at the deadline is not known.
    """
    return (
        seen.cut != "deadline"
        and ratio(seen.body_length, page.body_length) <= SAME_BODY
        and not uncommon(headers_of(case, seen)) & uncommon(page.headers)
        and not words(seen.title) & words(page.title)
    )


def ratio(ours: int, theirs: int) -> float:
    """min/max of two body lengths; 1 where both are empty, 0 where one is empty or unknown."""
    if ours == theirs:
        return 1.0
    return min(ours, theirs) / max(ours, theirs) if min(ours, theirs) > 0 else 0.0


def uncommon(headers: Sequence[tuple[str, str]]) -> set[str]:
    """Names of headers that few servers send."""
    return {name.lower() for name, _value in headers} - COMMON_HEADERS


def words(title: str) -> set[str]:
    """The words of a title that are long enough to mean something; each character of an unspaced script counts as
    part of its run."""
    return {word.lower() for word in title.split() if len(word.encode()) >= _WORD}


def headers_of(case: Case, seen: Observation) -> tuple[tuple[str, str], ...]:
    """The headers of the page of a contact."""
    for page in case.pages.values():
        if (page.address, page.port, page.hop, page.attempt) == (seen.address, seen.port, seen.hop, seen.attempt):
            return page.headers
    return ()


def vouched(case: Case, end: Try) -> bool:
    """The page came over TLS with a certificate good for its name, and nobody on the path could have led elsewhere.

    A redirect that came over plain HTTP may be forged: then the page vouches for itself only where it is still of
    the target's own site.
    """
    seen = end.seen
    if seen is None or not seen.got_page or not seen.valid_tls:
        return False
    clear = [
        p for p in case.pages.values() if p.attempt == end.attempt and p.hop < end.hop and p.url.startswith("http:")
    ]
    target = case.measurement.site or site_of(case.host)
    return not clear or site_of(seen.name) == target


def control_page_of(case: Case, end: Try) -> list[ControlPage]:
    """The pages to compare with: those of the target's own URL, since controls follow redirects to the end."""
    return case.reference.at(0).pages


def reached_site(case: Case, end: Try) -> bool:
    """The plain client got the site's own page: it vouches for itself, or equals the control's."""
    seen = end.seen
    if not end.reached or seen is None:
        return False
    if vouched(case, end):
        return True
    return any(same(case, seen, page) for page in control_page_of(case, end))


def is_blockpage(case: Case, seen: Observation) -> bool:
    """A known page of a censor, not served by the site itself over valid TLS and not seen by the control."""
    if not seen.got_page or any(same(case, seen, page) for page in case.reference.at(0).pages):
        return False
    if seen.valid_tls and site_of(seen.name) == (case.measurement.site or site_of(case.host)):
        return False
    return bool(proving(case, case.matches(seen)))


def proving(case: Case, found: Sequence[Fingerprint]) -> list[Fingerprint]:
    """Those of the fingerprints found together that prove a block: sure, of this country, of a scope that can.

    A look-alike (`fp`) found beside them speaks against: only what is rated surer than it still proves.
    """
    doubt = max((f.confidence for f in found if f.scope == "fp"), default=0)
    return [f for f in found if f.confidence >= SURE and f.confidence > doubt and case.confirms(f)]


def is_false_positive(case: Case, seen: Observation, *, surely: bool = False) -> bool:
    """A page known to be no censor's: a bot wall, a CDN's refusal; `surely`: so rated, not merely listed.

    Lists hold look-alikes by the hundred that nobody rated, among them titles of ordinary sites.
    """
    found = case.matches(seen)
    alike = [f for f in found if f.scope == "fp" and (f.confidence > SURE or not surely)]
    return bool(alike) and not proving(case, found)

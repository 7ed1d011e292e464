"""What the control knows: which addresses count, and what it says of an endpoint or a page."""

from monitor.judge.reference import Reference, View
from probes.failure import NO_ANSWER, NXDOMAIN
from probes.measurement import ControlReply, Measurement

from . import build as b
from .build import contact, control, control_page, dns, endpoint, measure, twice

NO_PAGE = control_page(status=0, failure=b.RESET)
ALONE = {"endpoints": (endpoint(tls=None),), "page": NO_PAGE}  # has resolved and connected, no more


def view(*replies: ControlReply, hop: int = 0) -> View:
    return Reference(measure(replies=replies)).at(hop)


def reference(measurement: Measurement) -> Reference:
    return Reference(measurement)


def test_an_address_counts_with_valid_tls_there() -> None:
    assert view(control(page=NO_PAGE)).addresses == {b.SITE}
    both = view(control(addresses=(b.SITE, b.SECOND), endpoints=(endpoint(),), page=NO_PAGE))
    assert both.addresses == {b.SITE, b.SECOND}
    assert view(control(**ALONE)).addresses == frozenset()  # type: ignore[arg-type]
    assert view(control(**ALONE)).given == {b.SITE}  # type: ignore[arg-type]


def test_an_address_counts_where_the_page_came_over_https() -> None:
    assert view(control(endpoints=())).addresses == {b.SITE}
    assert view(control(endpoints=(), url=b.PLAIN)).addresses == frozenset()
    assert view(control(endpoints=(), url="http:// no URL")).addresses == frozenset()


def test_an_address_counts_where_two_sources_agree() -> None:
    two = view(control(**ALONE), control(source=b.OTHER_HELPER, **ALONE))  # type: ignore[arg-type]
    assert two.addresses == {b.SITE}
    same_source = view(control(0, **ALONE), control(3, **ALONE))  # type: ignore[arg-type]
    assert same_source.addresses == frozenset()


def test_an_encrypted_resolver_is_a_second_source() -> None:
    replies = (control(**ALONE),)  # type: ignore[arg-type]
    assert reference(measure(dns(b.SITE, resolver=b.DOH), replies=replies)).at(0).addresses == {b.SITE}
    assert reference(measure(dns(b.STRANGER, resolver=b.DOH), replies=replies)).at(0).addresses == frozenset()
    assert reference(measure(dns(b.SITE), contact(), replies=replies)).at(0).addresses == frozenset()


def test_a_bogon_never_counts() -> None:
    assert view(control(addresses=(b.SITE, b.BOGON))).addresses == {b.SITE}


def test_a_failed_control_knows_nothing() -> None:
    nothing = view(*b.FAILED)
    assert not nothing.good
    assert not nothing.dns_known
    assert (nothing.dns_failure, nothing.page_failure, nothing.pages) == (None, None, [])
    assert not reference(measure(replies=b.FAILED)).answered


def test_the_failure_of_dns_is_that_of_all_controls() -> None:
    none = control(addresses=(), endpoints=(), dns_failure=NXDOMAIN, page=NO_PAGE)
    assert view(none).dns_failure == NXDOMAIN
    assert view(none).dns_known
    assert view(none, control(source=b.OTHER_HELPER)).dns_failure is None
    assert view(control(addresses=(), endpoints=())).dns_failure == NO_ANSWER
    silent = control(addresses=(), endpoints=(), dns_known=False)
    assert view(silent).dns_failure is None
    assert not view(silent).dns_known


def test_an_endpoint_is_good_where_one_control_completes_it() -> None:
    bad = control(endpoints=(endpoint(tcp=b.REFUSED, tls=False, failure=b.RESET),), page=NO_PAGE)
    good = control(source=b.OTHER_HELPER)
    assert view(bad).tcp(b.SITE, 443) == b.REFUSED
    assert view(bad).tls(b.SITE, 443, b.NAME) == b.RESET
    assert view(bad, good).tcp(b.SITE, 443) == "ok"
    assert view(bad, good).tls(b.SITE, 443, b.NAME) == "ok"
    assert view(good).tcp(b.SITE, 80) is None
    assert view(good).tls(b.SECOND, 443, b.NAME) is None
    assert view(good).tls(b.SITE, 443, "other.example") is None  # another name tells nothing of this one
    assert view(control(endpoints=(endpoint(tls=False),))).tls(b.SITE, 443, b.NAME) == "unknown_failure"


def test_valid_and_invalid_at_an_address() -> None:
    bad, good = control(endpoints=(endpoint(tls=False),)), control(source=b.OTHER_HELPER)
    assert view(bad).invalid_at(b.SITE)
    assert not view(bad, good).invalid_at(b.SITE)
    assert view(bad, good).valid_at(b.SITE)
    untried = view(control(endpoints=(endpoint(tls=None),)))
    assert not untried.invalid_at(b.SITE)
    assert not untried.valid_at(b.SITE)


def test_the_page_is_missing_only_where_no_control_got_one() -> None:
    assert view(control(page=NO_PAGE)).page_failure == b.RESET
    both = view(control(page=NO_PAGE), control(source=b.OTHER_HELPER))
    assert both.page_failure is None
    assert len(both.pages) == 1


def test_networks_are_those_of_addresses_that_count() -> None:
    asns = ((b.SITE, 15133), (b.STRANGER, 1), (b.SECOND, 0))
    assert view(control(addresses=(b.SITE, b.SECOND), asns=asns)).asns == {15133}


def test_hops_are_apart() -> None:
    made = reference(measure(replies=(control(), control(hop=1, addresses=(b.SECOND,)))))
    assert made.at(0).addresses == {b.SITE}
    assert made.at(1).addresses == {b.SECOND}
    assert not made.at(2).good


def test_good_before_and_after() -> None:
    assert reference(measure(replies=twice())).good_before_and_after(0)
    assert not reference(measure(replies=(control(),))).good_before_and_after(0)
    assert not reference(measure(replies=(control(), control(source=b.OTHER_HELPER)))).good_before_and_after(0)
    assert reference(measure(replies=twice())).good_before_and_after(1)  # no reply of its own: the target's
    half = (*twice(), control(hop=1))
    assert not reference(measure(replies=half)).good_before_and_after(1)

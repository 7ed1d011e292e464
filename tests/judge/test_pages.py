"""Whether two pages are the same, and whether a page vouches for itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.judge import pages
from monitor.judge.observation import Observation
from monitor.judge.observe import Case
from probes.measurement import ControlPage

from . import build as b
from .build import contact, control_page, dns, http_control, measure


def plain(**page: Any) -> tuple[Case, Observation]:
    """A page over plain HTTP and the case it is in."""
    case = b.case(measure(dns(b.SITE), contact(url=b.PLAIN, **page), url=b.PLAIN))
    return case, case.observations[0]


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio"),
    [(7, 10, 0.7), (10, 7, 0.7), (0, 0, 1.0), (0, 5, 0.0), (5, 0, 0.0), (5, -1, 0.0), (5, 5, 1.0)],
)
def test_ratio(ours: int, theirs: int, ratio: float) -> None:
    assert pages.ratio(ours, theirs) == ratio


@given(st.integers(-1, 10**7), st.integers(-1, 10**7))
def test_a_ratio_is_symmetric_and_a_share(one: int, other: int) -> None:
    assert pages.ratio(one, other) == pages.ratio(other, one)
    assert 0 <= pages.ratio(one, other) <= 1


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({}, {}, True),
        ({"title": "Other", "body_length": 3501}, {}, True),
        ({"title": "Other", "body_length": 3500}, {}, False),
        ({"body_length": 10}, {}, True),  # an equal title
        ({"body_length": 10}, {"title": "  A quiet\n newspaper "}, True),
        ({"title": "", "body_length": 10}, {"title": ""}, False),
        ({"status": 403}, {}, False),
        ({"status": 403}, {"status": 403}, True),
    ],
)
def test_same(ours: dict[str, Any], theirs: dict[str, Any], same: bool) -> None:
    case, seen = plain(**ours)
    assert pages.same(case, seen, control_page(**theirs)) is same


@pytest.mark.parametrize(
    ("header", "same"),
    [("X-Edge", True), ("x-edge", True), ("Server", False), ("Alt-Svc", False), ("Content-Length", False),
     ("Connection", False)],
)  # fmt: skip
def test_where_a_body_was_cut_a_shared_uncommon_header_decides(header: str, same: bool) -> None:
    case, seen = plain(title="Other", cut="limit", headers=((header, "1"),))
    assert pages.same(case, seen, control_page(headers=(("X-EDGE" if same else header, "2"),))) is same


def test_a_cut_body_says_nothing_by_its_length() -> None:
    case, seen = plain(title="Other", cut="limit")
    assert not pages.same(case, seen, control_page())


UNLIKE: dict[str, Any] = {"title": "Nothing familiar", "body_length": 90, "headers": (("X-Box", "1"),)}


@pytest.mark.parametrize(
    ("ours", "theirs", "different"),
    [
        ({}, {}, True),
        ({"body_length": 3501}, {}, False),
        ({"title": "Some NEWSPAPER here"}, {}, False),
        ({"title": "A few more"}, {"title": "A few less"}, True),  # short words mean nothing
        ({}, {"headers": (("x-box", "2"),)}, False),
        ({"headers": (("Server", "a"),)}, {"headers": (("Server", "a"),)}, True),
    ],
)
def test_clearly_different(ours: dict[str, Any], theirs: dict[str, Any], different: bool) -> None:
    case, seen = plain(**UNLIKE | ours)
    assert pages.clearly_different(case, seen, control_page(**theirs)) is different


def test_words_are_counted_in_bytes_so_that_unspaced_scripts_have_words() -> None:
    assert pages.words("The 中国 news of TODAY") == {"中国", "today"}


def test_headers_of_a_contact_without_a_page() -> None:
    case = b.case(measure(dns(b.SITE), contact(tls=b.RESET)))
    assert pages.headers_of(case, case.observations[0]) == ()


def test_a_page_that_came_over_valid_tls_is_vouched_for() -> None:
    case = b.case(measure(dns(b.SITE), contact()))
    assert pages.vouched(case, case.first)
    for how in ({"certificate": b.WRONG_NAME, "page": True}, {"http": b.RESET}, {"url": b.PLAIN}):
        case = b.case(measure(dns(b.SITE), contact(**how)))  # type: ignore[arg-type]
        assert not pages.vouched(case, case.first)


@pytest.mark.parametrize(
    ("start", "end", "vouched"),
    [
        (b.PLAIN, "https://www.site.example/", True),
        (b.PLAIN, "https://other.example/", False),  # the redirect may be forged
        (b.SECURE, "https://other.example/", True),  # the server itself sent the client there
    ],
)
def test_a_redirect_over_plain_http_vouches_only_for_the_targets_own_site(start: str, end: str, vouched: bool) -> None:
    name = end.split("/")[2]
    made = measure(
        dns(b.SITE), contact(url=start, status=302, location=end, body_length=0),
        dns(b.SECOND, hop=1, name=name, at=0.3), contact(b.SECOND, hop=1, url=end, at=0.4), url=start,
    )  # fmt: skip
    case = b.case(made)
    assert case.first.hop == 1
    assert pages.vouched(case, case.first) is vouched


def test_what_did_not_reach_a_page_did_not_reach_the_site() -> None:
    for parts in ((dns(3),), (dns(b.SITE), contact(tls=b.RESET)), (dns(b.SITE), contact(http=b.RESET))):
        case = b.case(measure(*parts))
        assert not pages.reached_site(case, case.first)


def test_over_plain_http_the_site_was_reached_where_the_control_got_the_same() -> None:
    case, _seen = plain()
    assert pages.reached_site(case, case.first)
    case, _seen = plain(title="Other", body_length=9)
    assert not pages.reached_site(case, case.first)


def test_a_block_page_counts_only_in_its_country_and_not_from_the_site_itself() -> None:
    body: dict[str, Any] = {"body": b.BLOCK_BODY, "title": "Notice"}
    case, seen = plain(**body)
    assert pages.is_blockpage(case, seen)
    elsewhere = b.case(measure(dns(b.SITE), contact(url=b.PLAIN, **body), url=b.PLAIN, country="DE"))
    assert not pages.is_blockpage(elsewhere, elsewhere.observations[0])
    itself = b.case(measure(dns(b.SITE), contact(**body)))
    assert not pages.is_blockpage(itself, itself.observations[0])
    seen_too: ControlPage = control_page(title="Notice")
    alike = b.case(measure(dns(b.SITE), contact(url=b.PLAIN, **body), url=b.PLAIN, replies=http_control(page=seen_too)))
    assert not pages.is_blockpage(alike, alike.observations[0])


def test_a_bot_wall_is_no_censors_page() -> None:
    case, seen = plain(body=b.WALL_BODY, title="One moment", status=403)
    assert pages.is_false_positive(case, seen)
    assert not pages.is_blockpage(case, seen)


def test_where_a_country_is_not_known_only_national_and_isp_pages_confirm() -> None:
    case = b.case(measure(country=""))
    for scope, confirms in (("nat", True), ("isp", True), ("prod", False), ("vbw", False), ("fp", False)):
        row = b.fingerprint("x", "body", "x", scope=scope, countries=())
        assert case.confirms(row) is confirms, scope

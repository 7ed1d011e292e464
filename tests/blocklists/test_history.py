"""Documented changes: what ships, and every fault of a list with its line."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocklists import Fault, ListError, check, load, load_history, site_of
from blocklists.history import EVERY_SITE, HEADER, SHIPPED, Change, of_site, shipped

GOOD = "example.com,,CN,blocked,2020-01-01,2020-01-03,high,,a note,a source"
ROWS = load_history(SHIPPED)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "history.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return path


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("change", ROWS, ids=lambda change: f"{change.sites[0]}-{change.before:%Y%m%d}-{change.kind}")
def test_every_shipped_row_is_an_interval_of_a_known_site_with_a_source(change: Change) -> None:
    assert change.after is None or timedelta(0) < change.before - change.after < timedelta(days=400)
    assert datetime(1998, 1, 1, tzinfo=UTC) < change.before < datetime(2026, 1, 1, tzinfo=UTC)
    assert change.sites == (EVERY_SITE,) or all(site_of(site) == site for site in change.sites)
    assert change.country == "CN"
    assert change.source.strip() == change.source != ""
    if change.confidence == "high":  # a day, give or take its time zone; or measured, with a pause
        assert change.after is not None
        assert change.before - change.after <= timedelta(days=4) or "computed" in change.source


def test_what_the_brief_names_is_there() -> None:
    found = {(site, change.kind) for change in ROWS for site in change.sites}
    for site in ("facebook.com", "instagram.com", "twitter.com", "x.com", "bbc.com", "bbc.co.uk", "nytimes.com",
                 "uighurbiz.net", "uighurbiz.cn", "amnesty.org", "google.com", "wikipedia.org", "*"):  # fmt: skip
        assert (site, "blocked") in found, site
    assert {("amnesty.org", "unblocked"), ("bbc.com", "unblocked"), ("uighurbiz.cn", "closed")} <= found
    targets = load(SHIPPED.parent / "release.csv")
    assert {target.name for target in targets if len(of_site(ROWS, target.site)) <= 2} == set()


def test_times_in_china_are_kept_in_utc() -> None:
    [began, ended] = [change for change in ROWS if change.sites == (EVERY_SITE,)]
    assert began.after and ended.after
    assert began.after < datetime(2025, 8, 19, 16, 34, tzinfo=UTC) <= began.before  # 00:34 on 20 August
    assert ended.after < datetime(2025, 8, 19, 17, 48, tzinfo=UTC) <= ended.before
    [story] = [change for change in ROWS if change.sites == ("nytimes.com",) and change.before.year == 2012]
    assert story.after == datetime(2012, 10, 25, 21, tzinfo=UTC)  # 05:00 on 26 October
    [riots] = [change for change in ROWS if change.sites == ("facebook.com",)]
    assert riots.before >= datetime(2009, 7, 7, 11, 45, tzinfo=UTC)  # 19:45


def test_a_day_that_nobody_wrote_down_is_not_made_up() -> None:
    for site, month in (("twitter.com", 6), ("youtube.com", 3)):
        change = next(c for c in ROWS if site in c.sites and c.before.year == 2009)
        assert change.after and change.before - change.after > timedelta(days=28)
        assert change.after < datetime(2009, month, 1, tzinfo=UTC) and change.before.month == month + 1
    [telegram] = [change for change in ROWS if change.sites == ("telegram.org",)]
    assert telegram.after and telegram.before - telegram.after > timedelta(days=364)


def test_a_site_has_its_own_rows_and_those_of_every_site() -> None:
    found = of_site(shipped(), "x.com")
    assert [change.sites for change in found] == [("x.com",), (EVERY_SITE,), (EVERY_SITE,)]
    assert of_site(shipped(), "") == []  # a phrase has no site
    assert {change.sites for change in of_site(shipped(), "example.com")} == {(EVERY_SITE,)}
    assert {change.sites for change in of_site(shipped(), "xx.com")} == {(EVERY_SITE,)}


def test_a_row_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path, GOOD, "a.example b.example,zh.a.example,IR,closed,,2020-02-01T10:30:00Z,low,dns.nxdomain,,s"
    )
    assert check(path) == []
    first, second = load_history(path)
    assert (first.after, first.before, first.technique, first.covers) == (
        day("2020-01-01"),
        day("2020-01-03"),
        None,
        "",
    )
    assert second == Change(
        sites=("a.example", "b.example"), covers="zh.a.example", country="IR", kind="closed", after=None,
        before=datetime(2020, 2, 1, 10, 30, tzinfo=UTC), confidence="low", technique="dns.nxdomain", note="", source="s",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("was", "now", "reason"),
    [
        ("example.com", "", "the site is empty"),
        ("example.com", "www.example.com", "site 'www.example.com' is no registrable domain in lower case"),
        ("example.com", "Example.com", "site 'Example.com' is no registrable domain in lower case"),
        ("example.com", "* example.com", "site '*' is no registrable domain in lower case"),
        ("example.com", "https://example.com/", "site 'https://example.com/' is no registrable domain in lower case"),
        (",,CN", ",other.org,CN", "covers 'other.org' is no host or URL of the site"),
        (",,CN", ",https:///,CN", "covers 'https:///' is no host or URL of the site"),
        ("CN", "China", "country 'China' is no country code of two letters"),
        ("CN", "cn", "country 'cn' is no country code of two letters"),
        ("blocked", "Blocked", "kind 'Blocked' is none of blocked, closed, unblocked"),
        ("2020-01-01", "2020-01-03", "after is not earlier than before"),
        ("2020-01-01", "2020-1-1", "after '2020-1-1' is no YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"),
        ("2020-01-03", "2020-02-30", "before '2020-02-30' is no YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"),
        ("2020-01-03", "2020-01-03T00:00:00+08:00",
         "before '2020-01-03T00:00:00+08:00' is no YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"),
        ("2020-01-03", "", "before '' is no YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"),
        ("high", "9", "confidence '9' is none of high, low, medium"),
        (",,a note", ",DNS!,a note", "technique 'DNS!' is no technique"),
        ("a source", " ", "the source is empty"),
    ],
)  # fmt: skip
def test_every_fault_is_told_by_its_line(tmp_path: Path, was: str, now: str, reason: str) -> None:
    path = written(tmp_path, GOOD.replace("2020-01-01", "2019-12-30"), GOOD.replace(was, now, 1))
    assert check(path) == [Fault(str(path), 3, reason)]
    with pytest.raises(ListError, match=r"history.csv:3: "):
        load_history(path)


def test_the_same_row_twice_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, GOOD)
    assert check(path) == [Fault(str(path), 3, "the same change as in line 2")]

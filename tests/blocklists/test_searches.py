"""The list of searches: what ships, how a phrase gets into a URL, and every fault by file and key."""

import datetime
import random
import time
from pathlib import Path
from typing import Any

import pytest

from blocklists import ListError
from blocklists.search_keys import MAX_PROGRAM, compiled
from blocklists.searches import MAX_BYTES, MAX_SEARCHES, SHIPPED, Search, chosen, load
from monitor.config import ConfigError, parse_document

GOOD = {
    "name": '"good"', "kind": '"search"', "url": '"https://good.example/s?q={phrase}"', "neutral": '"weather"',
    "present": "'id=\"results\"'", "notice": "['withheld by law']", "source": '"a test"', "date": "2026-01-31",
}  # fmt: skip
SHOP = GOOD | {"kind": '"shop"', "elsewhere": '"https://good.example/us?q={phrase}"'}
SHIPPED_SEARCHES = load()


def text_of(*tables: dict[str, str]) -> str:
    return "".join("[[search]]\n" + "".join(f"{key} = {value}\n" for key, value in table.items()) for table in tables)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "searches.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def faults(folder: Path, text: str | bytes) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ListError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.faults)
    assert all(line.startswith(f"{path}: ") and line.isprintable() for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def search_of(folder: Path, **changes: str) -> Search:
    [found] = load(written(folder, text_of(GOOD | changes)))
    return found


# What ships


@pytest.mark.parametrize("search", SHIPPED_SEARCHES, ids=lambda search: search.name)
def test_every_shipped_search_can_be_asked_and_says_where_it_is_from(search: Search) -> None:
    assert search.page(search.neutral).scheme == "https"
    assert search.takes(search.neutral)
    assert len(search.source) > 20
    assert datetime.date(2026, 1, 1) < search.date
    assert search.control(search.neutral) is None or search.kind == "shop"


def test_only_what_is_documented_first_hand_counts_as_checked() -> None:
    assert [search.name for search in SHIPPED_SEARCHES if search.checked] == ["apple-cn"]
    assert [search.kind for search in SHIPPED_SEARCHES if search.checked] == ["shop"]


@pytest.mark.parametrize(
    ("name", "page", "matched"),
    [
        ("apple-cn", '\n\n\n{\n "resultCount":1,\n "results": [{"trackId":1}]\n}', ("present",)),
        ("apple-cn", '\n\n\n{\n "resultCount":0,\n "results": []\n}', ("present", "notice:0")),
        ("apple-cn", '{"resultCount":10,"results":[]}', ("present",)),
        ("apple-cn", "<html>busy</html>", ()),
        ("weibo", "<div id=\"pl_feedlist_index\">根据相关法律法规和政策，“某某”搜索结果未予显示。", ("present", "notice:0")),
        ("weibo", "<div id=\"pl_feedlist_index\">根据相关法律法规和政策，部分搜索结果未予显示。", ("present", "notice:1")),
        ("weibo", "<div id=\"pl_feedlist_index\">抱歉，未找到相关结果", ("present",)),
        ("weibo", "<title>Sina Visitor System</title>", ()),
        ("tieba", '<title>贴吧</title><h2 class="icon-attention">抱歉，根据相关法律法规和政策，本吧暂不开放。', ("present", "notice:0")),
        ("tieba", "<title>贴吧</title><p>抱歉，根据相关法律法规和政策，本吧暂不开放。", ("present",)),  # a post about it
        ("douban", '<img src="/pics/douban_error.gif">根据相关法律法规和政策，搜索结果未予显示。请尝试其他查询词。', ("present", "notice:0")),
        ("baidu", '<div id="content_left">根据相关法律法规和政策，部分搜索结果未予显示。', ("present", "notice:0")),
    ],
)  # fmt: skip
def test_shipped_patterns_tell_pages_apart(name: str, page: str, matched: tuple[str, ...]) -> None:
    [search] = [s for s in SHIPPED_SEARCHES if s.name == name]
    assert search.matched([("Content-Type", "text/html; charset=utf-8")], page.encode()) == matched


@pytest.mark.parametrize("search", SHIPPED_SEARCHES, ids=lambda search: search.name)
def test_no_page_makes_a_shipped_pattern_slow(search: Search) -> None:
    pick = random.Random(1)
    pieces = [
        piece for pattern in (*search.notice, search.present) for piece in (pattern.split("[")[0].encode(), b"<h2x")
    ]
    pieces += [b"<", "“".encode(), b'"', "好".encode(), b"\xff", b'"resultCount" ']
    page = b"".join(pick.choice(pieces) for _ in range(100_000))[: 512 * 1024]
    began = time.process_time()
    search.matched((), page)
    assert time.process_time() - began < 0.5


# How a phrase is asked for


def test_a_phrase_is_percent_encoded_in_the_right_character_set(tmp_path: Path) -> None:
    assert search_of(tmp_path).page("六四 a/b&c%").target == "/s?q=%E5%85%AD%E5%9B%9B%20a%2Fb%26c%25"
    assert search_of(tmp_path, charset='"gbk"').page("六四").target == "/s?q=%C1%F9%CB%C4"
    with pytest.raises(ValueError, match="cannot be written in big5"):
        search_of(tmp_path, charset='"big5"').page("Ünïcode")
    in_path = search_of(tmp_path, url='"https://good.example/{phrase}/tag"')
    assert in_path.page("../../admin?x#y").target == "/..%2F..%2Fadmin%3Fx%23y/tag"
    with pytest.raises(ValueError, match="dots"):
        in_path.page("..")


def test_which_phrases_are_taken(tmp_path: Path) -> None:
    search = search_of(tmp_path, accepts="'[0-9]{3}'", neutral='"123"')
    assert [phrase for phrase in ("123", "12", "1234", "a123", "123\n", "") if search.takes(phrase)] == ["123"]
    assert not search_of(tmp_path).takes("Withheld? withheld by law!")


# Faults


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_key_that_is_missing_is_told(tmp_path: Path, key: str) -> None:
    table = {name: value for name, value in GOOD.items() if name != key}
    assert faults(tmp_path, text_of(GOOD | {"name": '"first"'}, table)) == [f"search[2].{key}: is needed"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"colour": "1"}, "colour: unknown key"),
        ({r'"\u001b[31m\n"': "1"}, r"'\x1b[31m\n': unknown key"),
        ({"name": "3"}, "name: must be a string"),
        ({"name": '"Has Spaces"'}, "name: 1 to 32 small letters"),
        ({"kind": '"library"'}, "kind: must be one of search, shop"),
        ({"url": '"http://good.example/?q={phrase}"'}, "url: only https"),
        ({"url": '"https://good.example/"'}, "url: must have {phrase} in its path or query"),
        ({"url": '"https://{phrase}.example/"'}, "url: must have {phrase} in its path or query only"),
        ({"url": '"https://{phrase}@good.example/"'}, "url: must have {phrase} in its path or query only"),
        ({"url": '"https://good.example/#{phrase}"'}, "url: must have {phrase} in its path or query only"),
        ({"url": '"{phrase}"'}, "url: the URL must start with"),
        ({"url": '"https://good.example:99999/{phrase}"'}, "url: "),
        ({"neutral": '" "'}, "neutral: must be one line"),
        ({"neutral": r'"a\u001b"'}, "neutral: must be one line"),
        ({"neutral": '"it was withheld by law"'}, "neutral: is not what `accepts` lets through, or reads like"),
        ({"neutral": '"天气"', "charset": '"koi8-r"'}, "neutral: the phrase cannot be written in koi8-r"),
        ({"accepts": "'[0-9]+'"}, "neutral: is not what `accepts` lets through"),
        ({"present": "'('"}, "present: invalid regular expression: missing )"),
        ({"present": "'(?=x)'"}, "present: invalid regular expression"),
        ({"present": "'x*'"}, "present: the regular expression matches an empty page"),
        ({"present": "'a[^z]{0,300}b[^z]{0,300}c'"}, "present: the regular expression is too large"),
        ({"present": f"'{'x' * 2001}'"}, "present: must be one line of 1 to 2000"),
        ({"notice": "'text'"}, "notice: must be a list of strings, at least one"),
        ({"notice": "[]"}, "notice: must be a list of strings, at least one"),
        ({"notice": "['a', 3]"}, "notice: must be a list of strings, at least one"),
        ({"notice": "['a', '']"}, "notice: must be a pattern of 1 to 2000 characters"),
        ({"notice": "['a', '[']"}, "notice: invalid regular expression"),
        ({"notice": str(["a"] * 21)}, "notice: has more than 20 patterns"),
        ({"charset": '"utf-7"'}, "charset: must be one of utf-8"),
        ({"date": '"2026-01-31"'}, "date: must be a date such as"),
        ({"date": "2026-01-31T00:00:00Z"}, "date: must be a date such as"),
        ({"checked": "1"}, "checked: must be true or false"),
        ({"kind": '"shop"'}, "elsewhere: is needed for a shop"),
        ({"elsewhere": '"https://good.example/{phrase}"'}, "elsewhere: is needed for a shop, and is for a shop only"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_entry_is_one_line(tmp_path: Path, changes: dict[str, str], fault: str) -> None:
    [told] = faults(tmp_path, text_of(GOOD | changes))
    assert told.startswith(f"search[1].{fault}")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        "colour = 1\n" + text_of(GOOD | {"kind": '"x"', "present": "'('"}, GOOD, GOOD, SHOP | {"elsewhere": "3"}),
    )
    assert [line.split(": ")[0] for line in told] == [
        "colour", "search[1].kind", "search[1].present", "search[3].name", "search[4].elsewhere",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("search = 3", "search: must be [[search]] tables"),
        ("search = [3]", "search[1]: must be a table"),
        ("[[search]]\n" * (MAX_SEARCHES + 1), "search: must be [[search]] tables, at most 200"),
        ("[[search]", "Expected"),
        (b"a = '\xff'", "is not UTF-8"),
        ("a = " + "[" * 100_000, "is nested too deeply"),
        (f"a = {'9' * 5000}", "Exceeds the limit"),
        (b"#" * (MAX_BYTES + 1), "is larger than 1024 KB"),
    ],
    ids=["number", "list", "many", "no-toml", "no-utf-8", "deep", "long-number", "large"],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    [told] = faults(tmp_path, text)
    assert told.startswith(fault)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no", "cannot be read: No such file"), (tmp_path, "is not a file")):
        with pytest.raises(ListError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: {reason}")


def test_the_largest_pattern_is_bounded_in_time() -> None:
    pattern = compiled("(?:a.{0,100}){3}z")
    assert MAX_PROGRAM * 0.9 < pattern.programsize <= MAX_PROGRAM
    pick = random.Random(1)
    page = bytes(pick.choice(b"ab") for _ in range(128 * 1024))
    began = time.process_time()
    assert not pattern.search(page)
    assert time.process_time() - began < 3


# The configuration


def configured(searches: Any) -> tuple[Search, ...]:
    return parse_document({"probe": {"searches": searches}}, Path("config.toml")).searches


def test_nothing_is_used_unless_it_is_named() -> None:
    assert parse_document({}, Path("config.toml")).searches == ()
    assert configured([]) == ()
    assert [search.name for search in configured(["weibo", "apple-cn"])] == ["weibo", "apple-cn"]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["weibo", "x\x1b[31m"], r"no search is called 'x\x1b[31m' in searches.toml; there are apple-cn, "),
        (["weibo", "weibo"], "'weibo' is named twice"),
        ("weibo", "must be a list of strings"),
        ([1], "must be a list of strings"),
    ],
)
def test_a_name_that_nobody_knows_is_one_fault_of_the_configuration(names: Any, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(names)
    [told] = caught.value.faults
    assert told.startswith(f"config.toml: probe.searches: {fault}")


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = written(tmp_path, text_of(SHOP))
    [search] = chosen(["good"], path)
    assert str(search.control("x")) == "https://good.example/us?q=x"
    assert chosen([], tmp_path / "no such file") == ()
    assert path.name == SHIPPED.name

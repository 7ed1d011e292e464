"""Fingerprints: every pattern type at every place, and near misses."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists import Fingerprint, Fingerprints, ListError, check, load_fingerprints
from blocklists.fingerprints import HEADER
from blocklists.patterns import MAX_SEARCHED


def row(name: str, location: str, pattern_type: str, pattern: str, scope: str = "nat") -> Fingerprint:
    return Fingerprint(
        name=name,
        scope=scope,
        location=location,
        pattern_type=pattern_type,
        pattern=pattern,
        confidence=5,
        countries=("IR",),
        source="me",
    )


def found(known: Fingerprint, *, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> bool:
    return Fingerprints([known]).match_page(headers, body) == (known,)


def written(folder: Path, *rows: str, name: str = "prints.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("pattern_type", "pattern", "yes", "no"),
    [
        ("full", "Zugang gesperrt", "Zugang gesperrt", "Zugang gesperrt."),
        ("prefix", "http://warning.rt.ru", "http://warning.rt.ru/?id=1", "x http://warning.rt.ru"),
        ("contains", "запрещена", "страница запрещена!", "страница разрешена"),
        ("contains", "a.c", "xa.cx", "xabcx"),
        ("regexp", r"^https?://block\.", "http://block.example/", "https://unblock.example/"),
        ("regexp", r"law.*5651", "law\r\n 5651", "5651 law"),
        ("regexp", r"say[ıi]l[ıi]", "sayılı", "sayéli"),
    ],
)
def test_every_pattern_type_works_everywhere(pattern_type: str, pattern: str, yes: str, no: str) -> None:
    in_body = row("b", "body", pattern_type, pattern)
    assert found(in_body, body=yes.encode())
    assert not found(in_body, body=no.encode())
    assert not found(in_body, headers=(("Location", yes),))
    in_header = row("h", "header.location", pattern_type, pattern)
    assert found(in_header, headers=(("Server", "x"), ("LOCATION", no), ("Location", yes)))
    assert not found(in_header, headers=(("Location", no), ("Server", yes)))
    assert not found(in_header, body=yes.encode())


def test_a_body_need_not_be_text() -> None:
    known = row("b", "body", "contains", "запрет")
    assert found(known, body=b"\xff\xfe\x00" + "запрет".encode() + b"\xd0")
    assert not found(known, body="запрет".encode("cp1251"))
    assert found(row("r", "body", "regexp", "запрет"), body=b"\xff" + "запрет".encode())


def test_regular_expressions_see_a_bounded_part_of_the_body() -> None:
    late = b"." * MAX_SEARCHED + b"needle"
    assert not found(row("r", "body", "regexp", "needle"), body=late)
    assert found(row("c", "body", "contains", "needle"), body=late)


def test_all_matches_are_given_once_each() -> None:
    header = row("h", "header.server", "contains", "filter")
    body = row("b", "body", "contains", "blocked")
    look_alike = row("f", "body", "contains", "Cloudflare", scope="fp")
    known = Fingerprints([body, look_alike, header])
    headers = (("server", "filter 1"), ("Server", "filter 2"))
    assert known.match_page(headers, b"blocked by Cloudflare") == (header, body, look_alike)
    assert known.match_page((), b"") == ()
    assert len(known) == 3
    assert list(known) == [body, look_alike, header]


def test_addresses_match_in_any_spelling_and_names_as_in_the_dns() -> None:
    v4 = row("4", "dns", "full", "10.10.34.36")
    v6 = row("6", "dns", "full", "D0:0::11")
    name = row("n", "dns", "full", "trustpositif.kominfo.go.id")
    known = Fingerprints([v4, v6, name, v4])
    assert known.match_address("10.10.34.36") == (v4, v4)
    assert known.match_address("::ffff:10.10.34.36") == (v4, v4)
    assert known.match_address("d0:0:0:0:0:0:0:11") == (v6,)
    assert known.match_address("TrustPositif.Kominfo.go.id.") == (name,)
    assert known.match_address("10.10.34.3") == ()
    assert known.match_address("") == ()
    assert known.match_page((), b"10.10.34.36") == ()


def test_files_are_loaded_together(tmp_path: Path) -> None:
    first = written(tmp_path, 'a,nat,,dns,full,192.0.2.1,10," it, ZZ ,ir,",me,,', name="a.csv")
    second = written(tmp_path, "b,fp,x,header.X-App-Url,contains,block,0,,you,http://e/,n", name="b.csv")
    assert check(first) == check(second) == []
    known = load_fingerprints([first, second])
    assert list(known) == [
        Fingerprint(
            name="a",
            scope="nat",
            location="dns",
            pattern_type="full",
            pattern="192.0.2.1",
            confidence=10,
            countries=("IT", "IR"),
            source="me",
        ),
        Fingerprint(
            name="b",
            scope="fp",
            location="header.x-app-url",
            pattern_type="contains",
            pattern="block",
            confidence=0,
            countries=(),
            source="you",
        ),
    ]
    assert list(load_fingerprints([])) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",nat,,body,full,x,5,IR,me,,", "the name or the pattern is empty"),
        ("a,nat,,body,contains,,5,IR,me,,", "the name or the pattern is empty"),
        ("a,nation,,body,full,x,5,IR,me,,", "unknown scope 'nation'"),
        ("a,nat,,title,full,x,5,IR,me,,", "location_found 'title' is none of dns, body, header.NAME"),
        ("a,nat,,header.,full,x,5,IR,me,,", "location_found 'header.' is none of dns, body, header.NAME"),
        ("a,nat,,body,glob,x,5,IR,me,,", "unknown pattern_type 'glob'"),
        ("a,nat,,dns,prefix,10.,5,IR,me,,", "an answer of the DNS can only be compared in full"),
        ("a,nat,,body,full,x,11,IR,me,,", "confidence_no_fp '11' is no number from 0 to 10"),
        ("a,nat,,body,full,x,,IR,me,,", "confidence_no_fp '' is no number from 0 to 10"),
        ('a,nat,,body,full,x,5,"IR,Iran",me,,', "'IRAN' is no country code of two letters"),
        ("a,nat,,body,regexp,*,5,IR,me,,", "invalid regular expression: no argument for repetition operator: *"),
        ("a,nat,,body,full,x,5,IR,me,", "has 10 columns instead of 11"),
    ],
)  # fmt: skip
def test_a_fault_has_file_line_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    good = "ok,nat,,body,full,x,5,IR,me,,"
    path = written(tmp_path, good, line, good)
    with pytest.raises(ListError) as refusal:
        load_fingerprints([path, tmp_path / "none.csv"])
    mine, missing = refusal.value.faults
    assert (mine.file, mine.line, mine.reason) == (str(path), 3, reason)
    assert (missing.file, missing.line) == (str(tmp_path / "none.csv"), 0)
    assert check(path) == [mine]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("x{1001}", "invalid regular expression: invalid repetition size: {1001}"),
        ("(x{100}){100}", "invalid regular expression: invalid repetition size: {100}"),
        ("(?=x)y", "invalid regular expression: invalid perl operator: (?="),
        (r"(x)\1", r"invalid regular expression: invalid escape sequence: \1"),
        ("x++", "invalid regular expression: bad repetition operator: ++"),
        (r"\pL{999}x.{900}", "the regular expression is too large: "),
    ],
)
def test_what_re2_cannot_do_or_is_very_large_is_a_fault(tmp_path: Path, pattern: str, reason: str) -> None:
    [fault] = check(written(tmp_path, f"a,nat,,body,regexp,{pattern},5,IR,me,,"))
    assert fault.reason.startswith(reason)


def test_a_pattern_may_hold_quotes_commas_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "prints.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        cells = ["a", "nat", "", "body", "contains", '<a "b",\nc>', 5, "", "", "", ""]
        csv.writer(stream).writerows([HEADER.split(","), cells])
    [known] = load_fingerprints([path])
    assert found(known, body=b'x<a "b",\nc>x')


@given(st.text(min_size=1).filter(lambda text: "\ufffd" not in text), st.text(), st.text())
def test_searching_bytes_is_searching_text(pattern: str, before: str, after: str) -> None:
    known = row("c", "body", "contains", pattern)
    text = before + after
    assert found(known, body=text.encode()) == (pattern in text)
    assert found(known, body=(before + pattern + after).encode())


@given(st.lists(st.tuples(st.text(max_size=9), st.text(st.characters(), max_size=9))), st.binary(max_size=99))
def test_no_response_upsets_the_matching(headers: list[tuple[str, str]], body: bytes) -> None:
    regexp, literal = row("r", "header.a", "regexp", "b+"), row("c", "header.a", "contains", "b")
    known = Fingerprints([regexp, literal, row("x", "body", "regexp", ".")])
    assert {regexp, literal} <= set(known.match_page([*headers, ("A", "b\ud800")], body))


@given(st.text(st.characters(), max_size=40))
def test_no_answer_upsets_the_lookup(answer: str) -> None:
    assert Fingerprints([row("a", "dns", "full", "192.0.2.1")]).match_address(answer + "x") == ()

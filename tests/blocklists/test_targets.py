"""Lists of targets and phrases: what is read, and every fault with its file and line."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklists import Fault, ListError, Phrase, Target, check, load, load_phrases, table, target_of, targets
from blocklists.phrases import HEADER as PHRASES_HEADER
from blocklists.targets import HEADER

GOOD = "https://example.com/,NEWS,News media,2015-09-22,me,"


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def reasons(path: Path) -> list[tuple[int, str]]:
    """What `check` says; and `load` must say the same."""
    faults = check(path)
    with pytest.raises(ListError) as refusal:
        load(path)
    assert list(refusal.value.faults) == faults
    assert str(refusal.value) == "\n".join(f"{path}:{fault.line}: {fault.reason}" for fault in faults)
    return [(fault.line, fault.reason) for fault in faults]


def test_a_list_is_read_in_its_order(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        " HTTPS://user:pass@WWW.BBC.co.uk ,NEWS,News media,2015-09-22,me, keep this ",
        "",
        "phrase: 六四 ,POLR,Political criticism,2015-09-22,me,",
        "   ",
        'http://uighurbiz.net/,HUMR,Human rights,2015-09-22,me,"closed, 2014; expect= 维吾尔在线 ; dead"',
    )
    assert load(path) == [
        Target(
            name="HTTPS://WWW.BBC.co.uk",
            url="https://www.bbc.co.uk/",
            site="bbc.co.uk",
            category="NEWS",
            notes="keep this",
        ),
        Target(name="phrase:六四", url="", site="", category="POLR"),
        Target(
            name="http://uighurbiz.net/",
            url="http://uighurbiz.net/",
            site="uighurbiz.net",
            category="HUMR",
            expect="维吾尔在线",
            notes="closed, 2014; expect= 维吾尔在线 ; dead",
        ),
    ]
    assert check(path) == []


@pytest.mark.parametrize(
    ("notes", "expect"),
    [
        ("expect=A b", "A b"),
        ("x;expect=a=b;y", "a=b"),
        ("see expect=a", "a"),
        ("unexpect=a", ""),
        ("expect=", ""),
    ],
)
def test_the_notes_may_say_what_to_expect(notes: str, expect: str) -> None:
    assert target_of("https://example.com/", notes=notes).expect == expect


def test_a_byte_order_mark_and_carriage_returns_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{GOOD}\r\n\r\n".encode())
    assert [target.name for target in load(path)] == ["https://example.com/"]


def test_the_same_path_on_both_schemes_is_two_targets(tmp_path: Path) -> None:
    assert len(load(written(tmp_path, GOOD, GOOD.replace("https", "http")))) == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            "example.com,NEWS,,2015-09-22,me,",
            "invalid URL 'example.com': the URL must start with http:// or https://",
        ),
        (",NEWS,,2015-09-22,me,", "invalid URL '': the URL must start with http:// or https://"),
        ("https://example.com/,FEXP,,2015-09-22,me,", "unknown category code 'FEXP'"),
        ("https://example.com/,NEWS,,22/09/2015,me,", "date_added '22/09/2015' is no date (YYYY-MM-DD)"),
        ("https://example.com/,NEWS,,2015-02-29,me,", "date_added '2015-02-29' is no date (YYYY-MM-DD)"),
        ("https://example.com/,NEWS,,20150922,me,", "date_added '20150922' is no date (YYYY-MM-DD)"),
        ("https://example.com/,NEWS,,,me,", "date_added '' is no date (YYYY-MM-DD)"),
        ("https://example.com/,NEWS,2015-09-22,me,", "has 5 columns instead of 6"),
        ("https://example.com/", "has 1 columns instead of 6"),
        ("phrase: ,NEWS,,2015-09-22,me,", "the phrase is empty"),
        (f"phrase:{'六' * 201},NEWS,,2015-09-22,me,", "the phrase is longer than 200 characters"),
        ("phrase:a\x07b,NEWS,,2015-09-22,me,", "the phrase contains a control character"),
        ("HTTPS://Example.org:443,NEWS,,2015-09-22,me,", "the same target as in line 2"),
        ("phrase:六四,NEWS,,2015-09-22,me,", "the same target as in line 3"),
        ('https://example.com/"x,NEWS,,2015-09-22,me,"open', "no CSV: unexpected end of data"),
    ],
)
def test_a_fault_has_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    first = "https://example.org/,NEWS,,2015-09-22,me,"
    second = "phrase:六四,POLR,,2015-09-22,me,"
    assert reasons(written(tmp_path, first, second, "", row)) == [(5, reason)]


def test_a_long_invalid_url_is_cut_in_the_message(tmp_path: Path) -> None:
    [(_, reason)] = reasons(written(tmp_path, f"{'x' * 9000},NEWS,,2015-09-22,me,"))
    assert reason == f"invalid URL '{'x' * 77}'…: the URL is longer than 8192 characters"


def test_every_fault_is_told_and_a_line_is_where_its_record_begins(tmp_path: Path) -> None:
    path = written(tmp_path, "bad,NEWS,,2015-09-22,me,", GOOD[:-1] + ',"two\nlines"', "x,y", GOOD)
    assert [line for line, _ in reasons(path)] == [2, 5, 6]
    assert str(Fault("a.csv", 3, "why")) == "a.csv:3: why"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "the header must be exactly"),
        (b"url,category_code\n", 1, "the header must be exactly"),
        (
            b'"url,category_code",category_description,date_added,source,notes\n',
            1,
            "the header must be exactly",
        ),
        (
            b"category_code,url,category_description,date_added,source,notes\n",
            1,
            "the header must be exactly",
        ),
        (b'"url\n', 1, "no CSV: unexpected end of data"),
        (HEADER.encode() + b"\nhttps://\xff/\n", 2, "is not UTF-8"),
        (HEADER.encode() + b"\n\na\x00b\n", 3, "contains a NUL byte"),
        (b"\n" * (table.MAX_LINES + 1), 0, "has more than 200000 lines"),
        (b"x" * (table.MAX_BYTES + 1), 0, "is larger than 20 MB"),
    ],
    ids=["empty", "short", "quoted", "order", "quotation", "not utf-8", "nul", "lines", "bytes"],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    [fault] = check(path)
    assert (fault.file, fault.line) == (str(path), line)
    assert fault.reason.startswith(reason)
    with pytest.raises(ListError):
        load(path)


def test_what_is_no_readable_file_is_a_fault(tmp_path: Path) -> None:
    assert reasons(tmp_path / "none.csv") == [(0, "cannot be read: No such file or directory")]
    assert reasons(tmp_path) == [(0, "is not a file")]
    [fault] = check(Path("a\x00b"))
    assert fault.line == 0
    assert fault.reason.startswith("cannot be read")


def test_phrases_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "六四,zh-Hans,4 June,POLR,me,", "Tank Man,en,Tank Man,POLR,me,", header=PHRASES_HEADER)
    assert check(path) == []
    assert load_phrases(path) == [
        Phrase("六四", "zh-Hans", "4 June", "POLR"),
        Phrase("Tank Man", "en", "Tank Man", "POLR"),
    ]


def test_faults_of_phrases(tmp_path: Path) -> None:
    rows = (
        "六四,zh,4 June,POLR,me,",
        "六四,zh,4 June,POLR,me,",
        "a,Chinese!,,POLR,me,",
        "b,en,,XXX,me,",
        ",en,,POLR,me,",
    )
    path = written(tmp_path, *rows, header=PHRASES_HEADER)
    with pytest.raises(ListError) as refusal:
        load_phrases(path)
    assert [(fault.line, fault.reason) for fault in refusal.value.faults] == [
        (3, "the same phrase as in line 2"),
        (4, "'Chinese!' is no language tag (BCP 47)"),
        (5, "unknown category code 'XXX'"),
        (6, "the phrase is empty"),
    ]
    assert check(path) == list(refusal.value.faults)


def test_one_kind_of_list_is_not_taken_for_another(tmp_path: Path) -> None:
    path = written(tmp_path, "六四,zh,4 June,POLR,me,", header=PHRASES_HEADER)
    with pytest.raises(ListError, match="the header must be exactly url,"):
        load(path)


BYTES = st.one_of(
    st.binary(max_size=80),
    st.text(st.one_of(st.sampled_from(',"\n\r;=:/ '), st.characters(codec="utf-8")), max_size=80).map(str.encode),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(BYTES, st.booleans())
def test_no_content_raises_anything_but_a_list_error(tmp_path: Path, content: bytes, with_header: bool) -> None:
    path = tmp_path / "fuzz.csv"
    path.write_bytes(HEADER.encode() + b"\n" + content if with_header else content)
    faults = check(path)
    try:
        loaded = load(path)
    except ListError as refusal:
        assert list(refusal.faults) == faults or not with_header
    else:
        assert faults == []
        assert all(target.name for target in loaded)


@given(st.text(max_size=60))
def test_no_text_upsets_a_target(text: str) -> None:
    with contextlib.suppress(ValueError):
        target = targets.target_of("phrase:" + text)
        assert target.name == f"phrase:{text.strip()}"

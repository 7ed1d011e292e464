"""Fingerprints as OONI writes them: RE2's own syntax, hostile patterns and pages, whole lists at speed, other charsets."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists import Fingerprint, Fingerprints
from blocklists.charset import MAX_SEARCHED, converted
from blocklists.patterns import Patterns

from .test_fingerprints import found, row


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("(?i)ЗАПРЕЩ[ЕЁ]Н", "доступ запрещён", "доступ разрешён"),
        (r"blocked\z", "is blocked", "is blocked\n"),
        (r"\Ablocked", "blocked", "\nblocked"),
        (r"^\pL+$", "заблокировано", "403"),
        (r"\p{Greek}", "ΕΕΕΠ", "EEEP"),
        (r"[[:digit:]]{3}-FZ", "149-FZ", "abc-FZ"),
        (r"(?P<law>5651) \d+", "law 5651 7", "law 5651 "),
        (r"(?i:block)Page", "BLOCKPage", "BLOCKPAGE"),
        (r"(?s)a.b", "a\nb", "ab"),
        (r"(?-s)a.b", "axb", "a\nb"),
        (r"(?m)^denied$", "was\ndenied\nhere", "was denied here"),
        (r"x{99999999999999}", "x{99999999999999}", "xxx"),
        (r"\Q<b>[1]\E", "a<b>[1]", "a<b>1"),
        (".", "x", ""),
    ],
)
def test_the_syntax_is_that_of_re2(pattern: str, yes: str, no: str) -> None:
    for place in ("body", "header.x"):
        known = row("r", place, "regexp", pattern)
        for text, expected in ((yes, True), (no, False)):
            in_body, headers = (text.encode(), ()) if place == "body" else (b"", (("X", text),))
            assert found(known, headers=headers, body=in_body) is expected, place


def test_a_regular_expression_passes_over_bytes_that_are_no_text() -> None:
    known = row("r", "body", "regexp", "law.{1,4}5651")
    assert found(known, body=b"law \xfd\xfe 5651")
    assert not found(known, body=b"law \xfd\xfe\xff\xff 5651")


def test_no_pattern_and_page_together_take_long() -> None:
    patterns = ["(a+)+$", "(a|aa)+b", "(.*a){20}b", "([ab]*a[ab]{300})z", "(x+x+)+y", r"^(\w+\s?)*$"]
    known = Fingerprints([row(str(n), "body", "regexp", pattern) for n, pattern in enumerate(patterns)])
    letters = random.Random(1)
    pages = [b"a" * 1_000_000 + b"!", bytes(letters.choice(b"abx ") for _ in range(300_000)) + b"z"]
    started = time.process_time()
    for page in pages:
        known.match_page((), page)
    assert time.process_time() - started < 4.0


def like_oonis(count: int = 1300) -> list[Fingerprint]:
    """Patterns of the lengths and kinds of words that OONI's list has, all with the same beginnings."""
    letters = random.Random(7)
    english = [
        "access",
        "denied",
        "blocked",
        "page",
        "filter",
        "notice",
        "law",
        "order",
        "internet",
        "http://",
        "www.",
        ".com",
        "title",
        "<h1>",
        "class=",
        "/deny",
    ]
    russian = ["доступ", "к", "ресурсу", "ограничен", "на", "основании", "закона", "сайт", "заблокирован"]
    rows = []
    for n in range(count):
        words = letters.choices(russian if n % 9 == 0 else english, k=letters.randint(2, 6))
        rows.append(row(f"b{n}", "body", "contains", " ".join(words) + f"{n:x}", scope="fp" if n % 4 == 0 else "isp"))
    rows += [row(f"r{n}", "body", "regexp", f"(?i)blocked by .{{0,200}}office {n}") for n in range(14)]
    rows += [row(f"h{n}", "header.location", "prefix", f"http://block{n}.example/") for n in range(400)]
    return rows


def page_of(size: int, seed: int = 3) -> bytes:
    letters = random.Random(seed)
    words = [
        "access",
        "denied",
        "lorem",
        "ipsum",
        "function(){",
        "var",
        "x=1;",
        "<a",
        "href='https://example.org/?q=1'>",
        "доступ",
        "blocked",
        "by",
        "\n",
    ]
    return " ".join(letters.choices(words, k=size // 6)).encode()[:size]


def test_whole_lists_find_what_a_search_one_by_one_finds() -> None:
    rows = like_oonis()
    known = Fingerprints(rows)
    letters = random.Random(5)
    for _ in range(20):
        page = (
            page_of(3000, letters.randint(0, 99)) + " ".join(r.pattern for r in letters.sample(rows[:1300], 9)).encode()
        )
        page += b"<p>BLOCKED by the very\nOFFICE 3!"
        expected = [
            r for r in rows if r.location == "body" and r.pattern_type == "contains" and r.pattern.encode() in page
        ]
        expected += [r for r in rows if r.name == "r3"]
        assert list(known.match_page((), page)) == expected


def test_a_page_made_of_patterns_only_is_bounded_too() -> None:
    rows = like_oonis()
    known, letters = Fingerprints(rows), random.Random(2)
    page = "".join(r.pattern[: letters.randint(1, 40)] for r in letters.choices(rows, k=40_000)).encode()[:1_000_000]
    started = time.process_time()
    assert known.match_page((), page)
    assert time.process_time() - started < 2.0


kinds = st.sampled_from(["full", "prefix", "contains"])
words = st.text("abя.", min_size=1, max_size=4)


@given(st.lists(st.tuples(kinds, words), max_size=12), st.text("abя.", max_size=12))
def test_many_patterns_at_once_are_each_pattern_alone(pairs: list[tuple[str, str]], text: str) -> None:
    def alone(kind: str, pattern: str) -> bool:
        return {"full": text == pattern, "prefix": text.startswith(pattern), "contains": pattern in text}[kind]

    expected = [number for number, pair in enumerate(pairs) if alone(*pair)]
    assert Patterns(pairs).found_in(text.encode()) == expected


# Character sets

HTML = ("Content-Type", "text/html")


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("windows-1251", "cp1251", "Доступ запрещён"),
        ("KOI8-R", "koi8-r", "Доступ запрещён"),
        ("gb2312", "gb2312", "您访问的网站被屏蔽"),
        ("GBK", "gbk", "禁止訪問"),
        ("gb2312", "gbk", "禁止訪問"),  # browsers read it as the larger set
        ("big5", "big5", "不當資訊"),
        ("iso-8859-9", "iso8859-9", "erişime engellenmiştir"),
        ("windows-1256", "cp1256", "الموقع محجوب"),
        ("windows-874", "cp874", "ถูกระงับ"),
        ("tis-620", "tis-620", "ถูกระงับ"),
        ("EUC-KR", "euc-kr", "불법 유해"),
        ("shift_jis", "shift_jis", "閲覧禁止"),
        ("iso-8859-1", "latin-1", "bloqué à"),
        ("utf-16le", "utf-16-le", "запрет"),
    ],
)
def test_a_declared_character_set_is_honoured(label: str, codec: str, text: str) -> None:
    known = row("b", "body", "contains", text)
    regexp = row("r", "body", "regexp", f"(?i){text[:-1]}.$|{text}")
    body = f"<p>{text}</p>".encode(codec)
    header = (("content-TYPE", f'text/html; Charset="{label}"'),)
    for fingerprint in (known, regexp):
        assert found(fingerprint, headers=header, body=body)
        assert not found(fingerprint, headers=(HTML,), body=body)
    if codec != "utf-16-le":
        for meta in (f"<meta charset={label}>", f"<META http-equiv='x' content='text/html; charset={label}'>"):
            assert found(known, headers=(HTML,), body=meta.encode() + body)
    # What is in UTF-8 all the same is found too: the declaration may be wrong.
    assert found(known, headers=header, body=text.encode())


def test_a_mark_at_the_beginning_goes_before_what_is_declared() -> None:
    known = row("b", "body", "contains", "запрет")
    wrong = (("Content-Type", "text/html; charset=utf-8"),)
    assert found(known, headers=wrong, body="\ufeffзапрет".encode("utf-16-le"))
    assert found(known, headers=wrong, body="\ufeffзапрет".encode("utf-16-be"))
    assert found(known, headers=wrong, body="\ufeffзапрет".encode())


@pytest.mark.parametrize(
    "label",
    [
        "utf-8",
        "UTF8",
        "idna",
        "punycode",
        "unicode_escape",
        "utf-7",
        "zlib",
        "hex",
        "rot13",
        "base64",
        "nonsense",
        "x" * 900,
        "mbcs",
    ],
)
def test_other_codecs_than_character_sets_are_left_alone(label: str) -> None:
    assert converted((("Content-Type", f"text/html; charset={label}"),), b"\\u0041abc") is None


def test_a_declaration_far_down_does_not_count() -> None:
    meta = b"<meta charset=windows-1251>"
    assert converted((), b" " * (MAX_SEARCHED - len(meta)) + meta) is not None
    assert converted((), b" " * MAX_SEARCHED + meta) is None


@given(st.binary(max_size=200), st.sampled_from(["windows-1251", "gb2312", "utf-16", "iso-2022-jp", "big5", "euc-kr"]))
def test_no_bytes_upset_the_conversion(body: bytes, label: str) -> None:
    assert isinstance(converted((("Content-Type", f"charset={label}"),), body), bytes)

"""What stands in one `[[search]]` table, key by key: its type, its patterns, its URL with a place for the phrase."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import re2

from probes.url import URL, parse_url

KINDS = ("search", "shop")
CHARSETS = ("utf-8", "gb18030", "gbk", "big5", "euc-kr", "shift_jis", "windows-1251", "koi8-r")
PHRASE = "{phrase}"
MAX_TEXT = 2000  # characters of a value
MAX_NOTICES = 20
MAX_PROGRAM = 2500  # RE2 instructions of a pattern; these see whole pages, not only their beginning
_MEMORY = 8 * 1024 * 1024  # bytes that RE2 may use for the states of one pattern
_NAME = re2.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_TEXTS = ("name", "url", "kind", "neutral", "present", "source", "elsewhere", "accepts", "charset")
_NEEDED = ("name", "url", "kind", "neutral", "notice", "present", "source", "date")
_KEYS = frozenset({*_TEXTS, *_NEEDED, "checked"})
Check = Callable[[str], None]


def faults_of(table: Any) -> list[tuple[str, str]]:
    """(key, reason) for all that is wrong with one table."""
    if not isinstance(table, dict):
        return [("", "must be a table")]
    wrong = [(key, "unknown key") for key in table if key not in _KEYS]
    wrong += [(key, "is needed") for key in _NEEDED if key not in table]
    wrong += [(key, "must be a string") for key in _TEXTS if not isinstance(table.get(key, ""), str)]
    if not isinstance(table.get("checked", True), bool):
        wrong.append(("checked", "must be true or false"))
    if type(table.get("date", datetime.date.min)) is not datetime.date:
        wrong.append(("date", "must be a date such as 2026-01-31"))
    notice = table.get("notice", ["x"])
    if not isinstance(notice, list) or not all(isinstance(item, str) for item in notice) or not notice:
        wrong.append(("notice", "must be a list of strings, at least one"))
    elif len(notice) > MAX_NOTICES:
        wrong.append(("notice", f"has more than {MAX_NOTICES} patterns"))
    return wrong or _meaning(table)


def _meaning(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the values of a table that has the right keys and types."""
    checks: list[tuple[str, Check]] = [
        *((key, _check_text) for key in _TEXTS if key in table),
        ("name", _check_name), ("kind", _one_of(KINDS)), ("charset", _one_of(CHARSETS)),
        ("present", check_pattern), ("accepts", check_pattern),
        ("url", _check_template), ("elsewhere", _check_template),
    ]  # fmt: skip
    wrong: dict[str, str] = {}
    for key, check in checks:
        if key in table and key not in wrong:
            _note(wrong, key, check, table[key])
    for pattern in table["notice"]:
        if "notice" not in wrong:
            _note(wrong, "notice", check_pattern, pattern)
    if ("elsewhere" in table) != (table["kind"] == "shop"):
        wrong.setdefault("elsewhere", "is needed for a shop, and is for a shop only")
    return list(wrong.items())


def _note(wrong: dict[str, str], key: str, check: Check, value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        wrong[key] = str(error)


def _check_text(text: str) -> None:
    if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
        raise ValueError(f"must be one line of 1 to {MAX_TEXT} printable characters")


def _check_name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError("1 to 32 small letters, digits and dashes")


def _one_of(words: Sequence[str]) -> Check:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")

    return check


def _check_template(text: str) -> None:
    """The phrase must stand in the path or query of an https URL, and nowhere else: it must not pick the host."""
    if PHRASE not in text:
        raise ValueError(f"must have {PHRASE} in its path or query")
    one, other = (parse_url(text.replace(PHRASE, word)) for word in ("a", "b"))
    if one.scheme != "https":
        raise ValueError("only https: a page that anybody on the way can write says nothing about the platform")
    if (one.host, one.port) != (other.host, other.port) or one.target == other.target:
        raise ValueError(f"must have {PHRASE} in its path or query only")


def check_pattern(pattern: str) -> None:
    """Refuses what is no regular expression of RE2's, a large one, and one that every page matches.

    Raises ValueError with the reason.
    """
    if not pattern or len(pattern) > MAX_TEXT:
        raise ValueError(f"must be a pattern of 1 to {MAX_TEXT} characters")
    try:
        found = compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0]
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)
        raise ValueError(f"invalid regular expression: {reason}") from None
    if found.programsize > MAX_PROGRAM:
        raise ValueError(
            f"the regular expression is too large: {found.programsize} instructions, at most {MAX_PROGRAM}"
        )
    if found.search(b""):
        raise ValueError("the regular expression matches an empty page")


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The pattern as RE2 has it, the dot for line ends too. Raises `re2.error`, and UnicodeEncodeError."""
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = _MEMORY
    return re2.compile(pattern, options)


def filled(template: str, phrase: str, encoding: str) -> URL:
    """The URL with the phrase in its place. Raises ValueError where it cannot stand there."""
    if not phrase.strip():
        raise ValueError("the phrase is empty")
    try:
        coded = quote(phrase.encode(encoding), safe="")
    except UnicodeEncodeError:
        raise ValueError(f"the phrase cannot be written in {encoding}") from None
    if not coded.strip("."):
        raise ValueError("a phrase of dots is a path, not a text")
    return parse_url(template.replace(PHRASE, coded))

"""What is asked about: lists of targets in Citizen Lab's test-list format.

The format: https://github.com/citizenlab/test-lists, checked as strictly as by its own lint, with two
additions: the URL may be `phrase:TEXT`, and the notes may say `expect=TEXT`.
"""

import re
from datetime import date
from pathlib import Path

import msgspec

from probes.url import InvalidURL, parse_url

from . import table
from .categories import CATEGORIES
from .sites import site_of

HEADER = "url,category_code,category_description,date_added,source,notes"
PHRASE = "phrase:"
MAX_PHRASE = 200  # characters
_USERINFO = re.compile(r"^([a-z]+://)[^/?#]*@", re.IGNORECASE)
_EXPECT = re.compile(r"(?:^|[;\s])expect=([^;]*)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about, by a stable name, never by an address."""

    name: str  # the URL as the list gives it, without userinfo; or "phrase:TEXT"
    url: str  # normalised; "" for a phrase
    site: str  # registrable domain; "" for a phrase
    category: str
    expect: str = ""  # text that the real page contains, where the list gives it
    notes: str = ""

    @property
    def phrase(self) -> str:
        """The text of a `phrase:TEXT`; empty for a URL."""
        return self.name.removeprefix(PHRASE) if not self.url else ""


def load(path: Path, *, downloaded: bool = False) -> list[Target]:
    """The targets of a list in its order. Raises ListError with every fault that the file has.

    In a list that was `downloaded` a few unusable rows are left out, see `table.sound`.
    """
    rows = table.read(path, [HEADER])
    targets, faults = read(rows)
    faults = table.sound(rows, faults, downloaded=downloaded)
    if faults:
        raise table.ListError(faults)
    return targets


def read(rows: table.Table) -> tuple[list[Target], list[table.Fault]]:
    """The good targets among the rows, and a fault for each of the others, in the file's order."""
    targets: list[Target] = []
    faults = list(rows.faults)
    first: dict[str, int] = {}
    for row in rows.rows:
        try:
            target = _target(row.cells)
            key = target.url or target.name
            if key in first:
                raise ValueError(f"the same target as in line {first[key]}")
        except ValueError as error:
            faults.append(table.Fault(rows.file, row.line, str(error)))
        else:
            first[key] = row.line
            targets.append(target)
    return targets, sorted(faults, key=lambda fault: fault.line)


def target_of(text: str, *, category: str = "MISC", notes: str = "") -> Target:
    """The target that a URL or `phrase:TEXT` names. Raises ValueError (InvalidURL) with the reason."""
    text = text.strip()
    if text.startswith(PHRASE):
        phrase = phrase_of(text.removeprefix(PHRASE))
        return Target(name=PHRASE + phrase, url="", site="", category=category, notes=notes)
    url = parse_url(text)
    expect = _EXPECT.search(notes)
    return Target(
        name=_USERINFO.sub(r"\1", text),
        url=str(url),
        site=site_of(url.host),
        category=category,
        expect=expect.group(1).strip() if expect else "",
        notes=notes,
    )


def phrase_of(text: str) -> str:
    """The phrase without surrounding whitespace. Raises ValueError where it can be none."""
    text = text.strip()
    if not text:
        raise ValueError("the phrase is empty")
    if len(text) > MAX_PHRASE:
        raise ValueError(f"the phrase is longer than {MAX_PHRASE} characters")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        raise ValueError("the phrase contains a control character")
    return text


def check_category(code: str) -> str:
    """The code, if it is one of Citizen Lab's. Raises ValueError."""
    if code not in CATEGORIES:
        raise ValueError(f"unknown category code {code[:20]!r}")
    return code


def _target(cells: dict[str, str]) -> Target:
    """One row as a target. Raises ValueError with the reason."""
    try:
        target = target_of(cells["url"], category=cells["category_code"], notes=cells["notes"].strip())
    except InvalidURL as error:
        raise ValueError(f"invalid URL {_short(cells['url'])}: {error}") from error
    check_category(target.category)
    _check_date(cells["date_added"])
    return target


def _check_date(text: str) -> None:
    """Refuses what is no date of the calendar in the form YYYY-MM-DD."""
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"date_added {_short(text)} is no date (YYYY-MM-DD)") from error


def _short(text: str) -> str:
    """The text in quotation marks, on one line, cut where it is long."""
    return repr(text) if len(text) <= 80 else repr(text[:77]) + "…"

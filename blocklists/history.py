"""Documented blocks and unblocks: what others reported, with interval, confidence and source; never measured here."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from probes.url import parse_url

from . import table
from .sites import site_of

HEADER = "site,covers,country,kind,after,before,confidence,technique,note,source"
EVERY_SITE = "*"
KINDS = frozenset({"blocked", "unblocked", "closed"})
CONFIDENCES = frozenset({"high", "medium", "low"})
SHIPPED = Path(__file__).parent / "history.csv"
_COUNTRY = re.compile(r"[A-Z]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")
_TECHNIQUE = re.compile(r"[a-z]+(\.[a-z_]+)*")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One documented change: it happened in (`after`, `before`]. `after` None: nobody knows the earliest time."""

    sites: tuple[str, ...]  # registrable domains, or EVERY_SITE alone
    covers: str  # the host or URL that is meant; "": the whole site
    country: str  # ISO 3166
    kind: str
    after: datetime | None
    before: datetime
    confidence: str
    technique: str | None
    note: str
    source: str


def load_history(path: Path) -> list[Change]:
    """The changes of a list in its order. Raises ListError with every fault that the file has."""
    changes, faults = read(table.read(path, [HEADER]))
    if faults:
        raise table.ListError(faults)
    return changes


@cache
def shipped() -> tuple[Change, ...]:
    """The changes that come with the program. Raises ListError."""
    return tuple(load_history(SHIPPED))


def of_site(changes: Sequence[Change], site: str) -> list[Change]:
    """What is documented of a site, and of every site; oldest first."""
    if not site:
        return []
    return sorted((c for c in changes if site in c.sites or EVERY_SITE in c.sites), key=lambda c: c.before)


def read(rows: table.Table) -> tuple[list[Change], list[table.Fault]]:
    """The good changes among the rows, and a fault for each of the others, in the file's order."""
    changes: list[Change] = []
    faults = list(rows.faults)
    first: dict[Change, int] = {}
    for row in rows.rows:
        try:
            change = _change(row.cells)
            if change in first:
                raise ValueError(f"the same change as in line {first[change]}")
        except ValueError as error:
            faults.append(table.Fault(rows.file, row.line, str(error)))
        else:
            first[change] = row.line
            changes.append(change)
    return changes, sorted(faults, key=lambda fault: fault.line)


def _change(cells: dict[str, str]) -> Change:
    """One row as a change. Raises ValueError with the reason."""
    sites = _sites(cells["site"])
    change = Change(
        sites=sites,
        covers=_covers(cells["covers"].strip(), sites),
        country=_matching(cells, "country", _COUNTRY, "country code of two letters"),
        kind=_one_of(cells, "kind", KINDS),
        after=_time(cells, "after") if cells["after"] else None,
        before=_time(cells, "before"),
        confidence=_one_of(cells, "confidence", CONFIDENCES),
        technique=_matching(cells, "technique", _TECHNIQUE, "technique") if cells["technique"] else None,
        note=cells["note"].strip(),
        source=cells["source"].strip(),
    )
    if change.after is not None and change.after >= change.before:
        raise ValueError("after is not earlier than before")
    if not change.source:
        raise ValueError("the source is empty")
    return change


def _sites(text: str) -> tuple[str, ...]:
    """Registrable domains apart by spaces, or EVERY_SITE. Raises ValueError."""
    sites = tuple(text.split())
    if not sites:
        raise ValueError("the site is empty")
    if sites == (EVERY_SITE,):
        return sites
    for site in sites:
        if _host(f"https://{site}/") != site or "." not in site or site_of(site) != site:
            raise ValueError(f"site {site[:80]!r} is no registrable domain in lower case")
    return sites


def _covers(text: str, sites: Sequence[str]) -> str:
    """A host or URL of one of the sites, or nothing. Raises ValueError."""
    host = _host(text if "://" in text else f"https://{text}/") if text else ""
    if text and (host is None or site_of(host) not in sites):
        raise ValueError(f"covers {text[:80]!r} is no host or URL of the site")
    return text


def _host(url: str) -> str | None:
    try:
        return parse_url(url).host
    except ValueError:
        return None


def _time(cells: dict[str, str], column: str) -> datetime:
    """A day (its beginning) or a time, in UTC. Raises ValueError."""
    text = cells[column]
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{column} {text[:40]!r} is no YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ") from error


def _one_of(cells: dict[str, str], column: str, words: frozenset[str]) -> str:
    if cells[column] not in words:
        raise ValueError(f"{column} {cells[column][:20]!r} is none of {', '.join(sorted(words))}")
    return cells[column]


def _matching(cells: dict[str, str], column: str, shape: re.Pattern[str], what: str) -> str:
    if not shape.fullmatch(cells[column]):
        raise ValueError(f"{column} {cells[column][:40]!r} is no {what}")
    return cells[column]

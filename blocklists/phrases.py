"""Phrases that are known or thought to be censored, with their meaning in English."""

import re
from pathlib import Path

import msgspec

from . import table
from .targets import check_category, phrase_of

HEADER = "phrase,language,meaning,category_code,source,notes"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # the shape of a BCP 47 tag


class Phrase(msgspec.Struct, frozen=True):
    """A phrase to look for, or to send, where phrases are censored."""

    text: str
    language: str  # BCP 47, such as "zh-Hans"
    meaning: str  # in English
    category: str


def load_phrases(path: Path) -> list[Phrase]:
    """The phrases of a list in its order. Raises ListError with every fault that the file has."""
    phrases, faults = read(table.read(path, [HEADER]))
    if faults:
        raise table.ListError(faults)
    return phrases


def read(rows: table.Table) -> tuple[list[Phrase], list[table.Fault]]:
    """The good phrases among the rows, and a fault for each of the others, in the file's order."""
    phrases: list[Phrase] = []
    faults = list(rows.faults)
    first: dict[str, int] = {}
    for row in rows.rows:
        try:
            phrase = _phrase(row.cells)
            if phrase.text in first:
                raise ValueError(f"the same phrase as in line {first[phrase.text]}")
        except ValueError as error:
            faults.append(table.Fault(rows.file, row.line, str(error)))
        else:
            first[phrase.text] = row.line
            phrases.append(phrase)
    return phrases, sorted(faults, key=lambda fault: fault.line)


def _phrase(cells: dict[str, str]) -> Phrase:
    """One row as a phrase. Raises ValueError with the reason."""
    text = phrase_of(cells["phrase"])
    if not _LANGUAGE.fullmatch(cells["language"]):
        raise ValueError(f"{cells['language'][:20]!r} is no language tag (BCP 47)")
    return Phrase(text, cells["language"], cells["meaning"].strip(), check_category(cells["category_code"]))

"""Words from the network made safe to show: one line, bounded, without control or direction characters.

A title may hold terminal escapes, marks that turn text around, or ten thousand letters.
"""

import unicodedata
from datetime import datetime

from probes.measurement import rfc3339

LIMIT = 240  # characters of one value
_JOINERS = "\u200c\u200d"  # Persian and Indic words need them
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, limit: int = LIMIT) -> str:
    """The text on one line; what cannot be seen is written as its number, what is too long ends in `…`."""
    cut = text[: limit + 1]
    plain = cut.isascii() and cut.isprintable()  # nearly all of it is
    shown = cut[:limit] if plain else "".join(_visible(letter) for letter in cut[:limit])
    return shown + "…" if len(cut) > limit else shown


def _visible(letter: str) -> str:
    if letter in "\n\t\r":
        return " "
    if letter in _JOINERS or unicodedata.category(letter) not in _HIDDEN:
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def width(text: str) -> int:
    """Columns of a terminal."""
    return sum(_columns(letter) for letter in text)


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or letter in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def wrap(text: str, columns: int) -> list[str]:
    """The text in lines of at most that many columns, broken at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if width(candidate) <= columns:
            line = candidate
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, columns)
        lines += whole
    return [*lines, line]


def _pieces(word: str, columns: int) -> list[str]:
    pieces, piece, used = [], "", 0
    for letter in word:
        wide = _columns(letter)
        if used + wide > columns:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + letter, used + wide
    return [*pieces, piece]


def pad(text: str, columns: int) -> str:
    """The text, with spaces up to that many columns."""
    return text + " " * max(0, columns - width(text))


def seconds(duration: float) -> str:
    """`12.3 ms`, `4.56 s`."""
    return f"{duration * 1000:.1f} ms" if abs(duration) < 1 else f"{duration:.2f} s"


def age(then: datetime, now: datetime) -> str:
    """`just now`, `12 min`, `3 h`, `5 d`: how long ago."""
    past = (now - then).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= size * (2 if unit == "d" else 1):
            return f"{int(past // size)} {unit}"
    return "just now"


def moment(time: datetime) -> str:
    """`2026-01-31 12:00:00 UTC`."""
    return rfc3339(time)[:19].replace("T", " ") + " UTC"

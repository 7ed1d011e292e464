"""One value as the text of a cell, and cells as one line of CSV (RFC 4180; lines end in LF).

Nothing is changed to please a spreadsheet: a target that begins with `=` stays what it is, since others compute
with it.
"""

import re
from collections.abc import Iterable
from datetime import datetime

from probes.measurement import rfc3339

_SPECIAL = re.compile('[",\r\n]')


def line(cells: Iterable[object]) -> bytes:
    """The cells as one line, in UTF-8. Python's csv writes a bare CR unquoted and cannot read it again."""
    return (",".join(map(_quoted, cells)) + "\n").encode()


def _quoted(value: object) -> str:
    text = cell(value)
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def cell(value: object) -> str:
    """Empty for None; a time in RFC 3339, UTC; several words with a space between them; true or false."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, float):
        return decimal(value)
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


def decimal(number: float) -> str:
    """At most six places, no exponent: the same in every language and for every reader."""
    return f"{number:.6f}".rstrip("0").rstrip(".")

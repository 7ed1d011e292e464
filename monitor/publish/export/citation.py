"""CITATION.cff: how to cite the data, in the Citation File Format 1.2.0.

Who measured is the operator's to say: without a name the author is `anonymous`, the format's word for it.
"""

from datetime import datetime

import msgspec

MESSAGE = "If you use these data, please cite them, with the vantage, the period and the version of the rules."


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is cited. `released`: the newest measurement, None where there is none; `licence`: an SPDX identifier."""

    title: str
    abstract: str
    released: datetime | None
    author: str = ""
    licence: str = ""


def citation(work: Work) -> str:
    """The file, as YAML of which every text is quoted."""
    lines = [
        "cff-version: 1.2.0",
        f"message: {_quoted(MESSAGE)}",
        f"title: {_quoted(work.title)}",
        "type: dataset",
        "authors:",
        f"  - name: {_quoted(work.author or 'anonymous')}",
        f"abstract: {_quoted(work.abstract)}",
    ]
    if work.released is not None:
        day = work.released.date().isoformat()  # of the data themselves: when the file was made is not recorded
        lines += [f"version: {_quoted(day)}", f"date-released: {_quoted(day)}"]
    if work.licence:
        lines.append(f"license: {work.licence}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A YAML string in double quotes: JSON's strings are YAML's."""
    return msgspec.json.encode(text).decode()

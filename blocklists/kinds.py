"""Which kind of list a file is, by its header, and all that is wrong with it."""

from pathlib import Path

from . import fingerprints, phrases, table, targets

_HEADERS = (targets.HEADER, phrases.HEADER, fingerprints.HEADER)


def check(path: Path) -> list[table.Fault]:
    """Every fault of a list of targets, phrases or fingerprints, in its order; none if it is sound."""
    rows = table.read(path, _HEADERS)
    if rows.header == targets.HEADER:
        return targets.read(rows)[1]
    if rows.header == phrases.HEADER:
        return phrases.read(rows)[1]
    if rows.header == fingerprints.HEADER:
        return fingerprints.read(rows)[1]
    return list(rows.faults)

"""Which kind of list a file is, by its header, and all that is wrong with it."""

from pathlib import Path

from . import fingerprints, history, phrases, places, resets, table, targets

HEADERS = (targets.HEADER, phrases.HEADER, fingerprints.HEADER, history.HEADER, resets.HEADER, places.HEADER)


def check(path: Path) -> list[table.Fault]:
    """Every fault of a list of a known kind, in its order; none if it is sound."""
    return faults_of(table.read(path, HEADERS))


def faults_of(rows: table.Table) -> list[table.Fault]:
    """The same of a file that was read."""
    if rows.header == targets.HEADER:
        return targets.read(rows)[1]
    if rows.header == phrases.HEADER:
        return phrases.read(rows)[1]
    if rows.header == fingerprints.HEADER:
        return fingerprints.read(rows)[1]
    if rows.header == history.HEADER:
        return history.read(rows)[1]
    if rows.header == resets.HEADER:
        return resets.read(rows)[1]
    if rows.header == places.HEADER:
        return places.read(rows)[1]
    return list(rows.faults)

"""A list that somebody else keeps, replaced by their newer one: only by a good one, and at once or not at all.

What the server called the last version (ETag, Last-Modified) is kept beside the list in `.NAME.etag`, with the
hash of what was written: a list that was edited since is not the one that the server knows.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from . import kinds, table

FEWEST = 0.5  # a list that shrank below this part of its rows is taken for a mistake


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What a server called what it sent, and the hash of that."""

    url: str
    etag: str = ""
    last_modified: str = ""
    sha256: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How a list changed, in usable rows; `skipped` are the new one's unusable rows."""

    before: int
    after: int
    added: int
    removed: int
    same: bool  # byte for byte
    skipped: tuple[table.Fault, ...] = ()


def remembered(path: Path, url: str) -> Version | None:
    """The version that the file is, if it came from this URL and was not touched since."""
    try:
        version = msgspec.json.decode(_beside(path).read_bytes(), type=Version)
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    content = _content(path)
    return version if version.url == url and version.sha256 == hashlib.sha256(content).hexdigest() else None


def compare(path: Path, data: bytes, kind: str | None = None) -> Change:
    """What changes if `data` replaces the file. Raises ListError where it must not.

    It must be a sound list (as downloaded ones are, see `table.sound`) of the `kind` (a header) that is wanted or
    else that the present file has, and must not have lost most of the present file's rows.
    """
    old = table.read(path, kinds.HEADERS)
    wanted = [kind or old.header] if kind or old.header else list(kinds.HEADERS)
    new = table.parse(str(path), data, wanted)
    faults = kinds.faults_of(new)
    refused = [] if table.tolerable(new, faults) else list(faults)
    good = _good(new, faults)
    if not refused and not good:
        refused = [table.Fault(str(path), 0, "the new list has no rows")]
    before = _good(old, kinds.faults_of(old)) if old.header == new.header else []
    if not refused and len(good) < FEWEST * len(before):
        reason = f"the new list has {len(good)} rows in place of {len(before)}; delete the old one if that is right"
        refused = [table.Fault(str(path), 0, reason)]
    if refused:
        raise table.ListError(refused)
    return Change(
        before=len(before), after=len(good), added=len({*good} - {*before}), removed=len({*before} - {*good}),
        same=_content(path) == data, skipped=tuple(faults),
    )  # fmt: skip


def replace(path: Path, data: bytes, version: Version) -> None:
    """Put the content in the file's place, durably, and remember its version. Raises OSError; the old one stays then.

    Killed at any moment, it leaves the old list or the new one; without its version beside it, the list is merely
    downloaded again.
    """
    place = path.resolve()
    _write(place, data)
    version = msgspec.structs.replace(version, sha256=hashlib.sha256(data).hexdigest())
    _write(_beside(place), msgspec.json.encode(version) + b"\n")


def _content(path: Path) -> bytes:
    """The file's bytes; none where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _good(rows: table.Table, faults: list[table.Fault]) -> list[str]:
    """The first column of each usable row: it names what the row is about in every kind of list."""
    bad = {fault.line for fault in faults}
    return [next(iter(row.cells.values())).strip() for row in rows.rows if row.line not in bad]


def _beside(path: Path) -> Path:
    place = path.resolve()
    return place.with_name(f".{place.name}.etag")


def _write(path: Path, data: bytes) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""The folder: written beside its place, then moved there in one step, so that it is whole or not there at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from blocklists import Fingerprints
from monitor.publish.packets import file_name
from monitor.store.snapshot import Snapshot

from . import cells, codebook, documents, tables
from .citation import Work, citation
from .columns import header
from .readme import Package, abstract, licence, readme, title
from .tables import Progress, Summary, silent

SUMS, PCAP = "SHA256SUMS", "pcap"
_ABOUT = {
    "measurements.csv": "one row a measurement",
    "measurements.jsonl": "one measurement a line, with all facts",
    "events.csv": "when a block began or ended, as an interval",
    "targets.csv": "what was asked about",
    "vantages.csv": "from where, with the count of each outcome",
    "pcap/": "the packets of suspicious connections, a capture file a measurement, named by its uid",
    "codebook.csv": "every column: type, unit, values, what an empty cell means",
    "CODEBOOK.md": "the same to read",
    "CITATION.cff": "how to cite this",
    "LICENSE.md": "what may be done with it",
    SUMS: "checksums of all other files",
}


class PackageError(ValueError):
    """A folder that cannot be written; str() is one line."""


def write(
    folder: Path, package: Package, snapshot: Snapshot, *, fingerprints: Fingerprints, progress: Progress = silent
) -> Summary:
    """Write a package; what it holds. Raises PackageError where the folder is there and not empty, or on a fault.

    A process that is killed leaves at most `.NAME.*.partial` beside it, never a part of a package under its name.
    """
    folder = Path(os.path.realpath(folder))
    _refuse(folder)
    try:
        with _beside(folder) as place:
            summary = _fill(place, package, snapshot, fingerprints, progress)
            os.rename(place, folder)  # over an empty folder, too; one that is not empty is refused by the system
        _sync(folder.parent)
    except OSError as error:
        raise PackageError(f"{folder}: {error.strerror or error}") from error
    return summary


def _refuse(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PackageError(f"{folder}: is there already and not an empty folder; nothing is overwritten")
    if not folder.parent.is_dir():
        raise PackageError(f"{folder}: there is no folder {folder.parent}")


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        mask = os.umask(0)
        os.umask(mask)
        place.chmod(0o777 & ~mask)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)  # moved away by now, or a failure


def _fill(place: Path, package: Package, snapshot: Snapshot, fingerprints: Fingerprints, progress: Progress) -> Summary:
    sums: dict[str, str] = {}

    def put(name: str, lines: Iterable[bytes]) -> None:
        sums[name] = _write(place / name, lines)

    summary = Summary(package.selection)
    if package.format == "csv":
        put(package.table, _measurements(package, snapshot, summary, progress))
    else:
        for row in snapshot.rows(tables.history(package.selection)):
            summary.take(row)
        captures = place / PCAP

        def keep(uid: str, pcap: bytes) -> None:
            captures.mkdir(exist_ok=True)
            put(f"{PCAP}/{file_name(uid)}", [pcap])

        put(package.table, documents.lines(snapshot, package.selection, fingerprints=fingerprints,
                                           version=package.version, progress=progress, keep=keep))  # fmt: skip
        if captures.exists():
            _sync(captures)
    put("events.csv", tables.event_lines(summary))
    put("targets.csv", tables.target_lines(summary))
    put("vantages.csv", tables.vantage_lines(snapshot, summary))
    described = [package.table, "events.csv", "targets.csv", "vantages.csv", "codebook.csv"]
    put("codebook.csv", codebook.lines(described))
    put("CODEBOOK.md", [codebook.page(described).encode()])
    put("CITATION.cff", [_citation(package, summary, simulated=snapshot.simulated).encode()])
    put("LICENSE.md", [licence(package).encode()])
    there = {SUMS, *sums, *(name.partition("/")[0] + "/" for name in sums if "/" in name)}
    files = {name: about for name, about in _ABOUT.items() if name in there}
    put("README.md", [readme(package, summary, files, simulated=snapshot.simulated).encode()])
    _write(place / SUMS, (f"{digest}  {name}\n".encode() for name, digest in sorted(sums.items())))
    _sync(place)
    return summary


def _measurements(package: Package, snapshot: Snapshot, summary: Summary, progress: Progress) -> Iterator[bytes]:
    """The table, while the summary is made of the same rows and of those before."""
    yield cells.line(header("measurements.csv"))
    whole = tables.history(package.selection)
    total = snapshot.count(whole)
    for done, row in enumerate(snapshot.rows(whole), 1):
        if summary.take(row):
            yield tables.measurement_line(snapshot, row)
        if done % tables.STEP == 0 or done == total:
            progress(done, total)


def _citation(package: Package, summary: Summary, *, simulated: bool) -> str:
    return citation(
        Work(
            title=title(summary, simulated=simulated), abstract=abstract(summary, simulated=simulated),
            released=summary.period[1] if summary.period else None, author=package.author, licence=package.licence,
        )
    )  # fmt: skip


def _write(path: Path, lines: Iterable[bytes]) -> str:
    """Write a file, on the disk when this returns; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for line in lines:
            digest.update(line)
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["Package", "PackageError", "write"]

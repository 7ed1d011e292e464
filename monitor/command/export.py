"""`export`: what is stored, as tables or documents, to standard output or as a folder that can be checked and cited."""

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from blocklists import Fingerprints, ListError, load_fingerprints
from monitor import __version__
from monitor.config import Config
from monitor.publish.export import Package, PackageError, document_lines, measurement_lines, readme, write
from monitor.publish.when import time_of
from monitor.service import SHIPPED
from monitor.store import Selection, StoreError
from monitor.store.snapshot import Snapshot, snapshot

from .inputs import BadInput, config_of
from .serving import progress_bar

LICENCES = tuple(readme.LICENCES)
_LATER = ("parquet", "ooni", "package")
FORMATS = ("csv", "jsonl", *_LATER)
_PIECE = 256 * 1024  # bytes handed to standard output at once


def export(arguments: argparse.Namespace) -> int:
    """The measurement table to standard output, or with `--output` a folder with everything."""
    if arguments.format in _LATER:
        raise BadInput(f"export --format {arguments.format}: not in this version; there are csv and jsonl")
    if not arguments.output and (arguments.author or arguments.licence):
        raise BadInput("export: --author and --licence belong to a package; name its folder with --output")
    selection = Selection(
        target=arguments.target, vantage=arguments.vantage, since=_time(arguments.since, "--since"),
        until=_time(arguments.until, "--until"),
    )  # fmt: skip
    config = config_of(arguments)
    package = Package(
        format=arguments.format, selection=selection, version=__version__, author=arguments.author or "",
        licence=arguments.licence or "",
    )  # fmt: skip
    fingerprints = _fingerprints(config)
    try:
        with snapshot(config.database) as state:
            _check(state, selection, config.database)
            if arguments.output:
                write(arguments.output, package, state, fingerprints=fingerprints, progress=progress_bar)
            else:
                _print(_lines(state, package, fingerprints))
    except (StoreError, PackageError) as error:
        raise BadInput(str(error)) from None
    return 0


def _lines(state: Snapshot, package: Package, fingerprints: Fingerprints) -> Iterable[bytes]:
    if package.format == "csv":
        return measurement_lines(state, package.selection, progress_bar)
    return document_lines(
        state, package.selection, fingerprints=fingerprints, version=package.version, progress=progress_bar
    )


def _fingerprints(config: Config) -> Fingerprints:
    """Those that the service judges by: what they need in a page is not taken out of it."""
    shipped = sorted(SHIPPED.glob("fingerprints_*.csv"))
    try:
        return load_fingerprints([*shipped, *config.fingerprints], downloaded=config.downloaded)
    except ListError as error:
        raise BadInput(str(error)) from None


def _print(lines: Iterable[bytes]) -> None:
    """Bytes, not text: what is printed must not depend on the locale."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= _PIECE:
            sys.stdout.buffer.write(piece)
            piece.clear()
    sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _check(state: Snapshot, selection: Selection, database: Path) -> None:
    """A name that was never measured is a mistake; a time without measurements is an empty table."""
    for option in ("target", "vantage"):
        name = getattr(selection, option)
        if name is not None and not state.count(Selection(**{option: name})):
            raise BadInput(f"--{option}: {database} has no measurement of {name!r}")
    if selection.since and selection.until and selection.since >= selection.until:
        raise BadInput("--since: must be earlier than --until")


def _time(text: str | None, option: str) -> datetime | None:
    try:
        return time_of(text) if text is not None else None
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None

"""What commands read: the configuration, and recorded measurements from files."""

import argparse
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from monitor.config import Config, load
from monitor.publish.record import NotOurs, read_json
from monitor.store import ooni
from probes.measurement import Measurement


class BadInput(ValueError):
    """Input that cannot be used; str() has one line a fault."""


def config_of(arguments: argparse.Namespace) -> Config:
    """The configuration that the arguments name."""
    return load(arguments.config or Path("config.toml"))


def documents(name: str) -> Iterator[tuple[str, Any | BadInput]]:
    """(`FILE:LINE`, JSON document or what is wrong with it) of a file of JSON or JSON lines, plain or .gz."""
    try:
        data = _read(name)
    except (OSError, EOFError, zlib.error) as error:
        yield name, BadInput(f"{name}: {getattr(error, 'strerror', None) or error}")
        return
    whole = _decoded(data, name)
    if not isinstance(whole, BadInput):
        yield name, whole
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            yield f"{name}:{number}", _decoded(line, f"{name}:{number}")


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    if name.endswith(".gz"):
        with gzip.open(name, "rb") as file:
            return file.read()
    return Path(name).read_bytes()


def _decoded(data: bytes, where: str) -> Any | BadInput:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return BadInput(f"{where}: no JSON: {error}")


def recorded(document: Any, where: str) -> Measurement | BadInput:
    """The measurement in a document, our own or OONI's."""
    if not isinstance(document, dict):
        return BadInput(f"{where}: a measurement must be a JSON object")
    try:
        return read_json(document) if "facts" in document else ooni.read(document)
    except (NotOurs, ooni.NotOONI) as error:
        return BadInput(f"{where}: {error}")


def measurements(names: list[str]) -> Iterator[tuple[str, Measurement | BadInput]]:
    """Every measurement of the files, in order, with where it stands."""
    for name in names:
        for where, document in documents(name):
            yield where, document if isinstance(document, BadInput) else recorded(document, where)

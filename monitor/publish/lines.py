"""The lines of a file that may come from anybody: numbered, bounded, and read one at a time."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

LONGEST = 64 * 1024 * 1024  # bytes; a measurement's document with every page that it received is shorter


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a line; `column` is empty where it is the line as a whole."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"{self.line}: {self.column}: {self.reason}" if self.column else f"{self.line}: {self.reason}"


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes] | Fault]:
    """(number, line) of each line that is not blank, or what is wrong with it; a file that breaks off ends so."""
    number = 0
    try:
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) <= LONGEST:
                if line := line.rstrip(b"\r\n"):
                    yield number, line
                continue
            yield Fault(number, "", f"longer than {LONGEST} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST)
    except (OSError, EOFError, zlib.error) as error:
        yield Fault(number + 1, "", f"the file breaks off: {getattr(error, 'strerror', None) or error}")

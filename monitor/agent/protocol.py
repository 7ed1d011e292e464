"""What agent and service say to each other, over HTTPS with `Authorization: Bearer TOKEN`.

`GET /agent/v1/assignment` gives an `Assignment` as JSON, with an ETag; 304 where the agent has it already.
`POST /agent/v1/measurements` takes a gzip stream of JSON lines, one `Measurement` each (`batch_of`), and answers with
an `Answer`: what is stored now (or was stored before) need not be sent again. 401: no such token; 403: it was revoked,
or a line is of another vantage; 413: too large; 429 and 503: later, after `Retry-After` seconds.
Both requests carry `TIME`, so that the service sees the agent's clock, and `SPOOLED`.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from blocklists import Target
from probes.measurement import Measurement

ASSIGNMENT_PATH, MEASUREMENTS_PATH = "/agent/v1/assignment", "/agent/v1/measurements"
TIME = "X-Wallwatch-Time"  # header: the agent's clock as it sends, RFC 3339
SPOOLED = "X-Wallwatch-Spooled"  # header: how many measurements wait there
VERSION = "X-Wallwatch-Version"  # header: the agent's version
MAX_SENT = 8 * 2**20  # bytes of a request's body
MAX_BATCH = 64 * 2**20  # bytes of it when it is unpacked
MAX_LINE = 16 * 2**20  # bytes of one measurement in JSON
MAX_LINES = 500  # measurements of a batch


T = TypeVar("T")


class ProtocolError(ValueError):
    """A batch, an assignment or an answer that is not as it must be; the text says why."""


class TooLarge(ProtocolError):
    """A batch of more bytes or measurements than is taken."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent does. `country` and `asn`: where the operator says that it is; `lists`: name -> its targets;
    `controls` and `empty`: for its self-tests; `helpers`: control helpers that it may ask itself, where it can;
    `every` and `jitter` in seconds; `silent`: an address that runs no resolver; `blocked`: sites known to be blocked
    there."""

    vantage: str
    every: float
    jitter: float
    lists: dict[str, tuple[Target, ...]]
    controls: tuple[Target, ...]
    country: str = ""
    asn: int = 0
    empty: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    silent: str = ""
    blocked: tuple[str, ...] = ()
    retries: int = 3
    simulated: bool = False


class Rejected(msgspec.Struct, frozen=True):
    """A measurement that the service will never take. `line` counts from 1; `uid` is empty where none could be read."""

    line: int
    uid: str
    reason: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: uids that are stored, and what is refused for good."""

    stored: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()


_MEASUREMENT = msgspec.json.Decoder(Measurement)
_ANSWER = msgspec.json.Decoder(Answer)
_ASSIGNMENT = msgspec.json.Decoder(Assignment)


def batch_of(measurements: Iterable[Measurement]) -> bytes:
    """A request's body."""
    return packed(msgspec.json.encode(m) for m in measurements)


def packed(lines: Iterable[bytes]) -> bytes:
    """A request's body of measurements that are JSON already, without line ends."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), 6, mtime=0)


def lines_of(body: bytes) -> Iterator[bytes]:
    """The lines of a body, unpacked no further than `MAX_BATCH`. Raises ProtocolError."""
    if len(body) > MAX_SENT:
        raise TooLarge(f"more than {MAX_SENT} bytes")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(body, MAX_BATCH + 1)
    except zlib.error as error:
        raise ProtocolError(f"no gzip stream: {error}") from None
    if len(content) > MAX_BATCH:
        raise TooLarge(f"more than {MAX_BATCH} bytes when it is unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise ProtocolError("the gzip stream is cut short or followed by something else")
    lines = [line for line in content.split(b"\n") if line]
    if len(lines) > MAX_LINES:
        raise TooLarge(f"more than {MAX_LINES} measurements")
    yield from lines


def measurement_of(line: bytes) -> Measurement:
    """One line. Raises ProtocolError."""
    if len(line) > MAX_LINE:
        raise ProtocolError(f"more than {MAX_LINE} bytes")
    try:
        return _MEASUREMENT.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(str(error)[:200]) from None


def answer_of(body: bytes) -> Answer:
    """The service's answer. Raises ProtocolError."""
    return _decoded(body, _ANSWER)


def assignment_of(body: bytes) -> Assignment:
    """An assignment. Raises ProtocolError."""
    return _decoded(body, _ASSIGNMENT)


def _decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(str(error)[:200]) from None

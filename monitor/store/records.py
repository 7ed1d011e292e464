"""A measurement as the bytes that are kept: JSON, compressed, without the bodies and certificates themselves.

Those are kept once per hash beside it; the record only says which of them the measurement carried, so that
what is loaded is what was saved and is judged as it was.
"""

import zlib
from collections.abc import Iterable, Mapping

import msgspec

from probes.measurement import Measurement

LEVEL = 3  # of zlib: level 6 saves 4 % more and takes twice as long
MAX_BYTES = 64 * 1024 * 1024  # of one record, unpacked; real ones have some 10 KB
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Measurement)


class RecordError(ValueError):
    """Bytes that are no measurement, or a measurement that contradicts itself."""


def encode(measurement: Measurement) -> bytes:
    """The record of a measurement: its JSON, zlib-compressed, each body and certificate emptied."""
    emptied = msgspec.structs.replace(
        measurement,
        bodies=dict.fromkeys(carried(measurement.bodies, body_hashes(measurement)), b""),
        certificates=dict.fromkeys(carried(measurement.certificates, certificate_hashes(measurement)), b""),
    )
    return pack(_ENCODER.encode(emptied))


def decode(record: bytes) -> Measurement:
    """The measurement of a record; its bodies and certificates are empty until `fill`. Raises RecordError."""
    try:
        return _DECODER.decode(unpack(record))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RecordError(f"no record of a measurement: {error}") from error


def fill(measurement: Measurement, bodies: Mapping[str, bytes], certificates: Mapping[str, bytes]) -> Measurement:
    """The measurement with the contents put back, by SHA-256; what is in neither mapping is left out."""
    return msgspec.structs.replace(
        measurement,
        bodies={digest: bodies[digest] for digest in measurement.bodies if digest in bodies},
        certificates={digest: certificates[digest] for digest in measurement.certificates if digest in certificates},
    )


def carried(contents: Mapping[str, bytes], referenced: Iterable[str]) -> list[str]:
    """The hashes of those contents that the measurement refers to, in a fixed order."""
    return sorted(set(contents) & set(referenced))


def body_hashes(measurement: Measurement) -> list[str]:
    """The SHA-256 of every body that an operation or a control's page names."""
    pages = [reply.page for reply in measurement.control if reply.page is not None]
    operations = [getattr(operation, "body_sha256", "") for operation in measurement.every_operation()]
    return [digest for digest in (*operations, *(page.body_sha256 for page in pages)) if digest]


def certificate_hashes(measurement: Measurement) -> list[str]:
    """The SHA-256 of every certificate in a chain that an operation names."""
    return [digest for operation in measurement.every_operation() for digest in getattr(operation, "chain", ())]


def pack(content: bytes) -> bytes:
    """The content, zlib-compressed. Raises RecordError where it is longer than MAX_BYTES."""
    if len(content) > MAX_BYTES:
        raise RecordError(f"{len(content)} bytes are too many for one record")
    return zlib.compress(content, LEVEL)


def unpack(packed: bytes) -> bytes:
    """The content of one whole zlib stream of at most MAX_BYTES. Raises RecordError."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, MAX_BYTES)
    except zlib.error as error:
        raise RecordError(f"damaged: {error}") from error
    if not stream.eof or stream.unused_data:
        raise RecordError("damaged: cut short, too long, or followed by something else")
    return content

"""What a middlebox reads in a client's first bytes: the name in a ClientHello, the Host of a request."""

import struct
from typing import Literal

import msgspec

from .line import Line

_LIMIT = 64 * 1024  # bytes that are waited for at most


class Opening(msgspec.Struct, frozen=True):
    """`name`: the SNI or the Host without its port, in lower case, or empty; `line`: the request line."""

    protocol: Literal["tls", "http", "other", "none"]
    name: str = ""
    line: str = ""


async def read_opening(line: Line) -> Opening:
    """Read as far as the name and leave everything to be read again; `none` where the client only hung up."""
    data = b""
    while True:
        found = parse_opening(data)
        if found is not None or len(data) > _LIMIT:
            break
        more = await line.read()
        if not more:
            break
        data += more
    line.unread(data)
    return found or Opening("other" if data else "none")


def parse_opening(data: bytes) -> Opening | None:
    """What the bytes are, or None while more are needed."""
    if not data:
        return None
    if data[0] == 0x16:
        whole = len(data) >= 5 and len(data) >= 5 + struct.unpack_from("!H", data, 3)[0]
        return Opening("tls", server_name(data)) if whole else None
    if not data[:1].isupper():
        return Opening("other")
    head, end, _rest = data.partition(b"\r\n\r\n")
    return _request(head.decode("latin-1")) if end else None


def _request(head: str) -> Opening:
    line, *headers = head.split("\r\n")
    fields = {key.strip().lower(): value.strip() for key, _, value in (h.partition(":") for h in headers)}
    return Opening("http", host_name(fields.get("host", "")), line)


def host_name(host: str) -> str:
    """A Host header without its port, in lower case."""
    name = host[: host.rfind(":")] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    return name.strip("[]").lower()


def server_name(record: bytes) -> str:
    """The SNI of a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3), empty where there is none."""
    try:
        at = 5 + 4 + 2 + 32  # record header, handshake header, version, random
        at += 1 + record[at]  # session id
        at += 2 + struct.unpack_from("!H", record, at)[0]  # cipher suites
        at += 1 + record[at]  # compression methods
        end = at + 2 + struct.unpack_from("!H", record, at)[0]
        at += 2
        while at + 4 <= end:
            kind, length = struct.unpack_from("!HH", record, at)
            if kind == 0:
                size = struct.unpack_from("!H", record, at + 7)[0]
                return record[at + 9 : at + 9 + size].decode("ascii", "replace").lower()
            at += 4 + length
    except (IndexError, struct.error):
        pass
    return ""

"""What a neutral listener answers over HTTP: one small page, or as many bytes as were asked for."""

import os
import re
from collections.abc import Iterator

import msgspec

MAX_BYTES = 1024 * 1024  # of one transfer
MAX_TRANSFERS = 16  # at once; who comes then is asked to come again
TRANSFER_DEADLINE = 30.0  # seconds of one: a throttled megabyte takes longer than a page
_CHUNK = 16 * 1024
_ASKED = re.compile(rb"GET /bytes/([0-9]{1,7}) HTTP/1\.[01]\r?\n")
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
_BODY = b"<!doctype html><title>neutral</title><p>neutral</p>\n"
_HTML, _BYTES = b"text/html", b"application/octet-stream"


class Reply(msgspec.Struct, frozen=True):
    """A head with its page, and then `length` bytes that do not compress."""

    head: bytes
    length: int = 0

    def parts(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
        yield self.head
        for at in range(0, self.length, _CHUNK):
            yield os.urandom(min(_CHUNK, self.length - at))


def reply_to(request: bytes, *, busy: bool) -> Reply:
    """The answer to a request's head; `busy`: no further transfer can be carried."""
    asked = _ASKED.match(request)
    if asked is None:
        return _page(b"200 OK")
    length = int(asked[1])
    if length > MAX_BYTES:
        return _page(b"404 Not Found")
    if busy and length:
        return _page(b"503 Service Unavailable")
    return Reply(_HEAD % (b"200 OK", _BYTES, length), length)


def _page(status: bytes) -> Reply:
    return Reply(_HEAD % (status, _HTML, len(_BODY)) + _BODY)

"""What a censor reads in clear text: the server name of a ClientHello, an HTTP request, a DNS question."""

import struct
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_SERVER_NAME = 0


class Request(NamedTuple):
    """The line and the Host of an HTTP request; `text` is path and query, percent-decoded."""

    host: str
    text: bytes


def server_name(stream: bytes) -> str | None:
    """The SNI of a ClientHello in TLS records; None while it is not whole, "" where there is none."""
    handshake = b""
    while len(stream) >= 5 and stream[0] == 22:
        length = int.from_bytes(stream[3:5], "big")
        handshake += stream[5 : 5 + length]
        stream = stream[5 + length :]
    return client_hello_name(handshake)


def client_hello_name(message: bytes) -> str | None:
    """The SNI of a ClientHello message; None while it is not whole, "" where there is none (RFC 8446 4.1.2)."""
    if len(message) < 4 or message[0] != 1 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        return None
    try:
        at = 4 + 2 + 32
        at += 1 + message[at]
        at += 2 + struct.unpack_from("!H", message, at)[0]
        at += 1 + message[at]
        end = at + 2 + struct.unpack_from("!H", message, at)[0]
        at += 2
        while at + 4 <= end:
            kind, length = struct.unpack_from("!HH", message, at)
            if kind == _SERVER_NAME:
                return message[at + 9 : at + 4 + length].decode("ascii", "replace").lower()
            at += 4 + length
    except (IndexError, struct.error):
        pass
    return ""


def request(stream: bytes) -> Request | None:
    """An HTTP request; None while its head is not whole or where it is none."""
    head, ended, _ = stream.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if not ended or len(words) != 3 or not words[2].startswith(b"HTTP/1"):
        return None
    host = next((line[5:].strip() for line in lines if line.lower().startswith(b"host:")), b"")
    return Request(
        host.decode("ascii", "replace").lower().split(":")[0], unquote_to_bytes(words[1].replace(b"+", b" "))
    )


def holds(text: bytes, phrase: str) -> bool:
    """Whether a phrase is in it, in UTF-8 or GB18030."""
    return phrase.encode() in text or phrase.encode("gb18030") in text


class Question(NamedTuple):
    """A DNS question; `end` is where it ends in the message."""

    name: str
    kind: int
    end: int


def question(message: bytes) -> Question | None:
    """The question of a query; None for what is none."""
    if len(message) < 17 or message[2] & 0x80 or message[4:6] != b"\0\x01":
        return None
    labels, at = [], 12
    while at < len(message) and message[at]:
        length = message[at]
        if length > 63:
            return None
        labels.append(message[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 5 > len(message):
        return None
    name = b".".join(labels).decode("ascii", "replace").lower()
    return Question(name, int.from_bytes(message[at + 1 : at + 3], "big"), at + 5)

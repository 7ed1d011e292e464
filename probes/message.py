"""DNS messages as bytes: our query, and the answers that are as simple as most are.

dnspython reads whatever is not simple, and builds what has an unusual name: it takes ten times as long.
"""

import re
import struct
from functools import cached_property
from socket import AF_INET6, inet_ntoa, inet_ntop

import dns.message
import dns.name
import dns.rdatatype

RD, CD = 0x0100, 0x0010  # header flags: recursion desired; checking disabled (RFC 1035 4.1.1, RFC 4035 3.2.2)
_PAYLOAD = 1232  # bytes of an answer over UDP, the DNS flag day's size
_PADDING, _OPTION = 12, 4  # EDNS option code (RFC 7830), and the bytes before an option's data
_A, _CNAME, _AAAA, _OPT, _IN = 1, 5, 28, 41, 1
_TYPES = {"A": _A, "CNAME": _CNAME, "AAAA": _AAAA, "HTTPS": 65}
_SIMPLE = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}", re.ASCII)
_LABEL = re.compile(rb"[A-Za-z0-9_-]+")
_LONGEST = 253  # characters of a name
_MOST = 64  # records of an answer that is simple
_FOREVER = 1 << 31  # seconds; a TTL beyond is none (RFC 2181 section 8)


class Query:
    """A recursive query for one name and type, with EDNS.

    `checking_disabled` asks not to validate DNSSEC. `pad`: the wire is made up to a multiple of so many bytes
    (RFC 7830).
    """

    def __init__(self, name: str, query_type: str, *, id: int, checking_disabled: bool = False, pad: int = 0) -> None:
        self.id = id
        self.wire_question = _question(name, query_type)
        self._flags = RD | CD * checking_disabled
        self._pad = pad

    @cached_property
    def question(self) -> list[dns.rrset.RRset]:
        """The question as dnspython has it."""
        return dns.message.from_wire(self.to_wire()).question

    def to_wire(self) -> bytes:
        """The bytes to send."""
        header = struct.pack("!HHHHHH", self.id, self._flags, 1, 0, 0, 1)
        size = len(header) + len(self.wire_question) + 11 + _OPTION
        padding = struct.pack("!HH", _PADDING, -size % self._pad) + bytes(-size % self._pad) if self._pad else b""
        options = struct.pack("!xHHIH", _OPT, _PAYLOAD, 0, len(padding)) + padding
        return header + self.wire_question + options


def _question(name: str, query_type: str) -> bytes:
    """The question section; raises dnspython's exceptions for a name that cannot be asked for."""
    kind = _TYPES.get(query_type) or int(dns.rdatatype.from_text(query_type))
    if _SIMPLE.fullmatch(name):
        labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\0"
    else:
        labels = dns.name.from_text(name).to_wire() or b""
    return labels + struct.pack("!HH", kind, _IN)


def simple_answer(wire: bytes, question: bytes) -> list[tuple[str, str, int]] | None:
    """Type, value and TTL of each record of an answer to our question, in dnspython's order and values.

    None unless it holds nothing but A, AAAA and CNAME records under plain names, and at most an OPT record.
    """
    try:
        return _read(wire, question)
    except (struct.error, IndexError):
        return None


def _read(wire: bytes, question: bytes) -> list[tuple[str, str, int]] | None:
    flags, questions, answers, authorities, others = struct.unpack_from("!HHHHH", wire, 2)
    at = 12 + len(question)
    if flags & 0x7800 or questions != 1 or answers > _MOST or authorities or others > 1 or wire[12:at] != question:
        return None
    sets: dict[tuple[str, int], tuple[int, dict[str, None]]] = {}
    for _ in range(answers):
        owner, at = _name(wire, at)
        kind, group, ttl, length = struct.unpack_from("!HHIH", wire, at)
        at += 10
        value = _value(wire, at, kind, length)
        if not owner or not value or group != _IN or ttl >= _FOREVER:
            return None
        at += length
        least, values = sets.get((owner.lower(), kind), (ttl, {}))
        if kind == _CNAME and values:  # there can be only one
            return None
        values[value] = None
        sets[owner.lower(), kind] = (min(least, ttl), values)
    if others and not _is_plain_opt(wire, at):
        return None
    return [(_NAMES[kind], value, ttl) for (_owner, kind), (ttl, values) in sets.items() for value in values]


_NAMES = {number: name for name, number in _TYPES.items()}


def _value(wire: bytes, at: int, kind: int, length: int) -> str:
    """The text of a record's data; empty where it is not simple."""
    data = wire[at : at + length]
    if len(data) != length:
        return ""
    if kind == _A and length == 4:
        return inet_ntoa(data)
    if kind == _AAAA and length == 16 and any(data[:10]):  # else an IPv4 address may stand in it
        return inet_ntop(AF_INET6, data)
    if kind == _CNAME:
        name, end = _name(wire, at)
        return name if end == at + length else ""
    return ""


def _name(wire: bytes, at: int) -> tuple[str, int]:
    """A name as it is spelled, and where it ends; empty where it is not simple. Pointers lead backwards only."""
    labels: list[bytes] = []
    end, lowest = 0, at
    while length := wire[at]:
        if length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | wire[at + 1]
            if at >= lowest:
                return "", end
            lowest = at
            continue
        label = wire[at + 1 : at + 1 + length]
        if length > 63 or len(label) != length or not _LABEL.fullmatch(label) or len(labels) > _LONGEST:
            return "", at
        labels.append(label)
        at += 1 + length
    name = b".".join(labels)
    return name.decode() if len(name) <= _LONGEST else "", end or at + 1


def _is_plain_opt(wire: bytes, at: int) -> bool:
    """Whether an OPT record follows that adds nothing to the response code, with no option but padding."""
    root, kind, _payload, extended, length = struct.unpack_from("!BHHIH", wire, at)
    at += 11
    if root or kind != _OPT or extended >> 24 or len(wire) < at + length:
        return False
    return length == 0 or (length >= _OPTION and struct.unpack_from("!HH", wire, at) == (_PADDING, length - _OPTION))

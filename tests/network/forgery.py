"""The packets that a censor forges, with the headers that are known of each (field notes, section 3)."""

import random
import socket
import struct

from .hello import Question
from .packet import ACK, FIN, PSH, RST, USUAL, Header, Packet, tcp, udp
from .rules import Rule

A, AAAA = 1, 28
_HENAN = bytes(range(1, 10)) + b"\0"
_DNS_TTLS = (0, 52, 119)  # of each injector; the first copies the query's


def resets(kind: str, of: Packet, chance: random.Random, server_ttl: int) -> tuple[list[bytes], list[bytes]]:
    """What goes to the client and what to the server."""
    flags, count, payload = RST | ACK, 1, b""
    match kind:
        case "I":
            flags, header = RST, Header(90, 0, df=False)
        case "II":
            count, header = 3, Header(200, 0, df=True)
        case "III":
            header = Header(248, chance.randint(0x9916, 0x9933), df=False)
        case "henan":
            header, payload = Header(58, 1, df=False), _HENAN
        case _:
            header = Header(server_ttl, 0, df=True)
    there, back = [], []
    for _ in range(count):
        if kind == "II":
            header = header._replace(ip_id=chance.randint(0x00A3, 0xFE5F))
        there.append(answer(of, flags, payload=payload, header=header))
        back.append(follow(of, flags, header))
    return there, [] if kind == "henan" else back


def answer(of: Packet, flags: int, *, payload: bytes = b"", header: Header = USUAL, window: int = 0) -> bytes:
    """A segment that the server might send next."""
    source, sport, destination, dport = of.flow
    back = (destination, dport, source, sport)
    length = len(of.payload) + bool(of.flags & 3)  # SYN and FIN count
    acknowledged = of.sequence + length if flags & ACK else 0
    return tcp(
        back, sequence=of.acknowledged, acknowledged=acknowledged, flags=flags, window=window, payload=payload,
        header=header,
    )  # fmt: skip


def follow(of: Packet, flags: int, header: Header) -> bytes:
    """A segment that the client might send next."""
    return tcp(
        of.flow, sequence=of.sequence + len(of.payload), acknowledged=of.acknowledged, flags=flags, header=header
    )


def page(of: Packet, content: bytes, server_ttl: int) -> bytes:
    """A whole HTTP answer and the end of the connection, in one segment."""
    return answer(of, PSH | ACK | FIN, payload=content, window=501, header=Header(server_ttl, 0x1234, df=True))


def dns_answers(rule: Rule, of: Packet, asked: Question, turn: int) -> list[bytes]:
    """One datagram each; `turn` counts how many this rule has given out. None for types other than A and AAAA."""
    if asked.kind not in (A, AAAA):
        return []
    six = asked.kind == AAAA
    pool = [a for a in rule.answers if (":" in a) == six]
    made = []
    for n in range(min(rule.count, len(pool))):
        address = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, pool[(turn + n) % len(pool)])
        record = struct.pack("!HHHIH", 0xC00C, asked.kind, 1, 60 + 37 * n, len(address)) + address
        message = _dns_head(of, asked, 0x8180 if of.payload[2] & 1 else 0x8400, answers=1) + record
        made.append(_datagram(of, message, _DNS_TTLS[n % 3] or of.ttl))
    return made


def dns_refusal(rule: Rule, of: Packet, asked: Question) -> bytes:
    """An answer that says no."""
    return _datagram(of, _dns_head(of, asked, 0x8180 | rule.rcode, answers=0), 57)


def _dns_head(of: Packet, asked: Question, flags: int, *, answers: int) -> bytes:
    query = of.payload
    return query[:2] + struct.pack("!HHHHH", flags, 1, answers, 0, 0) + query[12 : asked.end]


def _datagram(of: Packet, message: bytes, ttl: int) -> bytes:
    source, sport, destination, dport = of.flow
    return udp((destination, dport, source, sport), message, Header(ttl, 0x2A2A, df=False))

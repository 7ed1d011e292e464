"""The censor of one client: sees each packet that passes the link, and says what becomes of it. Does no I/O."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from . import forgery
from .hello import Question, holds, question, request, server_name
from .initial import quic_name
from .packet import ACK, FIN, RST, SYN, TCP, UDP, Header, Packet, unreachable
from .rules import Rule

_STREAM = 16 * 1024  # bytes of a connection that are looked at
_BURST = 12_000  # bytes that a throttled connection may send at once
_SOON = 0.001  # seconds after which a forged packet leaves, and between two of them
_ROUTER, _ROUTER_SIX = "202.97.33.1", "240e:97::1"


class Fate(msgspec.Struct):
    """What becomes of a packet; `forged` are (seconds from now, whether to the client, packet)."""

    passes: bool = True
    diverted: bool = False
    forged: list[tuple[float, bool, bytes]] = []


class _Bucket:
    """Bytes that may pass."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._level, self._at = rate / 8, float(_BURST), now

    def take(self, size: int, now: float) -> bool:
        self._level = min(_BURST, self._level + (now - self._at) * self._rate)
        self._at = now
        if size > self._level:
            return False
        self._level -= size
        return True


class _Flow:
    """A TCP connection of the client's."""

    def __init__(self, sequence: int) -> None:
        self._first = sequence + 1
        self._parts: dict[int, bytes] = {}
        self.stream = b""
        self.judged = self.dropped = self.diverted = self.hit = False
        self.bucket: _Bucket | None = None

    def add(self, packet: Packet) -> None:
        """Take a segment, whatever order they come in."""
        at = (packet.sequence - self._first) & 0xFFFFFFFF
        if packet.payload and at < _STREAM:
            self._parts[at] = packet.payload
        while (part := self._parts.pop(len(self.stream), None)) is not None:
            self.stream += part


class Censor:
    """`clock` gives seconds as this client counts them: waits that it skips pass here too. `counts` says what was done."""

    def __init__(self, rules: Sequence[Rule], clock: Callable[[], float], seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._rules = rules
        self._clock = clock
        self._chance = random.Random(seed)
        self._flows: dict[tuple[int, str, int], _Flow] = {}
        self._residual: dict[tuple[int, str, int], tuple[float, Rule]] = {}  # protocol, address, port
        self._ttls: dict[str, int] = {}
        self._turns: Counter[int] = Counter()

    def outbound(self, packet: Packet) -> Fate:
        """A packet of the client's."""
        if not self._rules:
            return Fate()
        for rule in self._rules:
            if rule.sees == "address" and rule.does != "divert" and self._meets(rule, packet):
                return self._at_address(rule, packet)
        if packet.protocol == TCP:
            return self._tcp(packet)
        if packet.protocol == UDP:
            return self._dns(packet) if packet.dport == 53 else self._quic(packet)
        return Fate()

    def inbound(self, packet: Packet) -> Fate:
        """A packet for the client."""
        self._ttls[packet.source] = packet.ttl
        flow = self._flows.get((packet.dport, packet.source, packet.sport))
        return Fate(passes=flow is None or self._within(flow, packet))

    def _within(self, flow: _Flow, packet: Packet) -> bool:
        if flow.bucket is None or not packet.payload or flow.bucket.take(len(packet.data), self._clock()):
            return True
        self.counts["throttled"] += 1
        return False

    def _meets(self, rule: Rule, packet: Packet) -> bool:
        protocol = {"tcp": TCP, "udp": UDP}.get(rule.protocol, packet.protocol)
        return protocol == packet.protocol and rule.meets(packet.destination, packet.dport)

    def _at_address(self, rule: Rule, packet: Packet) -> Fate:
        if rule.does == "drop":
            self.counts["drop address"] += 1
            return Fate(passes=False)
        if not packet.flags & SYN:
            return Fate()
        self.counts[rule.does] += 1
        forged = forgery.answer(packet, RST | ACK, header=Header(57, 0, df=True))
        if rule.does == "unreachable":
            forged = unreachable(packet, _ROUTER if packet.version == 4 else _ROUTER_SIX)
        return Fate(passes=False, forged=[(_SOON, True, forged)])

    def _tcp(self, packet: Packet) -> Fate:
        key = (packet.sport, packet.destination, packet.dport)
        if packet.flags & SYN:
            flow = self._flows[key] = _Flow(packet.sequence)
            flow.diverted = any(r.does == "divert" and self._meets(r, packet) for r in self._rules)
        elif key not in self._flows:
            return Fate()
        flow = self._flows[key]
        if flow.diverted:
            return Fate(diverted=True)
        before = self._left(packet)
        if flow.dropped or (before is not None and before.does == "drop"):
            self.counts["drop residual"] += not flow.dropped
            return Fate(passes=False)
        if not packet.payload or flow.hit:
            return Fate(passes=self._within(flow, packet))
        if before is not None:
            self.counts["residual"] += 1
            return self._react(before, flow, packet)
        flow.add(packet)
        rule = None if flow.judged else self._judge(flow, packet)
        if rule is not None:
            self.counts[f"{rule.does} {rule.sees}"] += 1
            return self._react(rule, flow, packet)
        return Fate(passes=self._within(flow, packet))

    def _left(self, packet: Packet) -> Rule | None:
        """The rule whose residual blocking still holds here."""
        key = (packet.protocol, packet.destination, packet.dport)
        until, rule = self._residual.get(key, (0.0, None))
        return rule if until > self._clock() else None

    def _judge(self, flow: _Flow, packet: Packet) -> Rule | None:
        """The rule that a connection has just broken; each is looked at once."""
        if flow.stream[:1] == b"\x16":
            name, asked = server_name(flow.stream), None
        else:
            name, asked = None, request(flow.stream)
        flow.judged = name is not None or asked is not None or len(flow.stream) >= _STREAM
        for rule in self._rules:
            seen = (
                (rule.sees == "sni" and bool(name) and rule.names_it(name or ""))
                or (rule.sees == "host" and asked is not None and rule.names_it(asked.host))
                or (rule.sees == "phrase" and asked is not None and any(holds(asked.text, p) for p in rule.phrases))
            )
            if seen and rule.meets(packet.destination, packet.dport) and self._chance.random() < rule.probability:
                return rule
        return None

    def _react(self, rule: Rule, flow: _Flow, packet: Packet) -> Fate:
        if rule.residual and self._left(packet) is None:
            until = self._clock() + rule.residual
            self._residual[packet.protocol, packet.destination, packet.dport] = until, rule
        ttl = self._ttls.get(packet.destination, 60)
        match rule.does:
            case "drop":
                flow.dropped = True
                return Fate(passes=False)
            case "reset":
                flow.hit = True
                there, back = forgery.resets(rule.kind, packet, self._chance, ttl)
                return Fate(forged=_spread(there, to_client=True) + _spread(back, to_client=False))
            case "fin":
                flow.dropped = True
                made = forgery.answer(packet, FIN | ACK, window=501, header=Header(ttl, 0, df=True))
                return Fate(passes=False, forged=[(_SOON, True, made)])
            case "page":
                flow.hit = True
                return Fate(forged=[(_SOON, True, forgery.page(packet, rule.page, ttl))])
            case "throttle":
                flow.bucket = _Bucket(rule.rate, self._clock())
        return Fate()

    def _dns(self, packet: Packet) -> Fate:
        asked = question(packet.payload)
        rule = asked and self._dns_rule(asked, packet)
        if asked is None or not rule:
            return Fate()
        self.counts[f"{rule.does} dns"] += 1
        if rule.does == "forge":
            turn = self._turns[asked.kind]
            made = forgery.dns_answers(rule, packet, asked, turn)
            self._turns[asked.kind] += len(made)
            return Fate(forged=_spread(made, to_client=True))
        refusal = [forgery.dns_refusal(rule, packet, asked)] if rule.does == "rcode" else []
        return Fate(passes=False, forged=_spread(refusal, to_client=True))

    def _dns_rule(self, asked: Question, packet: Packet) -> Rule | None:
        for rule in self._rules:
            if rule.sees == "dns" and rule.names_it(asked.name) and rule.meets(packet.destination, packet.dport):
                return rule if self._chance.random() < rule.probability else None
        return None

    def _quic(self, packet: Packet) -> Fate:
        if self._left(packet) is not None:
            self.counts["drop quic"] += 1
            return Fate(passes=False)
        rules = [r for r in self._rules if r.sees == "quic" and r.meets(packet.destination, packet.dport)]
        name = quic_name(packet.payload) if rules and packet.sport > packet.dport else None
        for rule in rules:
            if name and rule.names_it(name) and self._chance.random() < rule.probability:
                self.counts["quic"] += 1
                self._residual[UDP, packet.destination, packet.dport] = self._clock() + rule.residual, rule
        return Fate()


def _spread(packets: Sequence[bytes], *, to_client: bool) -> list[tuple[float, bool, bytes]]:
    return [(_SOON * (n + 1), to_client, data) for n, data in enumerate(packets)]

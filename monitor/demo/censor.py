"""The censor in the path: rules that may be switched on and off while it runs, and its memory of a hit."""

import random
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from typing import Literal, get_args
from urllib.parse import unquote_to_bytes

import msgspec

from probes.address import parse
from probes.clock import Clock

from .opening import Opening

Kind = Literal[
    "dns_forge", "dns_second", "dns_nxdomain", "dns_refused", "dns_servfail", "dns_timeout", "dns_empty",
    "tcp_refuse", "tcp_blackhole", "tcp_unreachable", "tcp_reset",
    "tls_reset", "tls_drop", "tls_close", "mitm",
    "http_reset", "http_drop", "http_close", "block_page", "redirect",
    "throttle",
]  # fmt: skip
KINDS: frozenset[str] = frozenset(get_args(Kind))
_CONNECT = frozenset({"tcp_refuse", "tcp_blackhole", "tcp_unreachable"})
_TLS = frozenset({"tls_reset", "tls_drop", "tls_close", "mitm"})
_HTTP = frozenset({"http_reset", "http_drop", "http_close", "block_page", "redirect"})
_SERVES = {"block_page": 80, "redirect": 80, "mitm": 443}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the censor does. A condition that is left empty holds always.

    Conditions: `names` are domains, each with all below it (the name asked for, the SNI, the Host); `phrases`
    are looked for in the request line, percent-decoded, as UTF-8 and GB18030; `addresses` (or blocks such as
    `203.0.113.0/24`) and `ports` are where the connection goes, for DNS rules the resolver that is asked;
    `query_types` of DNS rules. `block_page`, `redirect` (port 80) and `mitm` (443) also serve at `addresses`
    where the world has nothing, so that a forged answer can lead there.

    DNS: `forged` addresses are given out in turn, `count` answers to each query; a made-up Teredo address
    answers AAAA where `forged` has no IPv6; the true answer `follows` after `delay` seconds (default: only
    after `dns_forge`). `dns_second` lets the true answer pass and sends `forged`, or the same again, later.

    `authority`: whose certificate `mitm` shows; with a `body` it serves that, otherwise the site behind it.
    `rate`: bytes per second of `throttle`. `probability` of acting on a hit. `residual`: seconds after a hit
    in which connections of the same client to that address and port are reset (or dropped, after a drop).
    """

    kind: Kind
    names: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    query_types: tuple[str, ...] = ("A", "AAAA")
    forged: tuple[str, ...] = ()
    count: int = 1
    follows: bool | None = None
    delay: float = 0.04
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    location: str = ""
    authority: Literal["self_signed", "untrusted"] = "self_signed"
    rate: int = 17_500  # the 140 kbit/s of Twitter in Russia, 2021
    probability: float = 1.0
    residual: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of rule")
        if self.kind.startswith("tcp_") and (self.names or self.phrases):
            raise ValueError(f"{self.kind} cannot look for a name: TCP carries none")

    def is_for(self, address: str, port: int) -> bool:
        """Whether the rule holds for a destination."""
        return (not self.ports or port in self.ports) and (
            not self.addresses or any(_holds(block, address) for block in self.addresses)
        )

    def is_about(self, name: str) -> bool:
        """Whether the rule holds for a name; an empty one is none of those it lists."""
        return not self.names or any(name == own or name.endswith(f".{own}") for own in self.names)

    def is_in(self, line: str) -> bool:
        """Whether the request line holds one of the phrases."""
        texts = _read(line) if self.phrases else ()
        return not self.phrases or any(phrase.lower() in text for phrase in self.phrases for text in texts)


class Censor:
    """The rules in force, in order (the first that matches acts; `throttle` adds to it), and its memory.

    Change `rules` at will. `seed` makes `probability` repeatable; `clock` is what `residual` is measured by.
    `hits` counts what was done, by kind.
    """

    def __init__(self, rules: Iterable[Rule] = (), *, seed: int = 0, clock: Clock | None = None) -> None:
        self.rules: list[Rule] = list(rules)
        self.hits: dict[str, int] = {}
        self._random = random.Random(seed)
        self._clock = clock or Clock()
        self._residual: dict[tuple[str, str, int], tuple[float, bool]] = {}
        self._turn = 0

    def on_query(self, name: str, query_type: str, address: str) -> Rule | None:
        """The rule for a DNS query to an address."""
        for rule in self.rules:
            asked = rule.kind.startswith("dns_") and query_type in rule.query_types and rule.is_about(name)
            if asked and rule.is_for(address, 53) and self._acts(rule):
                return rule
        return None

    def on_connect(self, address: str, port: int) -> Rule | None:
        """The rule for a SYN."""
        return self._first(_CONNECT, address, port)

    def on_accept(self, client: str, address: str, port: int) -> Literal["", "reset", "drop"]:
        """What happens to a connection that was just made, before it carries anything."""
        until, drops = self._residual.get((client, address, port), (0.0, False))
        if self._clock.monotonic() < until:
            return "drop" if drops else "reset"
        return "reset" if self._first(frozenset({"tcp_reset"}), address, port) else ""

    def on_opening(self, client: str, address: str, port: int, opening: Opening) -> Rule | None:
        """The rule for the first bytes of a client."""
        kinds = {"tls": _TLS, "http": _HTTP}.get(opening.protocol, frozenset())
        rule = self._first(kinds, address, port, opening)
        if rule is not None and rule.residual:
            self._remember(rule, (client, address, port))
        return rule

    def rate(self, address: str, port: int, opening: Opening) -> int:
        """The bytes per second to which a connection is slowed, 0 for no limit."""
        rule = self._first(frozenset({"throttle"}), address, port, opening)
        return rule.rate if rule else 0

    def serves(self, address: str, port: int) -> bool:
        """Whether the censor has a server of its own at an address of nobody's."""
        rules = [rule for rule in self.rules if rule.addresses and port == _SERVES.get(rule.kind)]
        return any(rule.is_for(address, port) for rule in rules)

    def next_forged(self, addresses: tuple[str, ...]) -> str:
        """The next address of a pool; handed out in turn, as the Chinese firewall does."""
        self._turn += 1
        return addresses[(self._turn - 1) % len(addresses)]

    def _first(self, kinds: frozenset[str], address: str, port: int, opening: Opening | None = None) -> Rule | None:
        for rule in self.rules:
            hit = rule.kind in kinds and rule.is_for(address, port) and _reads(rule, opening)
            if hit and self._acts(rule):
                return rule
        return None

    def _acts(self, rule: Rule) -> bool:
        acts = rule.probability >= 1 or self._random.random() < rule.probability
        if acts:
            self.hits[rule.kind] = self.hits.get(rule.kind, 0) + 1
        return acts

    def _remember(self, rule: Rule, where: tuple[str, str, int]) -> None:
        now = self._clock.monotonic()
        self._residual = {key: value for key, value in self._residual.items() if value[0] > now}
        self._residual[where] = (now + rule.residual, rule.kind.endswith("_drop"))


def _reads(rule: Rule, opening: Opening | None) -> bool:
    return opening is None or (rule.is_about(opening.name) and rule.is_in(opening.line))


@lru_cache(maxsize=4096)
def _holds(block: str, address: str) -> bool:
    parsed = parse(address)
    return parsed is not None and parsed in ip_network(block)


@lru_cache(maxsize=256)
def _read(line: str) -> tuple[str, ...]:
    raw = unquote_to_bytes(line.replace("+", " "))
    return tuple(raw.decode(charset, "replace").lower() for charset in ("utf-8", "gb18030"))

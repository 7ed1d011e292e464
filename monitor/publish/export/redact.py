"""The facts of a measurement without what could lead to the vantage (docs/ethics.md says what, and what stays).

The verdict stays the same: what rules ask about is kept, and an address that a known block page is recognised by
is the page's, not its reader's. A changed body gets a new hash; its old one is left out everywhere, since four
billion addresses are soon tried.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from blocklists import Fingerprints
from monitor.judge.verdict import Verdict
from probes.address import kind
from probes.dns import DNSLookup
from probes.experiment import AnyOperation, Attempt, Experiment
from probes.http import HTTPRoundTrip
from probes.measurement import ControlPage, ControlReply, Measurement

from . import addresses, capture

Headers = tuple[tuple[str, str], ...]
_COOKIE = re.compile(r"(?s)([^=;,]*=)?.*")
_NEAR = 2  # hops within which a router tells where the vantage is
_NAMED = re.compile(r"body-\d{1,9}")
_MOST_TRIES = 100  # to find the addresses that matter; a page may be made to hold thousands


class Redacted(msgspec.Struct, frozen=True, kw_only=True):
    """What may be published. `kinds` are the words of what was replaced or left out (`words.REDACTED`)."""

    measurement: Measurement
    verdict: Verdict
    kinds: tuple[str, ...] = ()


def redact(measurement: Measurement, verdict: Verdict, fingerprints: Fingerprints) -> Redacted:
    """The measurement and its verdict as they may be published; pure. Doing it twice changes nothing more."""
    published = {} if verdict.outcome == "ok" else measurement.bodies  # `record` publishes no others
    censor = _Censor(_kept(measurement, published, fingerprints), fingerprints, _digests(measurement, published))
    censor.hide(_near_routers(measurement))
    bodies = {}
    for digest, body in published.items():
        masked = censor.body(body)
        censor.digests[digest] = digest if masked == body else hashlib.sha256(masked).hexdigest()
        bodies[censor.digests[digest]] = masked
    made = msgspec.structs.replace(
        measurement,
        operations=tuple(censor.operation(operation) for operation in measurement.operations),
        experiments=tuple(censor.experiment(experiment) for experiment in measurement.experiments),
        pcap=b"" if verdict.outcome == "ok" else censor.packets(measurement.pcap),
        control=tuple(censor.reply(reply) for reply in measurement.control),
        bodies=dict(sorted(bodies.items())),
    )
    reason = msgspec.structs.replace(verdict, reason=censor.text(verdict.reason))
    return Redacted(measurement=made, verdict=reason, kinds=tuple(sorted(censor.kinds)))


class _Censor:
    """Replaces, and notes what kinds of things it replaced."""

    def __init__(self, kept: frozenset[str], fingerprints: Fingerprints, digests: dict[str, str]) -> None:
        self.kinds: set[str] = set()
        self.digests = digests  # of each body as it was → as it is published
        self._kept = kept
        self._fingerprints = fingerprints
        self._hosts: dict[str, str] = {}  # nameservers and routers: one that is both has one name
        self._routers: frozenset[str] = frozenset()
        self._stand_ins: dict[str, str] = {}
        self._unpublished: dict[str, str] = {}

    def hide(self, routers: Iterable[str]) -> None:
        """Routers near the vantage: a reason that names one names it by its stand-in, too."""
        self._stand_ins |= {addresses.canonical(router): self._host(router) for router in routers}
        self._routers = frozenset(self._stand_ins)

    def _host(self, address: str) -> str:
        """Its class and a number."""
        return self._hosts.setdefault(addresses.canonical(address), f"{kind(address)}-{len(self._hosts) + 1}")

    def text(self, text: str) -> str:
        return self._noted("address", text, addresses.replace(text, self._kept, self._stand_ins))

    def body(self, body: bytes) -> bytes:
        masked = addresses.replace_bytes(body, self._kept, self._stand_ins)
        if masked != body:
            self.kinds |= {"address", "hash"}
        return masked

    def packets(self, pcap: bytes) -> bytes:
        """Those of recorded steps."""
        known = self._kept - self._routers
        made = capture.redact(pcap, known=known.__contains__, mask=lambda text: addresses.cross_out(text, self._kept))
        self.kinds |= {"packets"} if made != pcap else set()
        return made

    def experiment(self, experiment: Experiment) -> Experiment:
        """Its operations as the plain client's are."""
        return msgspec.structs.replace(experiment, tries=tuple(self._attempt(attempt) for attempt in experiment.tries))

    def _attempt(self, attempt: Attempt) -> Attempt:
        router = attempt.router
        if addresses.canonical(router) in self._routers:
            router = self._noted("router", router, self._host(router))
        else:
            router = self.text(router)
        return msgspec.structs.replace(
            attempt, sent=self.text(attempt.sent), router=router,
            operations=tuple(self.operation(operation, apart=True) for operation in attempt.operations),
        )  # fmt: skip

    def operation(self, operation: AnyOperation, *, apart: bool = False) -> AnyOperation:
        """`apart`: bodies that are not published stay alike or apart, by names."""
        if isinstance(operation, DNSLookup):
            return self._lookup(operation)
        if not isinstance(operation, HTTPRoundTrip):
            return operation
        return msgspec.structs.replace(
            operation, url=self.text(operation.url), location=self.text(operation.location),
            title=self.text(operation.title), headers=self._headers(operation.headers),
            body_sha256=self._digest(operation.body_sha256, apart=apart),
        )  # fmt: skip

    def reply(self, reply: ControlReply) -> ControlReply:
        page = reply.page
        if page is not None:
            page = msgspec.structs.replace(
                page, title=self.text(page.title), headers=self._headers(page.headers),
                body_sha256=self._digest(page.body_sha256, alone=not reply.source.startswith("vantage:")),
            )  # fmt: skip
        return msgspec.structs.replace(reply, url=self.text(reply.url), page=page)

    def _lookup(self, lookup: DNSLookup) -> DNSLookup:
        """The host's own nameserver, by its class; one that is configured by address is named by that anyway."""
        if lookup.resolver != "system" or not lookup.server:
            return lookup
        address, _, port = lookup.server.partition(" ")
        if kind(address) == "invalid":
            return lookup
        self.kinds.add("resolver")
        return msgspec.structs.replace(lookup, server=f"{self._host(address)} {port}".rstrip())

    def _headers(self, headers: Headers) -> Headers:
        return tuple((name, self._value(name, self.text(value))) for name, value in headers)

    def _value(self, name: str, value: str) -> str:
        if name.lower() != "set-cookie" or self._fingerprints.match_page(((name, value),), b""):
            return value
        return self._noted("cookie", value, _COOKIE.sub(r"\1-", value, count=1))

    def _digest(self, digest: str, *, alone: bool = False, apart: bool = False) -> str:
        """`alone`: what a helper received by itself, which holds nothing of a vantage."""
        if _NAMED.fullmatch(digest):  # by this function, before
            return digest
        instead = digest if alone else ""
        if apart and digest and digest not in self.digests:
            instead = self._unpublished.setdefault(digest, f"body-{len(self._unpublished) + 1}")
        return self._noted("hash", digest, self.digests.get(digest, instead))

    def _noted(self, what: str, before: str, after: str) -> str:
        if before != after:
            self.kinds.add(what)
        return after


def _digests(measurement: Measurement, published: Mapping[str, bytes]) -> dict[str, str]:
    """The hashes that may stay: of published bodies, and of what vantage and control received alike."""
    ours = {op.body_sha256 for op in measurement.every_operation() if isinstance(op, HTTPRoundTrip)}
    theirs = {page.body_sha256 for page in _control_pages(measurement)}
    return {digest: digest for digest in (ours & theirs) | published.keys()}


def _kept(measurement: Measurement, bodies: Mapping[str, bytes], fingerprints: Fingerprints) -> frozenset[str]:
    """The addresses that may stand in texts: recorded ones, the target's, and those that block pages are known by."""
    kept = {addresses.canonical(address) for address in _recorded(measurement)}
    kept |= addresses.found(f"{measurement.target} {measurement.url}")
    for operation in measurement.every_operation():
        if isinstance(operation, HTTPRoundTrip):
            body = bodies.get(operation.body_sha256, b"")
            kept |= _telling(operation.headers, body, frozenset(kept), fingerprints)
    return frozenset(kept)


def _telling(headers: Headers, body: bytes, kept: frozenset[str], fingerprints: Fingerprints) -> set[str]:
    """The addresses without which the page would not be recognised any more."""
    before = fingerprints.match_page(headers, body)
    if not before:
        return set()
    there = set().union(*(addresses.found(value) for _name, value in headers), addresses.found(body.decode("latin-1")))

    def recognised(keep: set[str]) -> bool:
        stand_ins: dict[str, str] = {}
        masked = tuple((name, addresses.replace(value, keep, stand_ins)) for name, value in headers)
        return fingerprints.match_page(masked, addresses.replace_bytes(body, keep, stand_ins)) == before

    asked = sorted(there - kept)
    tries = iter(range(_MOST_TRIES))

    def among(some: list[str]) -> set[str]:
        """Those of some that it takes; halved until they stand alone."""
        if not some or next(tries, None) is None or recognised({*kept, *asked} - {*some}):
            return set()
        if len(some) == 1:
            return set(some)
        middle = len(some) // 2
        return among(some[:middle]) | among(some[middle:])

    return among(asked)


def _recorded(measurement: Measurement) -> Iterator[str]:
    """Every address that a step, the control or the list of networks names."""
    for operation in measurement.every_operation():
        if isinstance(operation, DNSLookup):
            for response in operation.responses:
                yield from (record.value for record in response.records)
        else:
            yield operation.address
    for attempt in _attempts(measurement):
        yield attempt.address
        if not _is_near(attempt):
            yield attempt.router
    yield from (flow.address for flow in measurement.flows)
    for reply in measurement.control:
        yield from reply.addresses
        yield from (endpoint.address for endpoint in reply.endpoints)
    yield from (address for address, _number in measurement.asns)


def _attempts(measurement: Measurement) -> Iterator[Attempt]:
    return (attempt for experiment in measurement.experiments for attempt in experiment.tries)


def _is_near(attempt: Attempt) -> bool:
    """Whether its router is one of the first, or has an address of a private network."""
    return kind(attempt.router) != "invalid" and (attempt.ttl <= _NEAR or kind(attempt.router) != "global")


def _near_routers(measurement: Measurement) -> list[str]:
    """Each once, the nearest first."""
    near = sorted((a for a in _attempts(measurement) if _is_near(a)), key=lambda a: (a.ttl, a.router))
    return list(dict.fromkeys(attempt.router for attempt in near))


def _control_pages(measurement: Measurement) -> Iterable[ControlPage]:
    return (reply.page for reply in measurement.control if reply.page is not None)

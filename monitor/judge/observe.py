"""What happened, flat: a measurement's operations put beside what the control saw.

A `Case` holds everything that rules ask about: answers (one row a lookup), observations (one row a contact with
one address), what the control knows, and how each try of the plain client ended.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from blocklists import Fingerprint, Fingerprints
from probes.address import embedded_ipv4, is_ipv6, is_name
from probes.dns import DNSLookup
from probes.failure import NO_ANSWER
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.url import InvalidURL, parse_url

from .observation import Answer, Observation, Try
from .reference import Reference


class Case:
    """One measurement as the rules see it. Built once, read by every rule."""

    def __init__(self, measurement: Measurement, fingerprints: Fingerprints) -> None:
        self.measurement = measurement
        self.fingerprints = fingerprints
        self.reference = Reference(measurement)
        self.fired: dict[str, list[Any]] = {}  # what `rules.fire` found, by stage
        self._places: dict[str, tuple[str, int]] = {}
        self._vouched: dict[int, frozenset[str]] = {}
        self._sites: dict[tuple[str, int], bool | None] = {}
        self._matches: dict[tuple[str, int, int, int, str], tuple[Fingerprint, ...]] = {}
        self.nat64 = tuple(p for test in measurement.self_tests for p in test.nat64)
        self.answers = tuple(_answers(measurement.operations))
        self.pages = {op.flow: op for op in measurement.operations if isinstance(op, HTTPRoundTrip)}
        self._plain = _plain_addresses(self.answers)
        self.observations = tuple(self._observations())
        self._contacts = _by_hop(self.observations)
        self._lookups = _by_hop([a for a in self.answers if not a.checking_disabled])

    @cached_property
    def tries(self) -> tuple[Try, ...]:
        """The plain client's tries, the first look first."""
        attempts = sorted({a.attempt for a in self.answers} | {o.attempt for o in self.observations})
        return tuple(self._try(attempt) for attempt in attempts)

    @property
    def first(self) -> Try:
        """The first look."""
        return self.tries[0] if self.tries else _NOTHING

    @property
    def host(self) -> str:
        """The host of the target's URL."""
        return self.host_of(self.measurement.url)

    @property
    def is_phrase(self) -> bool:
        """Whether the target is a phrase, which no plain client opens."""
        return not self.measurement.url

    def answers_at(self, hop: int, *, attempt: int | None = None) -> list[Answer]:
        """Lookups of a hop, CD queries left out."""
        return [a for a in self._lookups.get(hop, ()) if attempt is None or attempt == a.attempt]

    def contacts(self, hop: int, *, attempt: int | None = None) -> list[Observation]:
        """Contacts of a hop."""
        return [o for o in self._contacts.get(hop, ()) if attempt is None or attempt == o.attempt]

    def vouched_by_encrypted(self, hop: int) -> frozenset[str]:
        """Addresses that an encrypted resolver whose certificate verified gave."""
        if hop not in self._vouched:
            found = (a for answer in self.answers_at(hop) if answer.encrypted for a in answer.addresses)
            self._vouched[hop] = frozenset(found)
        return self._vouched[hop]

    def encrypted_answered(self, hop: int) -> bool:
        """Whether such a resolver answered at all (an answer of no address is an answer)."""
        return any(a.encrypted and (a.failure is None or a.failure == NO_ANSWER) for a in self.answers_at(hop))

    def is_site(self, address: str, hop: int) -> bool | None:
        """Whether the address is the site's: by certificate, control, encrypted resolver, then AS. None: unknown."""
        key = (address, hop)
        if key not in self._sites:
            self._sites[key] = self._is_site(embedded_ipv4(address, self.nat64), hop)
        return self._sites[key]

    def _is_site(self, address: str, hop: int) -> bool | None:
        for seen in self.contacts(hop):
            if seen.valid_tls and embedded_ipv4(seen.address, self.nat64) == address:
                return True
        if is_name(address):  # where a proxy's far side resolves it to is not known
            return None
        reference = self.reference.at(hop)
        known = reference.addresses | self.vouched_by_encrypted(hop)
        if address in known or reference.valid_at(address):
            return True
        if not known and not reference.dns_known:
            return None
        asns = dict(self.measurement.asns)
        ours, theirs = asns.get(address, 0), {asns.get(a, 0) for a in known} | reference.asns
        return bool(ours and ours in theirs and not reference.invalid_at(address))

    def matches(self, seen: Observation) -> list[Fingerprint]:
        """Fingerprints in the page of a contact."""
        key = (seen.address, seen.port, seen.hop, seen.attempt, seen.url)
        if key not in self._matches:
            self._matches[key] = self._search(next((p for p in self.pages.values() if _key(p) == key), None))
        return list(self._matches[key])

    def _search(self, page: HTTPRoundTrip | None) -> tuple[Fingerprint, ...]:
        if page is None:
            return ()
        return self.fingerprints.match_page(page.headers, self.measurement.bodies.get(page.body_sha256, b""))

    def confirms(self, fingerprint: Fingerprint) -> bool:
        """Whether a fingerprint proves a block here: national and ISP pages, products' where the country agrees."""
        country = self.measurement.vantage.country
        if fingerprint.scope not in ("nat", "isp", "prod", "injb", "prov"):
            return False
        if country and fingerprint.countries:
            return country in fingerprint.countries
        return fingerprint.scope in ("nat", "isp")

    def _observations(self) -> Iterable[Observation]:
        handshakes = {op.flow: op for op in self.measurement.operations if isinstance(op, TLSHandshake)}
        for op in self.measurement.operations:
            if isinstance(op, TCPConnect):
                yield self._observation(op, handshakes.get(op.flow), self.pages.get(op.flow))
            elif isinstance(op, HTTPRoundTrip) and not op.address:  # a redirect that leads nowhere
                yield self._observation(TCPConnect(started=op.started, finished=op.finished, hop=op.hop,
                                                   attempt=op.attempt, address="", port=0), None, op)  # fmt: skip

    def _observation(
        self, connect: TCPConnect, handshake: TLSHandshake | None, page: HTTPRoundTrip | None
    ) -> Observation:
        last = page or handshake or connect
        if handshake is None and page is not None and self.measurement.recorded and _is_verified(page):
            handshake = _assumed(page, self.host_of(page.url))
        name = handshake.server_name if handshake else self.host_of(page.url if page else self.url_at(connect.hop))
        name = name or (connect.address if is_name(connect.address) else "")
        reference, behind = self.reference.at(connect.hop), embedded_ipv4(connect.address, self.nat64)
        return Observation(
            attempt=connect.attempt, hop=connect.hop, started=connect.started, name=name,
            url=page.url if page else "", address=connect.address, port=connect.port,
            plain=connect.address in self._plain.get((connect.hop, connect.attempt), ()) or name == connect.address
            or not connect.address or is_name(connect.address),
            layer="http" if page else "tls" if handshake else "tcp", failure=last.failure,
            server_name=handshake.server_name if handshake else "",
            certificate_failure=handshake.certificate_failure if handshake else None,
            chain=handshake.chain if handshake else (), alert=handshake.alert if handshake else "",
            status=page.status if page else 0, title=page.title if page else "",
            body_length=page.body_length if page else 0, body_sha256=page.body_sha256 if page else "",
            cut=page.cut if page else "", location=page.location if page else "",
            expected=page.expected if page else None,
            flow=connect.flow, control_tcp=reference.tcp(behind, connect.port),
            control_tls=reference.tls(behind, connect.port, handshake.server_name if handshake else name),
        )  # fmt: skip

    def url_at(self, hop: int) -> str:
        """The URL of a hop: the target's own, or where the redirect before it led."""
        if hop == 0:
            return self.measurement.url
        before = [p.location for p in self.pages.values() if p.hop == hop - 1 and p.location]
        return before[0] if before else ""

    def _try(self, attempt: int) -> Try:
        hops = {a.hop for a in self.answers if a.attempt == attempt}
        hops |= {o.hop for o in self.observations if o.attempt == attempt}
        hop = max(hops)
        contacts = [o for o in self.contacts(hop, attempt=attempt) if o.plain and self._is_main(o)]
        contacts.sort(key=lambda o: (is_ipv6(o.address), o.started))
        pages = [o for o in contacts if o.got_page]
        name = self.host_of(self.url_at(hop)) or next((o.name for o in contacts), "")
        if pages:
            return _ended(attempt, hop, name, pages[0])
        tried = [o for o in contacts if not o.not_tried]
        if tried:
            furthest = max(tried, key=lambda o: (not is_ipv6(o.address), _LAYERS[o.layer]))
            return _ended(attempt, hop, name, furthest)
        if contacts:
            return _ended(attempt, hop, name, contacts[0], layer="none")
        return self._without_contact(attempt, hop, name)

    def _without_contact(self, attempt: int, hop: int, name: str) -> Try:
        """The try ended at DNS, or its addresses were not dialled since they are strangers'."""
        told = [a for a in self.answers_at(hop, attempt=attempt) if a.plain and a.query_type in ("A", "ANY", "AAAA")]
        if any(a.addresses for a in told) or not told:
            return Try(attempt=attempt, hop=hop, name=name, layer="none", failure=None, seen=None)
        # A first; AAAA and getaddrinfo only where it is missing: "no AAAA" is no failure.
        told.sort(key=lambda a: (a.query_type != "A", a.query_type != "ANY"))
        return Try(attempt=attempt, hop=hop, name=told[0].name, layer="dns", failure=told[0].failure, seen=None)

    def _is_main(self, seen: Observation) -> bool:
        """Not the look at port 443 that only vouches for an address of a plain HTTP URL."""
        port = self._place(self.url_at(seen.hop))[1]
        return not seen.port or not port or seen.port == port

    def host_of(self, url: str) -> str:
        """The host of a URL, empty where it is none."""
        return self._place(url)[0]

    def _place(self, url: str) -> tuple[str, int]:
        """Host and port of a URL, `("", 0)` where it is none; parsed once."""
        if url not in self._places:
            self._places[url] = _place(url)
        return self._places[url]


_Row = TypeVar("_Row", Answer, Observation)
_LAYERS = {"tcp": 1, "tls": 2, "http": 3}
_NOTHING = Try(attempt=0, hop=0, name="", layer="none", failure=None, seen=None)


def observe(measurement: Measurement, fingerprints: Fingerprints) -> Case:
    """The measurement as rules see it."""
    return Case(measurement, fingerprints)


def _ended(attempt: int, hop: int, name: str, seen: Observation, *, layer: str = "") -> Try:
    failure = seen.failure
    if not layer and failure is None and seen.layer == "tls" and seen.certificate_failure:
        failure = seen.certificate_failure
    return Try(attempt=attempt, hop=hop, name=name, layer=layer or seen.layer, failure=failure, seen=seen)


def _answers(operations: Sequence[object]) -> Iterable[Answer]:
    for op in operations:
        if isinstance(op, DNSLookup):
            yield Answer(
                attempt=op.attempt, hop=op.hop, started=op.started, name=op.name, query_type=op.query_type,
                resolver=op.resolver, plain=op.resolver == "system", encrypted=op.encrypted,
                failure=op.failure, addresses=op.addresses(), responses=op.responses,
                checking_disabled=op.checking_disabled,
            )  # fmt: skip


def _plain_addresses(answers: Sequence[Answer]) -> dict[tuple[int, int], set[str]]:
    """What the plain client was told, per hop and attempt: `system`'s own lookups, else getaddrinfo's."""
    found: dict[tuple[int, int], set[str]] = {}
    for only_any in (False, True):
        for answer in answers:
            key = (answer.hop, answer.attempt)
            if (
                answer.plain
                and not answer.checking_disabled
                and (answer.query_type == "ANY") is only_any
                and (not only_any or not found.get(key))
            ):
                found.setdefault(key, set()).update(answer.addresses)
    return found


def _key(page: HTTPRoundTrip) -> tuple[str, int, int, int, str]:
    return (page.address, page.port, page.hop, page.attempt, page.url)


def _by_hop(rows: Iterable[_Row]) -> dict[int, list[_Row]]:
    found: dict[int, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.hop, []).append(row)
    return found


def _is_verified(page: HTTPRoundTrip) -> bool:
    return page.url.startswith("https:") and page.failure is None and page.status > 0


def _assumed(page: HTTPRoundTrip, host: str) -> TLSHandshake:
    """Old OONI data have no record of a handshake that went well; its client read a page only behind a valid one."""
    return TLSHandshake(started=page.started, finished=page.started, address=page.address, port=page.port,
                        server_name=host)  # fmt: skip


def _place(url: str) -> tuple[str, int]:
    try:
        parsed = parse_url(url)
    except InvalidURL:
        return "", 0
    return parsed.host, parsed.port

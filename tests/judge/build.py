"""Small hand-built measurements for the rules: one site at one address, a control that sees it, and what a test changes."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from blocklists import Fingerprint, Fingerprints
from monitor.judge.observe import Case, observe
from probes.dns import DNSLookup, Record, Response, failure_of
from probes.experiment import AnyOperation, Attempt, Experiment
from probes.failure import TIMEOUT
from probes.http import HTTPRoundTrip
from probes.measurement import (
    ControlEndpoint,
    ControlPage,
    ControlReply,
    Measurement,
    SelfTest,
    VantageFacts,
)
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

SITE, SECOND, STRANGER, SIX = "93.184.215.14", "93.184.215.15", "31.13.94.37", "2606:2800:21f::14"
BOGON, BLOCK_ADDRESS, FOREIGN_BLOCK_ADDRESS = "127.0.0.1", "203.98.7.65", "203.98.7.66"
LISTENER, OTHER_NAME, PHRASE = "192.241.1.1", "control.example", "phrase:六四"
NAME, TITLE, LENGTH = "site.example", "A quiet newspaper", 5000
SECURE, PLAIN = f"https://{NAME}/", f"http://{NAME}/"
HELPER, OTHER_HELPER, DOH = "helper:https://a.example/", "helper:https://b.example/", "https://dns.example/dns-query"
BLOCK_BODY, WALL_BODY = b"<h1>Blocked by order 7</h1>", b"<p>Prove that you are human</p>"
RESET, REFUSED = "connection_reset", "connection_refused"
UNKNOWN, WRONG_NAME, BAD_DATE = "ssl_unknown_authority", "ssl_invalid_hostname", "ssl_invalid_certificate"

_flows = count(1)


def fingerprint(name: str, location: str, pattern: str, *, scope: str = "nat", countries: tuple[str, ...] = ("CN",)) -> Fingerprint:  # fmt: skip
    kind = "full" if location == "dns" else "contains"
    return Fingerprint(name=name, scope=scope, location=location, pattern_type=kind, pattern=pattern, confidence=10,
                       countries=countries, source="test")  # fmt: skip


FINGERPRINTS = Fingerprints(
    [
        fingerprint("cn.address", "dns", BLOCK_ADDRESS),
        fingerprint("ir.address", "dns", FOREIGN_BLOCK_ADDRESS, countries=("IR",)),
        fingerprint("cn.page", "body", BLOCK_BODY.decode()),
        fingerprint("cdn.wall", "body", WALL_BODY.decode(), scope="fp", countries=()),
    ]
)


def dns(*answers: str | int | tuple[str, ...], attempt: int = 0, hop: int = 0, at: float | None = None,
        resolver: str = "system", name: str = NAME, kind: str = "A", cd: bool = False) -> DNSLookup:  # fmt: skip
    """A lookup; each answer is an address, several, or an rcode; none at all is a timeout."""
    started = attempt * 10.0 if at is None else at
    responses = tuple(_response(answer, 0.01 + 0.03 * n) for n, answer in enumerate(answers))
    return DNSLookup(
        started=started, finished=started + 0.01, attempt=attempt, hop=hop, engine="doh" if resolver == DOH else "udp",
        resolver=resolver, name=name, query_type=kind, responses=responses, checking_disabled=cd,
        failure=failure_of(responses[0], "A") if responses else TIMEOUT,
    )  # fmt: skip


def _response(answer: str | int | tuple[str, ...], at: float) -> Response:
    if isinstance(answer, int):
        return Response(at=at, rcode=answer)
    addresses = (answer,) if isinstance(answer, str) else answer
    return Response(at=at, records=tuple(Record("AAAA" if ":" in a else "A", a, 60) for a in addresses))


def contact(address: str = SITE, *, attempt: int = 0, hop: int = 0, url: str = SECURE, port: int = 0,
            tcp: str | None = None, tls: str | None = None, certificate: str | None = None,
            chain: tuple[str, ...] = (), http: str | None = None, page: bool | None = None, at: float = 0.02,
            **fields: Any) -> list[AnyOperation]:  # fmt: skip
    """One contact up to its first failure; with a bad certificate there is no page unless `page` says so."""
    flow, started, secure = next(_flows), attempt * 10.0 + at, url.startswith("https:")
    port = port or (443 if secure else 80)
    where: dict[str, Any] = {"address": address, "port": port, "flow": flow, "attempt": attempt, "hop": hop}
    made: list[AnyOperation] = [TCPConnect(started=started, finished=started + 0.01, failure=tcp, **where)]
    if tcp:
        return made
    name = url.split("/")[2]
    if secure:
        made.append(TLSHandshake(started=started + 0.01, finished=started + 0.02, server_name=name, failure=tls,
                                 certificate_failure=certificate, chain=chain, **where))  # fmt: skip
    if tls or page is False or (certificate and not page):
        return made
    got = {} if http else {"status": 200, "title": TITLE, "body_length": LENGTH} | fields
    body = got.pop("body", None)
    if body is not None:
        got |= {"body_sha256": sha256(body), "body_length": len(body)}
    made.append(HTTPRoundTrip(started=started + 0.02, finished=started + 0.1, url=url, failure=http, **where, **got))
    return made


def attempt(sent: str = NAME, *, innocuous: bool = False, failure: str | None = None, at: float = 5.0,
            address: str = LISTENER, port: int = 20000, operation: AnyOperation | None = None) -> Attempt:  # fmt: skip
    """One try of an experiment, with the step that it ended with."""
    sent = OTHER_NAME if innocuous and sent == NAME else sent
    step = operation or TLSHandshake(started=at, finished=at + 0.1, address=address, port=port, server_name=sent,
                                     failure=failure)  # fmt: skip
    return Attempt(sent=sent, innocuous=innocuous, started=at, finished=at + 0.1, address=address, port=port,
                   failure=failure, operations=(step,))  # fmt: skip


def pairs(kind: str, failures: tuple[str | None, ...], *, innocuous: str | None = None, place: str = "neutral",
          step: Callable[[bool, str | None, int], AnyOperation] | None = None) -> Experiment:  # fmt: skip
    """An experiment in pairs: how each try with the name ended; `innocuous`: how the others did."""
    tries = []
    for number, failure in enumerate(failures):
        for without, how in ((True, innocuous), (False, failure)):
            operation = step(without, how, number) if step else None
            at = 5.0 + number + (0.0 if without else 0.5)
            tries.append(attempt(innocuous=without, failure=how, at=at, port=20000 + number, operation=operation))
    return Experiment(kind=kind, place=place, started=5.0, finished=15.0, tries=tuple(tries))


def request(without: bool, failure: str | None, number: int, *, body: str = "neutral", **fields: Any) -> HTTPRoundTrip:
    """The step of a `host` or `phrase` try."""
    host = OTHER_NAME if without else NAME
    return HTTPRoundTrip(started=5.0 + number, finished=5.1 + number, address=LISTENER, port=20000 + number,
                         url=f"http://{host}/", failure=failure,
                         **({} if failure else {"status": 200, "body_sha256": sha256(body.encode())} | fields))  # fmt: skip


def asked(answers: dict[str, tuple[str, ...]]) -> Experiment:
    """An `injection` experiment: what came for each name; nothing for one that is not named."""
    tries = []
    for number in range(6):
        innocuous = number % 2 == 0
        name = OTHER_NAME if innocuous else NAME
        lookup = dns(*answers.get(name, ()), name=name, resolver="silent", at=5.0 + number)
        tries.append(attempt(name, innocuous=innocuous, failure=None if name in answers else TIMEOUT, operation=lookup))
    return Experiment(kind="injection", place="silent", tries=tuple(tries))


def nowhere(*, hop: int = 1, attempt: int = 0, failure: str = "http_invalid_redirect_location_host") -> HTTPRoundTrip:
    """A redirect that cannot be followed."""
    return HTTPRoundTrip(started=1.0, finished=1.0, attempt=attempt, hop=hop, address="", port=0, url="https://", failure=failure)  # fmt: skip


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def endpoint(address: str = SITE, *, port: int = 443, tls: bool | None = True, tcp: str | None = None,
             failure: str | None = None) -> ControlEndpoint:  # fmt: skip
    name = NAME if tls is not None else ""
    return ControlEndpoint(address=address, port=port, tcp_failure=tcp, tls=tls, tls_failure=failure, server_name=name)


def control_page(**fields: Any) -> ControlPage:
    return ControlPage(**{"status": 200, "title": TITLE, "body_length": LENGTH} | fields)


def control(attempt: int = 0, *, addresses: tuple[str, ...] = (SITE,), endpoints: tuple[ControlEndpoint, ...] | None = None,
            page: ControlPage | None = None, **fields: Any) -> ControlReply:  # fmt: skip
    """A helper that saw the site; `fields` go to the reply."""
    made = tuple(endpoint(a) for a in addresses) if endpoints is None else endpoints
    fields = {"source": HELPER, "url": SECURE, "at": attempt * 10.0} | fields
    return ControlReply(attempt=attempt, addresses=addresses, endpoints=made, page=page or control_page(), **fields)


def twice(**fields: Any) -> tuple[ControlReply, ...]:
    """The same before the first try and after the last."""
    return control(0, **fields), control(3, **fields)


def http_control(**fields: Any) -> tuple[ControlReply, ...]:
    """A control of the plain HTTP URL: it knows the address by TLS on port 443 and connects to port 80."""
    return twice(url=PLAIN, endpoints=(endpoint(), endpoint(port=80, tls=None)), **fields)


FAILED = (control(failure="helper_unreachable"), control(3, failure="helper_unreachable"))
FINE = SelfTest(at=-3.0, opened=("a.example", "b.example", "c.example"), clock_skew=0.2, ipv6=True)


def measure(*parts: AnyOperation | list[AnyOperation], url: str = SECURE, replies: tuple[ControlReply, ...] | None = None,
            test: SelfTest | None = FINE, country: str = "CN", bodies: tuple[bytes, ...] = (BLOCK_BODY, WALL_BODY),
            **fields: Any) -> Measurement:  # fmt: skip
    """A measurement of the site; by default the control saw it before and after."""
    operations = [op for part in parts for op in (part if isinstance(part, list) else [part])]
    held = {op.body_sha256 for op in operations if isinstance(op, HTTPRoundTrip)}
    return Measurement(
        uid="20260131T120000.000000Z-test", time=datetime(2026, 1, 31, 12, tzinfo=UTC), target=url, url=url, site=NAME,
        vantage=VantageFacts(name="home", country=country, asn=4134), operations=tuple(operations),
        control=(twice() if url == SECURE else http_control()) if replies is None else replies,
        self_tests=(test,) if test else (), bodies={sha256(b): b for b in bodies if sha256(b) in held}, **fields,
    )  # fmt: skip


def repeated(tries: int, *, good: int = 0, url: str = SECURE, **failure: Any) -> list[AnyOperation]:
    """`tries` failing tries of one contact, then `good` ones that reach the site."""
    made: list[AnyOperation] = []
    for attempt in range(tries + good):
        how = failure if attempt < tries else {}
        made += [dns(SITE, attempt=attempt), *contact(attempt=attempt, url=url, **how)]
    return made


def case(measurement: Measurement) -> Case:
    return observe(measurement, FINGERPRINTS)

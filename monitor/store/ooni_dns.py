"""OONI's DNS lookups (data format df-002) as ours, with the further answers that 0.5 records beside them."""

from collections.abc import Callable, Iterable, Mapping

import dns.exception
import msgspec

from probes import address as addresses
from probes import dns as lookup
from probes import failure as failures
from probes.dns import DNSLookup, Response
from probes.dns import Record as Answer
from probes.message import Query
from probes.ooni_values import (
    Record,
    address,
    decoded,
    endpoint,
    failure,
    port,
    records,
    span,
    text,
    transaction,
    whole,
)

_SYSTEM = frozenset({"", "getaddrinfo", "system", "golang_net_resolver", "go", "unknown"})
_RCODES = {name: code for code, name in failures.RCODES.items()} | {failures.NO_ANSWER: 0}
_VALUE = {"A": "ipv4", "AAAA": "ipv6", "CNAME": "hostname"}
_MISBEHAVING = "dns_server_misbehaving"
_WRONG_ID = "dns_reply_with_wrong_query_id"
_FURTHER = ("x_dns_duplicate_responses", "x_dns_late_replies")
_MAX_RESPONSES, _MAX_ANSWERS, _MAX_WIRE = 16, 64, 65535

_Key = tuple[int, str, str, str]


def lookups(keys: Record, hop_of: Callable[[Record], int]) -> list[DNSLookup]:
    """All lookups in OONI's order; `hop_of` says at which hop one was made."""
    found: list[tuple[_Key, DNSLookup]] = []
    for record in records(keys.get("queries")):
        made = _lookup(record, hop_of(record))
        found.append((_key(record, made.resolver), made))
    further = _further(keys)
    return [_with_further(made, key, further) for key, made in found]


def asns(keys: Record) -> Iterable[tuple[str, int]]:
    """Address → AS number, as the probe's own database has it."""
    for record in records(keys.get("queries")):
        for answer in records(record.get("answers")):
            where = address(answer.get("ipv4")) or address(answer.get("ipv6"))
            number = whole(answer.get("asn"), high=2**32 - 1)
            if where and number:
                yield where, number


def _lookup(record: Record, hop: int) -> DNSLookup:
    started, finished = span(record)
    engine, resolver, server = _resolver(record)
    failed = failure(record.get("failure"))
    response = None if engine == "getaddrinfo" and failed else _response(record, finished - started)
    return DNSLookup(
        started=started, finished=finished, failure=failed, hop=hop, engine=engine, resolver=resolver,
        server=server, name=_name(record), query_type=_type(record),
        responses=(response,) if response is not None else (),
    )  # fmt: skip


def _name(record: Record) -> str:
    return text(record.get("hostname"), 256).lower().removesuffix(".")


def _type(record: Record) -> str:
    return text(record.get("query_type"), 16)


def _resolver(record: Record) -> tuple[str, str, str]:
    """Engine, resolver and server, in our words."""
    engine = text(record.get("engine"), 32)
    asked = text(record.get("resolver_address"), 2048)
    host = address(record.get("resolver_hostname"))
    if not engine and host:  # before 0.4
        engine, asked = "udp", addresses.endpoint(host, port(record.get("resolver_port")) or 53)
    if engine in _SYSTEM or not asked:
        return "getaddrinfo", "system", ""
    if engine in ("doh", "doh3", "dot") or "://" in asked:
        kind = "dot" if engine == "dot" else "doh"
        return kind, asked if "://" in asked else f"{engine}://{asked}", ""
    where = endpoint(asked)
    engine = "tcp" if engine == "tcp" else "udp"
    return engine, f"{engine}://{asked}", f"{where[0]} {where[1]}" if where else ""


def _response(record: Record, at: float) -> Response | None:
    """The answer that the record tells of; None where none came."""
    told = Response(at=at, records=tuple(_answers(record)))
    parsed, failed = _parsed(record, at), failure(record.get("failure"))
    if parsed is not None and (not told.records or set(parsed.addresses()) == set(told.addresses())):
        return parsed
    if told.records or failed is None:
        return told
    rcode = _RCODES.get(failed, whole(record.get("rcode"), low=1, high=4095))
    if failed in _RCODES or (failed == _MISBEHAVING and rcode):
        return Response(at=at, rcode=rcode)
    return Response(at=at, malformed=True) if failed == _MISBEHAVING else None


def _answers(record: Record) -> Iterable[Answer]:
    for answer in records(record.get("answers"))[:_MAX_ANSWERS]:
        kind, ttl = text(answer.get("answer_type"), 16), whole(answer.get("ttl"), high=2**31 - 1)
        if kind in _VALUE:
            given = answer.get(_VALUE[kind])
            value = text(given, 256).removesuffix(".") if kind == "CNAME" else address(given)
            if value:
                yield Answer(kind, value, ttl)


def _parsed(record: Record, at: float) -> Response | None:
    """The answer as it came over the wire (with flags and TTLs), where it is kept and can be read."""
    raw = record.get("raw_response")
    wire = decoded(raw.get("data") if isinstance(raw, Mapping) else raw, _MAX_WIRE)
    if len(wire) < 12:
        return None
    try:
        asked = Query(_name(record), _type(record), id=int.from_bytes(wire[:2]))
        response = lookup.read(wire, asked, at)
    except (
        dns.exception.DNSException,
        ValueError,
        AttributeError,
    ):  # the last: an A record of a class but IN
        return None
    return None if response is None or response.malformed else response


def _key(record: Record, resolver: str) -> _Key:
    return transaction(record), resolver, _name(record), _type(record)


def _further(keys: Record) -> dict[_Key, list[Record]]:
    """Further answers by the key of their lookup; one with another id is no answer to it."""
    found: dict[_Key, list[Record]] = {}
    for record in (record for name in _FURTHER for record in records(keys.get(name))):
        if record.get("failure") != _WRONG_ID:
            found.setdefault(_key(record, _resolver(record)[1]), []).append(record)
    return found


def _with_further(made: DNSLookup, key: _Key, further: dict[_Key, list[Record]]) -> DNSLookup:
    """The lookup with its further answers, each of which is given to one lookup only."""
    late = further.pop(key, []) or further.pop((0, *key[1:]), [])
    heard = [_response(record, max(0.0, span(record)[1] - made.started)) for record in late]
    responses = (*made.responses, *(response for response in heard if response is not None))
    return msgspec.structs.replace(made, responses=responses[:_MAX_RESPONSES])

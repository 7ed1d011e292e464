"""The datagrams that come back for one DNS query: the injector's, the resolver's, or none."""

from ipaddress import IPv6Address, ip_address

import dns.flags
import dns.message
import dns.rcode
import msgspec

from . import zone
from .censor import Rule
from .place import Place, in_nat64
from .trouble import PORTAL_ADDRESS, PORTAL_HOST
from .zone import Answer

_RCODES = {
    "dns_nxdomain": dns.rcode.NXDOMAIN,
    "dns_refused": dns.rcode.REFUSED,
    "dns_servfail": dns.rcode.SERVFAIL,
    "dns_empty": dns.rcode.NOERROR,
}
_TEREDO = int(IPv6Address("2001::"))
_BETWEEN = 0.004  # seconds between two injectors' answers

Datagrams = list[tuple[float, bytes]]  # seconds after the query, wire


def answers(place: Place, wire: bytes, address: str) -> Datagrams:
    """What a client receives that sent a query to port 53 of an address."""
    found = zone.question(wire)
    if found is None or place.trouble.offline or place.loses():
        return []
    asked, name, query_type = found
    true = _true(place, asked, address)
    rule = place.censor.on_query(name, query_type, address)
    if rule is None:
        return _at(place.trouble.latency, true)
    return _interfered(place, rule, asked, true)


def _at(seconds: float, wire: bytes | None) -> Datagrams:
    return [(seconds, wire)] if wire is not None else []


def _true(place: Place, asked: dns.message.Message, address: str) -> bytes | None:
    """The answer of the resolver at the address, or of the local box that has taken its place."""
    question = asked.question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    query_type = dns.rdatatype.to_text(question.rdtype)
    trouble = place.trouble
    local = trouble.intercepted_dns or trouble.fake_addresses
    if not local and not place.world.is_nameserver(address):
        return None
    unchecked = bool(asked.flags & dns.flags.CD)
    answer = zone.truth(place.world, name, query_type, client=place.client, unchecked=unchecked)
    if trouble.captive_portal and name == PORTAL_HOST:
        answer = Answer(addresses=zone.of_type([PORTAL_ADDRESS], query_type))
    if trouble.fake_addresses and answer.rcode == dns.rcode.NOERROR and query_type in ("A", "AAAA"):
        answer = Answer(addresses=zone.of_type([place.fake(name)], query_type))
    if trouble.wildcard and answer.rcode == dns.rcode.NXDOMAIN and address == place.world.resolver_of(place.client):
        answer = Answer(addresses=zone.of_type([trouble.wildcard], query_type))
    if trouble.nat64 and query_type == "AAAA" and address == place.world.resolver_of(place.client):
        answer = _with_nat64(place, name, answer)
    return zone.reply(asked, answer)


def _with_nat64(place: Place, name: str, answer: Answer) -> Answer:
    """DNS64: an AAAA made of the A where there is none."""
    if answer.addresses or answer.rcode != dns.rcode.NOERROR:
        return answer
    four = zone.truth(place.world, name, "A", client=place.client).addresses
    return msgspec.structs.replace(answer, addresses=tuple(in_nat64(place.trouble.nat64, a) for a in four))


def _interfered(place: Place, rule: Rule, asked: dns.message.Message, true: bytes | None) -> Datagrams:
    if rule.kind == "dns_timeout":
        return []
    far = place.trouble.latency
    near = far / 2  # the censor is on the way
    if rule.kind == "dns_second":
        second = zone.reply(asked, _forged(place, rule, asked)) if rule.forged else true
        return _at(far, true) + (_at(far + rule.delay, second) if true is not None else [])
    if rule.kind == "dns_forge":
        forged = [zone.reply(asked, _forged(place, rule, asked), plain=True) for _ in range(rule.count)]
    else:
        forged = [zone.reply(asked, Answer(_RCODES[rule.kind]), plain=True)]
    sent = [(near + number * _BETWEEN, wire) for number, wire in enumerate(forged)]
    follows = rule.kind == "dns_forge" if rule.follows is None else rule.follows
    return sent + (_at(far + rule.delay, true) if follows else [])


def _forged(place: Place, rule: Rule, asked: dns.message.Message) -> Answer:
    """A single record of the pool; from a pool without IPv6 a Teredo address, as seen in China until 2020.

    An HTTPS record holds it as a hint.
    """
    query_type = dns.rdatatype.to_text(asked.question[0].rdtype)
    pool, four = zone.of_type(rule.forged, query_type), zone.of_type(rule.forged, "A")
    if query_type == "HTTPS" and four:
        return Answer(text=f"1 . ipv4hint={place.censor.next_forged(four)}")
    if not pool and query_type == "AAAA":
        pool = tuple(str(IPv6Address(_TEREDO | int(ip_address(a)))) for a in four)
    return Answer(addresses=(place.censor.next_forged(pool),) if pool else ())

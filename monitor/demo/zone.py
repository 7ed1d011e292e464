"""What the DNS truly says, to one client; and how an answer is put on the wire."""

from collections.abc import Iterable, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec

from probes.address import is_ipv6

from .world import Site, World

TTL = 300  # seconds
_IPV4ONLY = ("192.0.0.170", "192.0.0.171")  # RFC 7050 section 2.2


class Answer(msgspec.Struct, frozen=True):
    """The answer to one question: `addresses` of its type, an alias on the way, or another record's text."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    addresses: tuple[str, ...] = ()
    cname: str = ""
    text: str = ""


def truth(world: World, name: str, query_type: str, *, client: str, unchecked: bool = False) -> Answer:
    """What is so. `unchecked`: DNSSEC is not to be validated (CD=1)."""
    if name == "ipv4only.arpa":
        return Answer(addresses=of_type(_IPV4ONLY, query_type))
    site = world.site(name, client)
    if site is None or site.behaviour == "dns_dead":
        return Answer(dns.rcode.NXDOMAIN)
    if site.behaviour == "servfail" and not unchecked:
        return Answer(dns.rcode.SERVFAIL)
    return _of_site(site, query_type)


def _of_site(site: Site, query_type: str) -> Answer:
    text = site.https_record if query_type == "HTTPS" else ""
    return Answer(addresses=of_type(site.addresses, query_type), cname=site.cname, text=text)


def of_type(addresses: Iterable[str], query_type: str) -> tuple[str, ...]:
    """The addresses that an A or AAAA record can hold."""
    if query_type not in ("A", "AAAA"):
        return ()
    return tuple(address for address in addresses if is_ipv6(address) == (query_type == "AAAA"))


def reply(asked: dns.message.Message, answer: Answer, *, plain: bool = False) -> bytes:
    """The wire of an answer. `plain`: as an injector makes it, without EDNS."""
    message = dns.message.make_response(asked, recursion_available=True)
    if plain:
        message.use_edns(False)
    message.set_rcode(answer.rcode)
    question = asked.question[0]
    owner = question.name.to_text()
    if answer.cname:
        message.answer += _records(owner, "CNAME", [f"{answer.cname}."])
        owner = f"{answer.cname}."
    query_type = dns.rdatatype.to_text(question.rdtype)
    values = [answer.text] if answer.text else list(answer.addresses)
    message.answer += _records(owner, query_type, values)
    return message.to_wire()


def question(wire: bytes) -> tuple[dns.message.Message, str, str] | None:
    """A query with its name (lower case, no trailing dot) and type; None where the datagram is no query."""
    try:
        asked = dns.message.from_wire(wire)
        name = asked.question[0].name.to_text(omit_final_dot=True).lower()
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    if asked.flags & dns.flags.QR:
        return None
    return asked, name, dns.rdatatype.to_text(asked.question[0].rdtype)


def _records(owner: str, query_type: str, values: Sequence[str]) -> list[dns.rrset.RRset]:
    """One set for each record: dnspython shuffles a set, and this world answers the same each time."""
    return [dns.rrset.from_text(owner, TTL, "IN", query_type, value) for value in values]

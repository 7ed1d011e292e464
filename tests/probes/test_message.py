"""Our own bytes of DNS: the same as dnspython's, or left to it."""

import random
import struct

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.message import Query, simple_answer

NAME = "www.good.example"
_VALUES = {
    "A": ["93.184.216.34", "1.2.3.4", "0.0.0.0", "255.255.255.255"],
    "AAAA": ["2606:2800:220:1::1", "::1", "::", "::ffff:1.2.3.4", "2001:0:0:1::", "2001:db8:0:1:0:0:0:1", "::1:0:0:0"],
    "CNAME": ["x.example.", "WWW.Good.Example.", "a.b.good.example.", "under_score.example.", "a\\.b.example.", "."],
    "HTTPS": ["1 . alpn=h3"],
    "MX": ["1 m.example."],
}
_OWNERS = [f"{NAME}.", "WWW.good.EXAMPLE.", "x.example.", "y.x.example.", "other."]


@pytest.mark.parametrize(
    "name",
    [NAME, "a", "A.Example.", "a" * 63 + ".b", "x." * 120 + "yy", "_dmarc.a-b.c", "a\\.b.c", "xn--bcher-kva.example"],
)
@pytest.mark.parametrize("query_type", ["A", "AAAA", "HTTPS", "CNAME", "TXT", "ANY"])
def test_a_query_is_dnspythons_to_the_byte(name: str, query_type: str) -> None:
    for disabled in (False, True):
        for pad in (0, 16, 128):
            theirs = dns.message.make_query(name, query_type, use_edns=0, payload=1232, id=4711, pad=pad)
            theirs.flags |= dns.flags.CD if disabled else 0
            ours = Query(name, query_type, id=4711, checking_disabled=disabled, pad=pad)
            assert ours.to_wire() == theirs.to_wire()
            assert ours.question == theirs.question
            assert pad == 0 or len(ours.to_wire()) % pad == 0


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b", "x." * 130 + "y"])
def test_a_name_that_cannot_be_asked_for_is_refused_as_by_dnspython(name: str) -> None:
    with pytest.raises(dns.exception.DNSException):
        dns.message.make_query(name, "A")
    with pytest.raises(dns.exception.DNSException):
        Query(name, "A", id=1)


def _theirs(wire: bytes) -> list[tuple[str, str, int]]:
    """The same list out of dnspython's reading; raises what dnspython raises."""
    answer = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=False)
    assert answer.rcode() == wire[3] & 0xF
    found = []
    for rrset in answer.answer:
        kind = dns.rdatatype.to_text(rrset.rdtype)
        assert kind in ("A", "AAAA", "CNAME")
        for item in rrset:
            text = str(item.address) if kind != "CNAME" else item.to_text().removesuffix(".")
            found.append((kind, text, int(rrset.ttl)))
    return found


def _answer(chance: random.Random, kinds: list[str], *, edns: bool = True) -> bytes:
    asked = dns.message.make_query(NAME, "A", use_edns=0 if edns else False, payload=1232, id=1)
    answer = dns.message.make_response(asked, recursion_available=True, pad=chance.choice([0, 0, 128]))
    for _ in range(chance.randrange(6)):
        kind = chance.choice(kinds)
        rrset = dns.rrset.from_text(chance.choice(_OWNERS), chance.choice([0, 60, 300]), "IN", kind,
                                    chance.choice(_VALUES[kind]))  # fmt: skip
        answer.answer.append(rrset)
    return answer.to_wire(prepend_length=False)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4), st.booleans())
def test_what_is_simple_is_read_as_dnspython_reads_it(seed: int, damage: list[tuple[int, int]], edns: bool) -> None:
    chance = random.Random(seed)
    wire = bytearray(_answer(chance, list(_VALUES), edns=edns))
    for at, value in damage:
        wire[2 + at % (len(wire) - 2)] = value
    ours = simple_answer(bytes(wire), Query(NAME, "A", id=1).wire_question)
    if ours is not None:
        assert ours == _theirs(bytes(wire))


@given(st.integers(0, 2**32), st.integers(0, 400))
def test_a_piece_of_an_answer_is_left_to_dnspython(seed: int, end: int) -> None:
    wire = _answer(random.Random(seed), ["A", "CNAME"])
    ours = simple_answer(wire[:end], Query(NAME, "A", id=1).wire_question)
    assert end >= len(wire) or ours is None


def test_the_usual_answers_are_simple() -> None:
    asked = dns.message.make_query(NAME, "A", use_edns=0, id=1)
    answer = dns.message.make_response(asked, pad=128)
    answer.answer.append(dns.rrset.from_text(f"{NAME}.", 60, "IN", "CNAME", "Edge.CDN.example."))
    answer.answer.append(dns.rrset.from_text("edge.cdn.example.", 30, "IN", "A", "93.184.216.34", "1.1.1.1"))
    question = Query(NAME, "A", id=1).wire_question
    found = simple_answer(answer.to_wire(), question)
    assert found is not None
    assert sorted(found, reverse=True) == [  # dnspython shuffles what it writes
        ("CNAME", "Edge.CDN.example", 60), ("A", "93.184.216.34", 30), ("A", "1.1.1.1", 30),
    ]  # fmt: skip
    assert simple_answer(dns.message.make_response(asked).to_wire(), question) == []
    answer.authority.append(dns.rrset.from_text("example.", 60, "IN", "NS", "ns.example."))
    assert simple_answer(answer.to_wire(), question) is None


def test_a_name_that_points_at_itself_or_ahead_ends() -> None:
    question = Query(NAME, "A", id=1).wire_question
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 1, 0, 0) + question
    for target in (len(head), len(head) + 2, 0x3FFF):
        record = struct.pack("!HHHIH", 0xC000 | target, 1, 1, 60, 4) + bytes(4)
        assert simple_answer(head + record, question) is None

"""What the censor reads and forges, without a network: parsers meet garbage, packets carry right checksums."""

import random
import struct

import pytest
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from . import forgery, rules
from .censor import Censor
from .hello import client_hello_name, holds, question, request, server_name
from .initial import quic_name
from .packet import ACK, PSH, SYN, Header, read, tcp, udp

FLOW = ("36.110.0.9", 50000, "93.184.215.34", 443)
SIX = ("240e:36::9", 50000, "2606:2800:21f::34", 443)


def _hello(name: str) -> bytes:
    extension = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name.encode()
    body = (
        b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + struct.pack("!H", len(extension)) + extension
    )
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def _initial(name: str) -> bytes:
    client = QuicConnection(configuration=QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name))
    client.connect(("192.0.2.1", 443), now=0.0)
    return client.datagrams_to_send(now=0.0)[0][0]


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("flow", [FLOW, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("payload", [b"", b"x", b"four"])
def test_checksums_are_right(flow: tuple[str, int, str, int], payload: bytes) -> None:
    for made in (tcp(flow, sequence=1, acknowledged=2, flags=ACK, payload=payload), udp(flow, payload)):
        packet = read(made)
        assert packet is not None
        assert packet.flow == flow
        assert packet.payload == payload
        body = made[packet.start :]
        ends = made[12:20] if packet.version == 4 else made[8:40]
        assert _sum(ends + struct.pack("!IHBB", len(body), 0, 0, packet.protocol) + body) == 0xFFFF
        assert packet.version == 6 or _sum(made[:20]) == 0xFFFF


def test_a_name_is_read_once_it_is_whole() -> None:
    hello = _hello("site.example")
    assert server_name(hello) == "site.example"
    assert server_name(hello[:-1]) is None
    assert server_name(b"GET / HTTP/1.1\r\n") is None


def test_a_quic_name_is_decrypted() -> None:
    datagram = _initial("h3.example")
    assert quic_name(datagram) == "h3.example"
    assert quic_name(datagram[:600]) is None
    broken = bytearray(datagram)
    broken[200] ^= 1
    assert quic_name(bytes(broken)) is None


def test_garbage_is_nothing() -> None:
    chance = random.Random(1)
    whole = [_hello("site.example"), _initial("h3.example"), tcp(FLOW, sequence=1, acknowledged=2, flags=ACK), b""]
    for _ in range(400):
        data = bytearray(chance.choice(whole) or chance.randbytes(chance.randrange(80)))
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        some = bytes(data[: chance.randrange(len(data) + 1)])
        for parse in (read, server_name, client_hello_name, quic_name, question, request):
            parse(some)


def test_phrases_in_both_encodings() -> None:
    asked = request(b"GET /s?q=%E5%85%AD%E5%9B%9B HTTP/1.1\r\nHost: A.Example:80\r\n\r\n")
    assert asked is not None
    assert asked.host == "a.example"
    assert holds(asked.text, "六四")
    assert holds("六四".encode("gb18030"), "六四")
    assert not holds(b"/s?q=64", "六四")


def test_a_hello_in_two_segments_out_of_order_is_seen() -> None:
    censor, hello = Censor([rules.sni_reset("site.example", kind="III")], clock=lambda: 0.0), _hello("site.example")

    def send(sequence: int, flags: int, payload: bytes = b"") -> int:
        packet = read(tcp(FLOW, sequence=sequence, acknowledged=1, flags=flags, payload=payload))
        assert packet is not None
        return len(censor.outbound(packet).forged)

    assert send(99, SYN) == 0
    assert send(120, PSH | ACK, hello[20:]) == 0
    assert send(100, PSH | ACK, hello[:20]) == 2  # one to each end


def test_residual_blocking_ends_by_the_clients_clock() -> None:
    now = [0.0]
    censor = Censor([rules.sni_drop("site.example", residual=180)], clock=lambda: now[0])

    def passes(port: int, name: str, *, flags: int = PSH | ACK) -> bool:
        flow = (FLOW[0], port, *FLOW[2:])
        for sequence, kind, payload in ((99, SYN, b""), (100, flags, _hello(name))):
            packet = read(tcp(flow, sequence=sequence, acknowledged=1, flags=kind, payload=payload))
            assert packet is not None
            passed = censor.outbound(packet).passes
        return passed

    assert passes(50001, "innocent.example")
    assert not passes(50002, "site.example")
    assert not passes(50003, "innocent.example")
    now[0] = 181.0
    assert passes(50004, "innocent.example")


def test_a_forged_answer_has_one_record_and_no_edns() -> None:
    query = (
        bytes.fromhex("abcd 0120 0001 0000 0000 0001")
        + b"\4site\7example\0\0\1\0\1"
        + bytes.fromhex("00002904d0000000000000")
    )
    packet = read(udp((FLOW[0], 50000, "8.8.8.8", 53), query, Header(57)))
    assert packet is not None
    asked = question(packet.payload)
    assert asked is not None
    assert (asked.name, asked.kind) == ("site.example", 1)
    first, second = (read(m) for m in forgery.dns_answers(rules.gfw_dns(count=2), packet, asked, turn=0))
    assert first is not None
    assert second is not None
    assert first.payload[:12] == bytes.fromhex("abcd 8180 0001 0001 0000 0000")
    assert first.ttl == packet.ttl  # one injector copies it
    assert second.ttl != packet.ttl

"""Looks at the lab itself, from a client's place: is the network as real as it says? Each gives what it saw."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import dns.message

from . import plan, rules
from .lab import Lab
from .link import Client
from .packet import RST, TCP, Packet, read
from .seat import Seat

Look = Callable[[Lab, Seat], dict[str, Any]]
LOOKS: dict[str, tuple[Client, Look]] = {}
SITE, NAME = ("93.184.215.34", 443), "site.example"
_IP_RECVERR, _MSG_ERRQUEUE, _IP_RECVTTL, _ETH_P_ALL, _OUTGOING = 11, 0x2000, 12, 3, 4


def look(*some: rules.Rule, **how: Any) -> Callable[[Look], Look]:
    """Register a look under its function's name, with a client whose packets are treated so."""

    def keep(function: Look) -> Look:
        LOOKS[function.__name__] = Client(rules=list(some), **how), function
        return function

    return keep


def take(lab: Lab, name: str) -> dict[str, Any]:
    """Take one look, from a place of its own."""
    how, function = LOOKS[name]
    with lab.client(how) as seat:
        seen: dict[str, Any] = seat.run(lambda: function(lab, seat))
        return {**seen, "counts": seat.counts()}


@look()
def hops(_lab: Lab, _seat: Seat) -> dict[str, Any]:
    """Who says that the time of a packet ran out, for each TTL."""
    return {str(ttl): _router(ttl) for ttl in (1, 2)} | {"3": _opens(SITE[0], ttl=3)}


@look(rules.gfw_dns(NAME))
def forged_answers(_lab: Lab, _seat: Seat) -> dict[str, Any]:
    """All answers to one query of a resolver, and to one of an address that runs none; of the innocent name too."""
    return {
        "resolver": _ask(plan.PUBLIC, NAME), "six": _ask(plan.PUBLIC, NAME, "AAAA"), "silent": _ask(plan.SILENT, NAME),
        "other": _ask(plan.PUBLIC, "six.example"), "silent other": _ask(plan.SILENT, "six.example"),
    }  # fmt: skip


def _resets(kind: str) -> None:
    def seen(lab: Lab, _seat: Seat) -> dict[str, Any]:
        with _wire() as wire:
            first = _handshake(lab, *SITE, NAME)
            packets = _inbound(wire)
        again = _handshake(lab, *SITE, "neighbour.example")
        elsewhere = _handshake(lab, "93.184.215.40", 443, "six.example")
        told = [
            {
                "flags": p.flags, "ttl": p.ttl, "id": int.from_bytes(p.data[4:6], "big"), "df": bool(p.data[6] & 0x40),
                "payload": p.payload.hex() if p.flags & RST else len(p.payload),
            }
            for p in packets
        ]  # fmt: skip
        return {"first": first, "again": again, "elsewhere": elsewhere, "packets": told}

    seen.__name__ = f"resets_{kind}"
    look(rules.sni_reset(NAME, kind=kind, residual=0 if kind == "henan" else 180))(seen)


for _kind in ("I", "II", "III", "henan"):
    _resets(_kind)


@look(rules.sni_reset(NAME, residual=180))
def residual(lab: Lab, seat: Seat) -> dict[str, Any]:
    """The neighbour on the address after a hit: at once, and after 181 seconds that the client's clock skips."""
    hit = _handshake(lab, *SITE, NAME)
    soon = _handshake(lab, *SITE, "neighbour.example")
    seat.skip(181)
    return {"hit": hit, "soon": soon, "late": _handshake(lab, *SITE, "neighbour.example")}


@look(rules.quic_drop("www.h3.example"))
def quic_name(lab: Lab, _seat: Seat) -> dict[str, Any]:
    """QUIC handshakes at one address: an innocuous name, the name, and the innocuous one again."""
    from .quic_look import handshake

    place, root = ("93.184.216.6", 443), str(lab.root)
    return {
        "before": handshake(place, "h3.example", root), "name": handshake(place, "www.h3.example", root),
        "after": handshake(place, "h3.example", root),
    }  # fmt: skip


@look(rules.throttle("www.big.example"))
def throttling(lab: Lab, _seat: Seat) -> dict[str, Any]:
    """Bits a second over the connection of a throttled name, and of another at the same address."""
    place = ("93.184.218.4", 443)
    return {
        "name": _rate(lab, place, "www.big.example", 5.0),
        "other": _rate(lab, place, "big.example", 5.0),
    }


@look(rules.phrase_reset("六四"), rules.host_reset("forbidden.example"))
def phrases(_lab: Lab, _seat: Seat) -> dict[str, Any]:
    """Requests in clear text to fresh addresses, by what is in them."""
    requests = {
        "utf8": ("93.184.215.42", "/s?q=%E5%85%AD%E5%9B%9B", "plain.example"),
        "gb18030": ("93.184.217.8", "/%C1%F9%CB%C4", "plain.example"),
        "cookie only": ("93.184.218.7", "/", "plain.example\r\nCookie: x=%E5%85%AD%E5%9B%9B"),
        "host": ("151.101.10.7", "/", "forbidden.example"),
        "clean": ("151.101.11.7", "/s?q=weather", "plain.example"),
    }
    return {name: _fetch(*request) for name, request in requests.items()}


@look(rules.mitm(NAME))
def wrong_certificate(lab: Lab, _seat: Seat) -> dict[str, Any]:
    """A handshake with the name that the censor answers itself, and with one that it passes on."""
    return {"name": _handshake(lab, *SITE, NAME), "other": _handshake(lab, *SITE, "neighbour.example")}


@look(rules.sni_reset(NAME, residual=0))
def split_hello(lab: Lab, _seat: Seat) -> dict[str, Any]:
    """A ClientHello in small TCP segments, which the censor puts together."""
    return {"split": _handshake(lab, *SITE, NAME, pieces=40)}


@look()
def line_and_zone(lab: Lab, seat: Seat) -> dict[str, Any]:
    """A slow line by the kernel's shaper; a zone that does not verify; nothing beyond the lab."""
    seat.slow_line("1mbit")
    rate = _rate(lab, ("93.184.218.4", 443), "big.example", 4.0)
    with socket.socket() as sock:
        sock.settimeout(1)
        try:
            sock.connect(("203.0.113.1", 80))
            beyond = "open"
        except OSError as error:
            beyond = type(error).__name__
    return {
        "rate": rate,
        "broken": _rcode("bogus.example"),
        "unchecked": _rcode("bogus.example", cd=True),
        "beyond": beyond,
    }


def _handshake(lab: Lab, address: str, port: int, name: str, pieces: int = 0) -> str:
    """What became of a TLS handshake: its version, or the exception's name."""
    context = ssl.create_default_context(cafile=str(lab.root))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        with socket.create_connection((address, port), 2) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    tls.do_handshake()
                    return str(tls.version())
                except ssl.SSLWantReadError:
                    data = outgoing.read()
                    for at in range(0, len(data), pieces or len(data) or 1):
                        sock.sendall(data[at : at + (pieces or len(data))])
                    got = sock.recv(16384)
                    if not got:
                        return "eof"
                    incoming.write(got)
    except OSError as error:
        return type(error).__name__


def _rate(lab: Lab, place: tuple[str, int], name: str, seconds: float) -> float:
    """Bits a second of a page, measured for so long at most."""
    context = ssl.create_default_context(cafile=str(lab.root))
    with socket.create_connection(place, 5) as sock, context.wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        began, size = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            data = tls.recv(65536)
            if not data:
                break
            size += len(data)
        return 8 * size / (time.monotonic() - began)


def _fetch(address: str, target: str, host: str) -> str:
    try:
        with socket.create_connection((address, 80), 2) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return sock.recv(4096).decode("latin-1").split("\r\n")[0]
    except OSError as error:
        return type(error).__name__


def _ask(server: str, name: str, kind: str = "A", seconds: float = 0.5) -> list[dict[str, Any]]:
    """Every answer that comes to one query, with its IP TTL."""
    query = dns.message.make_query(name, kind, use_edns=0)
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        sock.connect((server, 53))
        sock.send(query.to_wire())
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            with contextlib.suppress(TimeoutError):
                data, ancillary, _flags, _address = sock.recvmsg(4096, 256)
                message = dns.message.from_wire(data)
                records = [item.to_text() for rrset in message.answer for item in rrset]
                ttl = int.from_bytes(ancillary[0][2][:4], "little")
                answers.append({"records": records, "ttl": ttl, "flags": int(message.flags), "edns": message.edns})
    return answers


def _rcode(name: str, *, cd: bool = False) -> int:
    query = dns.message.make_query(name, "A")
    query.flags |= 0x10 if cd else 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.connect((plan.SYSTEM, 53))
        sock.send(query.to_wire())
        return int(dns.message.from_wire(sock.recv(4096)).rcode())


def _router(ttl: int) -> str:
    """Who answers a datagram of that TTL by ICMP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        sock.sendto(b"x", (SITE[0], 33434))
        until = time.monotonic() + 2
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                _data, ancillary, _flags, _address = sock.recvmsg(512, 512, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
                return socket.inet_ntoa(ancillary[0][2][20:24])
            time.sleep(0.01)
    return "nobody"


def _opens(address: str, *, ttl: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(2)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        return sock.connect_ex((address, 443)) == 0


@contextlib.contextmanager
def _wire() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as sock:
        sock.settimeout(0.3)
        yield sock


def _inbound(wire: socket.socket) -> list[Packet]:
    """The TCP packets that have come in."""
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            data, place = wire.recvfrom(4096)
            packet = read(data)
            if packet is not None and packet.protocol == TCP and place[2] != _OUTGOING:
                found.append(packet)
    return found

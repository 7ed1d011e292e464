"""What a censor does to one client: rules, and the kinds of censors that are known as functions that give them.

Numbers are those of the field notes: the Chinese firewall's three kinds of resets and Henan's, 180 s of residual
blocking (90 s for HTTP), 1 to 3 forged answers, 130 to 150 kbit/s.
"""

import msgspec

FORGED = ("31.13.94.37", "104.244.43.128", "162.125.2.5", "31.13.85.53", "104.244.46.57")
FORGED_SIX = ("2a03:2880:f10c:83:face:b00c:0:25de", "2a03:2880:f11a:83:face:b00c:0:25de")
NOTICE = b"<html><head><title>Not here</title></head><body><p>This page is not available.</p></body></html>"


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule. `sees`: `dns`, `sni`, `host`, `phrase`, `quic` or `address`; empty conditions match everything.

    `does`: `forge` (DNS, the true answer follows), `rcode` (DNS, in its place), `reset` (`kind`: I, II, III, henan,
    or plain: like the server's own), `drop`, `fin`, `page` (an HTTP answer before the true one), `refuse` (RST to
    SYN), `unreachable` (ICMP), `throttle` (`rate` bit/s), `divert` (to a server of the censor's, which does `box`:
    `self_signed`, `unknown_ca`, `page` or `close` for the names, and passes on what is not named).
    A name matches itself and what is below it. `residual`: seconds for which (client, address, port) stays blocked.
    """

    sees: str
    does: str
    names: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    protocol: str = ""  # tcp or udp, where it sees addresses
    probability: float = 1.0
    residual: float = 0.0
    kind: str = "II"
    answers: tuple[str, ...] = ()
    count: int = 1
    rcode: int = 3
    page: bytes = b""  # status line, headers and body
    rate: float = 0.0
    box: str = ""

    def names_it(self, name: str) -> bool:
        """Whether a name is meant."""
        return not self.names or any(name == n or name.endswith(f".{n}") for n in self.names)

    def meets(self, address: str, port: int) -> bool:
        """Whether an address and port are meant."""
        return (not self.addresses or address in self.addresses) and (not self.ports or port in self.ports)


def gfw_dns(
    *names: str, count: int = 3, answers: tuple[str, ...] = FORGED + FORGED_SIX, probability: float = 1.0
) -> Rule:
    """Forged answers before the true one, whoever was asked."""
    return Rule(sees="dns", does="forge", names=names, count=count, answers=answers, probability=probability)


def dns_rcode(*names: str, rcode: int = 3) -> Rule:
    """NXDOMAIN (3), SERVFAIL (2) or REFUSED (5) in the place of the true answer."""
    return Rule(sees="dns", does="rcode", names=names, rcode=rcode)


def dns_drop(*names: str) -> Rule:
    """Queries vanish."""
    return Rule(sees="dns", does="drop", names=names)


def sni_reset(*names: str, kind: str = "II", residual: float = 180.0, probability: float = 1.0) -> Rule:
    """Forged resets after the ClientHello; the server's own packets go on arriving."""
    return Rule(sees="sni", does="reset", names=names, kind=kind, residual=residual, probability=probability)


def sni_drop(*names: str, residual: float = 180.0) -> Rule:
    """Nothing from the client passes from the ClientHello on."""
    return Rule(sees="sni", does="drop", names=names, residual=residual)


def sni_fin(*names: str) -> Rule:
    """A forged close after the ClientHello."""
    return Rule(sees="sni", does="fin", names=names)


def host_reset(*names: str, kind: str = "II", residual: float = 90.0, probability: float = 1.0) -> Rule:
    """Forged resets after a request with that Host."""
    return Rule(sees="host", does="reset", names=names, kind=kind, residual=residual, probability=probability)


def host_drop(*names: str, residual: float = 90.0) -> Rule:
    """Nothing from the client passes from the request on."""
    return Rule(sees="host", does="drop", names=names, residual=residual)


def phrase_reset(*phrases: str, kind: str = "II", residual: float = 90.0) -> Rule:
    """Forged resets after a phrase in path or query, UTF-8 or GB18030."""
    return Rule(sees="phrase", does="reset", phrases=phrases, kind=kind, residual=residual)


def block_page(*names: str, body: bytes = NOTICE, status: str = "200 OK", headers: tuple[str, ...] = ()) -> Rule:
    """A page in the place of the site's, which comes too late."""
    lines = ("Content-Type: text/html", f"Content-Length: {len(body)}", "Connection: close", *headers)
    page = f"HTTP/1.1 {status}\r\n{''.join(f'{line}' + chr(13) + chr(10) for line in lines)}\r\n".encode() + body
    return Rule(sees="host", does="page", names=names, page=page)


def redirect(*names: str, to: str) -> Rule:
    """A redirect to a block page in the place of the site's."""
    return block_page(*names, body=b"", status="302 Found", headers=(f"Location: {to}",))


def blackhole(*addresses: str, protocol: str = "") -> Rule:
    """Nothing to these addresses passes."""
    return Rule(sees="address", does="drop", addresses=addresses, protocol=protocol)


def refuse(*addresses: str, ports: tuple[int, ...] = ()) -> Rule:
    """A reset for every SYN."""
    return Rule(sees="address", does="refuse", addresses=addresses, ports=ports)


def unreachable(*addresses: str) -> Rule:
    """ICMP "prohibited" for every SYN."""
    return Rule(sees="address", does="unreachable", addresses=addresses)


def mitm(
    *names: str, box: str = "self_signed", ports: tuple[int, ...] = (443,), addresses: tuple[str, ...] = ()
) -> Rule:
    """Connections end at a server of the censor's, with a certificate of its own for these names."""
    return Rule(sees="address", does="divert", names=names, ports=ports, addresses=addresses, box=box, protocol="tcp")


def quic_drop(*names: str, residual: float = 180.0, probability: float = 1.0) -> Rule:
    """The Initial passes; afterwards nothing from the client to this address and port does."""
    return Rule(sees="quic", does="drop", names=names, residual=residual, probability=probability)


def no_quic() -> Rule:
    """All of UDP port 443 is dropped."""
    return Rule(sees="address", does="drop", ports=(443,), protocol="udp")


def throttle(*names: str, rate: float = 140_000.0) -> Rule:
    """Both directions of a connection are policed by dropping."""
    return Rule(sees="sni", does="throttle", names=names, rate=rate)

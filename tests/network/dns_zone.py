"""The lab's nameserver: unbound, with all names as local data, and other data for clients where a site says so."""

import base64
import struct
from collections.abc import Iterator
from pathlib import Path

import dns.rdata

from .plan import CLIENTS, PUBLIC, SYSTEM
from .sites import BROKEN_ZONE, CROWD, SITES, Site, crowd_address, crowd_name

PORT_OF_BROKEN = 5300
PLAIN = "93.184.0.1"  # where the DoH server asks


def configuration(folder: Path) -> str:
    """unbound.conf. The zone `bogus.example` is asked for at a nameserver that does not sign."""
    lines = [
        "server:", f"  pidfile: {folder}/unbound.pid", f'  directory: "{folder}"', '  chroot: ""', '  username: ""',
        "  use-syslog: no", f'  logfile: "{folder}/unbound.log"', "  num-threads: 1", "  do-not-query-localhost: no",
        "  so-rcvbuf: 0", "  so-sndbuf: 0", "  outgoing-range: 64", "  minimal-responses: yes", "  access-control: 0.0.0.0/0 allow",
        '  module-config: "validator iterator"', f'  trust-anchor: "{BROKEN_ZONE}. DS 12345 13 2 {"ab" * 32}"',
        f"  access-control-view: {CLIENTS[0]} inside", "  ratelimit: 0", "  val-log-level: 0", "  edns-buffer-size: 1232",
        *(f"  interface: {address}" for address in (SYSTEM, PUBLIC, PLAIN)),
        *_zone(SITES, inside=False),
        "remote-control:", "  control-enable: no",
        "stub-zone:", f'  name: "{BROKEN_ZONE}"', f"  stub-addr: 127.0.0.1@{PORT_OF_BROKEN}", "  stub-first: no",
        "view:", '  name: "inside"', "  view-first: yes",
        *_zone([s for s in SITES if s.inside], inside=True),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _zone(sites: tuple[Site, ...] | list[Site], *, inside: bool) -> Iterator[str]:
    if not inside:
        yield '  local-zone: "." static'
        yield f'  local-zone: "{BROKEN_ZONE}." transparent'
        yield '  local-data: "example. 60 IN SOA ns.example. me.example. 1 60 60 60 60"'
        yield '  local-data: "dns.example. 60 IN A 9.9.9.9"'
        for number in range(CROWD):
            for slow in (False, True):
                yield f'  local-data: "{crowd_name(number, slow=slow)}. 60 IN A {crowd_address(number)}"'
    for site in sites:
        if site.rcode == 2:
            yield f'  local-zone: "{site.name}." always_refuse'
        for address in site.inside if inside else site.addresses:
            kind = "AAAA" if ":" in address else "A"
            yield f'  local-data: "{site.name}. 60 IN {kind} {address}"'
        if site.ech and not inside:
            yield f'  local-data: "{site.name}. 60 IN TYPE65 {_https(site.addresses[0])}"'


def _https(hint: str) -> str:
    """An HTTPS record with an address hint and an ECH configuration, in the form that any server takes (RFC 3597)."""
    config = base64.b64encode(struct.pack("!HHH", 64, 0xFE0D, 60) + bytes(60)).decode()
    record = dns.rdata.from_text("IN", "HTTPS", f'1 . alpn="h2" ipv4hint={hint} ech="{config}"')
    wire = record.to_wire()
    assert wire is not None
    return f"\\# {len(wire)} {wire.hex()}"

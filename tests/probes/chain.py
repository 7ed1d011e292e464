"""A client, four routers and a server in namespaces, with a censor at the third router; prints what `path` found.

Run as `python -m tests.probes.chain` in fresh network and mount namespaces. One process: each thread is at home in the
namespace that it enters, and so is every socket that it opens there.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
from itertools import pairwise
from pathlib import Path

import dns.message
import dns.rrset
import msgspec

from probes.certificate import Authorities
from probes.experiment import Experiment
from probes.followup.hops import routers
from probes.followup.path import Trigger, path
from probes.followup.setting import Endpoint, Setting
from probes.network import DirectNetwork
from probes.trace import Trace
from tests.pki import TestAuthority

NODES = ("c", "r1", "r2", "r3", "r4", "s")
CENSOR = "r3"
SERVER, SERVER6 = "10.7.4.2", "fd07:4::2"
TLS, HTTP, EVERYTHING = range(20000, 20016), range(20100, 20116), range(20200, 20216)
_CLONE_NEWNET = 0x40000000


def build() -> None:
    """The chain: between node n and n + 1 lie 10.7.n.0/24 and fd07:n::/64."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    Path("/run/netns").mkdir()
    for node in NODES:
        _ip("netns", "add", node)
        _ip("-n", node, "link", "set", "lo", "up")
        _run("ip", "netns", "exec", node, "sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0")
    for n, (left, right) in enumerate(pairwise(NODES)):
        _ip("link", "add", "right", "netns", left, "type", "veth", "peer", "name", "left", "netns", right)
        for node, side, host in ((left, "right", 1), (right, "left", 2)):
            _ip("-n", node, "addr", "add", f"10.7.{n}.{host}/24", "dev", side)
            _ip("-n", node, "-6", "addr", "add", f"fd07:{n}::{host}/64", "dev", side, "nodad")
            _ip("-n", node, "link", "set", side, "up")
    for n, node in enumerate(NODES):
        settings = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0"]
        _run("ip", "netns", "exec", node, "sysctl", "-q", "-w", *settings)
        if n + 1 < len(NODES):  # everything further away is to the right
            for m in range(n + 1, len(NODES) - 1):
                _ip("-n", node, "route", "add", f"10.7.{m}.0/24", "via", f"10.7.{n}.2")
                _ip("-n", node, "-6", "route", "add", f"fd07:{m}::/64", "via", f"fd07:{n}::2")
        for m in range(n - 1):
            _ip("-n", node, "route", "add", f"10.7.{m}.0/24", "via", f"10.7.{n - 1}.1")
            _ip("-n", node, "-6", "route", "add", f"fd07:{m}::/64", "via", f"fd07:{n - 1}::1")


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def enter(node: str) -> None:
    """Make a node this thread's home."""
    with open(f"/run/netns/{node}", "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def serve(ready: threading.Event, context: ssl.SSLContext) -> None:
    """TLS for any name, HTTP for any Host, at the far end."""

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()

    async def forever() -> None:
        for ports, secured in ((TLS, context), (HTTP, None), (EVERYTHING, context)):
            for port in ports:
                await asyncio.start_server(page, SERVER, port, ssl=secured)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:  # hears queries and says nothing
            sink.bind((SERVER, 53))
            ready.set()
            await asyncio.Event().wait()

    enter("s")
    asyncio.run(forever())


def censor(ready: threading.Event) -> None:
    """Resets whoever sends a forbidden word through the third router, and answers whoever asks for one."""
    enter(CENSOR)
    line = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    line.bind(("left", 0x0800))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ready.set()
    while True:
        packet, where = line.recvfrom(65535)
        if where[2] == socket.PACKET_OUTGOING:
            continue
        at = (packet[0] & 15) * 4
        source, target = packet[12:16], packet[16:20]
        if packet[9] == socket.IPPROTO_TCP:
            sport, dport, seq, ack, offset = struct.unpack_from("!HHIIB", packet, at)
            data = packet[at + (offset >> 4) * 4 :]
            if b"forbidden" in data or (data and dport in EVERYTHING):
                reset = struct.pack("!HHIIBBHHH", dport, sport, ack, seq + len(data) & 0xFFFFFFFF, 80, 20, 0, 0, 0)
                _forge(raw, target, source, socket.IPPROTO_TCP, reset, checksum_at=16)
        elif packet[9] == socket.IPPROTO_UDP and b"forbidden" in packet[at + 8 :]:
            sport, dport = struct.unpack_from("!HH", packet, at)
            answer = dns.message.make_response(dns.message.from_wire(packet[at + 8 :]))
            answer.answer.append(dns.rrset.from_text(answer.question[0].name, 60, "IN", "A", "31.13.94.37"))
            wire = answer.to_wire()
            _forge(raw, target, source, socket.IPPROTO_UDP, struct.pack("!HHHH", dport, sport, 8 + len(wire), 0) + wire)


def _forge(
    raw: socket.socket, source: bytes, target: bytes, protocol: int, segment: bytes, checksum_at: int = 0
) -> None:
    if checksum_at:
        words = source + target + struct.pack("!BBH", 0, protocol, len(segment)) + segment
        total = sum(struct.unpack(f"!{len(words) // 2}H", words))
        total = (total & 0xFFFF) + (total >> 16)
        total += total >> 16
        segment = segment[:checksum_at] + struct.pack("!H", ~total & 0xFFFF) + segment[checksum_at + 2 :]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 7, 0, 64, protocol, 0, source, target)
    raw.sendto(head + segment, (socket.inet_ntoa(target), 0))


async def look(authorities: Authorities) -> dict[str, Experiment]:
    """Every search at the same time."""
    trace = Trace(DirectNetwork())
    found: dict[str, Experiment] = {}

    async def one(kind: str, trigger: Trigger, ports: range, sent: str, innocuous: str = "other.example") -> None:
        places = [(SERVER, port) for port in ports] if trigger != "dns" else [(SERVER, 53)] * 16
        setting = _setting(authorities, places, sent, innocuous)
        found[kind] = await path(trace, setting, trigger=trigger, hops=8)

    async def walk() -> None:
        await asyncio.sleep(2)  # IPv6 is up later than its links
        setting = _setting(authorities, [], "", "")
        tries = await routers(trace, setting, SERVER6, 8)
        found["routers6"] = Experiment(kind="path", place="neutral", tries=tuple(tries))

    async with asyncio.TaskGroup() as group:
        group.create_task(one("tls", "tls", TLS[:8], "forbidden.example"))
        group.create_task(one("open", "tls", TLS[8:], "fine.example"))
        group.create_task(one("http", "http", HTTP[:8], "forbidden.example"))
        group.create_task(one("phrase", "http", HTTP[8:], "/search?q=forbidden", "/search?q=weather"))
        group.create_task(one("everything", "tls", EVERYTHING, "forbidden.example"))
        group.create_task(one("dns", "dns", TLS, "forbidden.example"))
        group.create_task(one("silent", "dns", TLS, "fine.example"))
        group.create_task(walk())
    return found


def _setting(authorities: Authorities, places: list[Endpoint], sent: str, innocuous: str) -> Setting:
    return Setting(place="neutral", take=lambda: places.pop() if places else None, sent=sent, innocuous=innocuous,
                   until=60.0, authorities=authorities)  # fmt: skip


def main() -> None:
    """Build it, let everybody begin, look, print."""
    build()
    with tempfile.TemporaryDirectory() as folder:
        pki = TestAuthority(Path(folder))
        context = pki.server_context(pki.self_signed("neutral.invalid"))
        authorities = Authorities(pki.root)
        for work in (lambda ready: serve(ready, context), censor):
            ready = threading.Event()
            threading.Thread(target=work, args=(ready,), daemon=True).start()
            if not ready.wait(10):
                sys.exit("the chain does not come up")
        enter("c")
        found = asyncio.run(look(authorities))
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()
    os._exit(0)  # the threads wait for packets


if __name__ == "__main__":
    main()

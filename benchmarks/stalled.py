"""Memory of 1,000 handshakes with silent peers, in a process of its own; and how much a loud peer can send."""

import asyncio
import gc
import os
import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from probes import http, tcp, tls
from probes.certificate import Authorities
from probes.trace import Limits, Trace
from probes.url import parse_url

from .places import SILENT, MappedNetwork, Ports, addresses, host
from .row import Row
from .world import ROOT, world

NAME = "stalled"
COUNT = 1000
_LIMIT = 60.0  # seconds
_SETTLED = 4.0  # seconds until all have sent their ClientHello
_MB = 1e6


class Seen(msgspec.Struct, frozen=True):
    """What the process saw: bytes of memory before and during, and bytes taken from a loud peer."""

    before: int
    during: int
    handshake: int
    page: int


def run() -> list[Row]:
    """Memory, and bytes received before a probe hangs up."""
    with world() as servers:
        command = [sys.executable, "-m", "benchmarks.stalled", str(servers.root)]
        text = msgspec.json.encode(servers.ports)
        done = subprocess.run(command, cwd=ROOT, input=text, stdout=subprocess.PIPE, check=True, timeout=2 * _LIMIT)
    seen = msgspec.json.decode(done.stdout, type=Seen)
    grown, limits = seen.during - seen.before, Limits()
    return [
        Row(NAME, f"RSS with {COUNT:,} stalled TLS handshakes", seen.during / _MB, "MB", "≤ 250 MB"),
        Row(NAME, "growth by them", grown / _MB, "MB"),
        Row(NAME, "growth by each", grown / COUNT / 1000, "KB"),
        Row(NAME, "taken from a peer whose handshake has no end", seen.handshake / 1024, "KiB",
            f"≤ {limits.handshake_bytes // 1024} KiB"),
        Row(NAME, "taken of a page without end (the limit and one read)", seen.page / 1024, "KiB",
            f"≤ {(limits.body_bytes + limits.header_bytes + tcp.CHUNK) // 1024} KiB"),
    ]  # fmt: skip


def resident() -> int:
    """Bytes of memory that this process holds (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _look(root: Path, ports: Ports) -> Seen:
    authorities = Authorities(root)
    async with asyncio.timeout(_LIMIT):
        loud = MappedNetwork(msgspec.structs.replace(ports, silent=ports.flood))
        handshake, page = await _loud_handshake(loud), await _loud_page(loud)
        gc.collect()
        before = resident()
        traces = [Trace(MappedNetwork(ports), limits=Limits(timeout=_LIMIT)) for _ in range(COUNT)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_stall(trace, n, authorities)) for n, trace in enumerate(traces)]
            await asyncio.sleep(_SETTLED)
            during = resident()
            assert all(len(trace.operations) == 1 for trace in traces)  # connected, and nothing since
            for task in tasks:
                task.cancel()
    return Seen(before=before, during=during, handshake=handshake, page=page)


async def _stall(trace: Trace, number: int, authorities: Authorities) -> None:
    stream = await tcp.connect(trace, _address(number), 443)
    assert stream is not None
    await tls.handshake(trace, stream, host(SILENT, number), authorities=authorities)


def _address(number: int) -> str:
    found = addresses(host(SILENT, number))
    assert found is not None
    return found[0]


async def _loud_handshake(network: MappedNetwork) -> int:
    stream = await tcp.connect(Trace(network), _address(0), 443)
    assert stream is not None
    with suppress(ssl.SSLError):  # longer than the limit
        await tls.TLSStream(stream, host(SILENT, 0), Limits().handshake_bytes).handshake()
    stream.close()
    return stream.received


async def _loud_page(network: MappedNetwork) -> int:
    trace = Trace(network)
    stream = await tcp.connect(trace, _address(0), 80)
    assert stream is not None
    url = parse_url(f"http://{host(SILENT, 0)}/")
    page = await http.fetch(
        trace, stream, url, address=stream.address, port=80, received=lambda: stream.received
    )  # fmt: skip
    stream.close()
    assert page.cut == "limit"
    return stream.received


if __name__ == "__main__":
    seen = asyncio.run(_look(Path(sys.argv[1]), msgspec.json.decode(sys.stdin.buffer.read(), type=Ports)))
    sys.stdout.buffer.write(msgspec.json.encode(seen))

"""Capturing on loopback: what is kept, its bounds, and that there is quietly nothing without the capability."""

import asyncio
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from probes import resets
from probes.capture import MOST_PEERS, Capture
from probes.kept import FIRST_OF_A_FLOW, MOST_BYTES, MOST_PACKETS
from probes.network import DirectNetwork
from probes.packets import Flow
from probes.trace import Trace

from .loopback import closes, gone, place, says

ROOT = Path(__file__).resolve().parents[2]
HERE = "127.0.0.1"
THERE = f"127.7.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"  # others may be testing on this machine
pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_PACKET") or os.geteuid() != 0, reason="capturing packets needs root"
)


def run(story: Callable[[Capture], Awaitable[None]], *watched: str) -> Capture:
    """The story while a capture listens; the capture is closed at the end and can still be asked."""

    async def told() -> Capture:
        capture = DirectNetwork().capture()
        assert capture is not None
        with capture:
            for address in watched:
                capture.watch(address)
            await story(capture)
            return capture

    return asyncio.run(told())


async def ask(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], address: str) -> int:
    """One request to a server at the address; the client's port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, address, 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        port = int(writer.get_extra_info("sockname")[1])
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await asyncio.sleep(0.02)
    return port


@pytest.mark.parametrize("address", [HERE, THERE, "::1"], ids=["near", "another", "IPv6"])
def test_each_packet_of_loopback_is_seen_once_and_from_the_clients_side(address: str) -> None:
    began, ports = datetime.now(UTC), []

    async def story(_capture: Capture) -> None:
        ports.append(await ask(gone, address))

    capture = run(story, address)
    [flow] = [flow for flow in capture.flows(began) if flow.local_port == ports[0]]
    assert flow.address == address
    assert [(p.flags, p.inbound) for p in flow.packets[:4]] == [("S", False), ("SA", True), ("A", False), ("PA", False)]
    [reset] = flow.resets
    assert 0.05 < reset.at < 1
    assert resets.ttl_differences(flow) == (0,)
    assert resets.spoken_after_reset(flow) == ()
    trip, later = resets.round_trip(flow), resets.after_last_data(flow)
    assert trip is not None and later is not None
    assert 0 < trip < 0.02 < later
    assert [p.at for p in flow.packets] == sorted(p.at for p in flow.packets)
    assert capture.counts["kept"] >= len(flow.packets)


def test_only_what_is_watched_and_only_from_then_on() -> None:
    began = datetime.now(UTC)

    async def story(capture: Capture) -> None:
        await ask(closes, THERE)
        capture.watch(THERE)
        await ask(closes, HERE)
        await ask(closes, THERE)

    [flow] = run(story).flows(began)
    assert flow.address == THERE
    assert flow.packets[0].flags == "S"


def test_times_are_those_of_the_measurement_and_a_step_of_the_clock_moves_none() -> None:
    async def story() -> None:
        async with place() as here:
            with Trace(DirectNetwork()) as trace, Capture.open() or pytest.fail("no capture") as capture:
                capture.watch(HERE)
                port = await here.listen(says(b""))
                before = trace.now()
                (await trace.network.connect(HERE, port)).close()
                after = trace.now()
                await asyncio.sleep(0.02)
                [flow] = [flow for flow in capture.flows(trace.began) if flow.port == port]
                assert before - 0.001 <= flow.packets[0].at <= after
                [earlier] = [f for f in capture.flows(trace.began - timedelta(seconds=5)) if f.port == port]
                assert earlier.packets[0].at == pytest.approx(flow.packets[0].at + 5, abs=1e-5)

    asyncio.run(story())


def test_a_port_that_is_used_again_is_another_connection() -> None:
    ports = [0]

    async def story(_capture: Capture) -> None:
        with socket.socket() as listening:
            listening.bind((THERE, 0))
            listening.listen()
            for _ in range(2):
                with socket.socket() as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    sock.bind((HERE, ports[-1]))
                    sock.connect(listening.getsockname())
                    ports.append(sock.getsockname()[1])
        await asyncio.sleep(0.02)

    flows = run(story, THERE).flows(datetime.now(UTC))
    assert [flow.local_port for flow in flows] == ports[1:]
    assert ports[1] == ports[2] > 0
    assert all(flow.packets[0].flags == "S" for flow in flows)


def test_addresses_that_are_none_and_more_than_enough() -> None:
    async def story(capture: Capture) -> None:
        for address in (
            "",
            "nonsense",
            "300.0.0.1",
            "fe80::1%lo",
            f"::ffff:{THERE}",
            *(f"10.0.0.{n}" for n in range(99)),
        ):
            capture.watch(address)
        assert len(capture._peers) == MOST_PEERS
        await ask(closes, THERE)

    capture = run(story)
    assert {flow.address for flow in capture.flows(datetime.now(UTC))} == {THERE}
    capture.watch(HERE)  # closed: nothing happens
    capture.close()


def test_a_flood_takes_bounded_room_and_ends(tmp_path: Path) -> None:
    """20,000 datagrams of 400 conversations; and what comes then costs nothing."""
    sizes: list[int] = []

    async def story(capture: Capture) -> None:
        tracemalloc.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
            sink.bind((THERE, 0))
            for _ in range(400):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.connect(sink.getsockname())
                    for _ in range(50):
                        sock.send(b"x" * 1000)
                await asyncio.sleep(0)
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        await asyncio.sleep(0.05)
        assert capture.counts["kept"] <= min(MOST_PACKETS, MOST_BYTES // 200)
        assert capture.counts["full"] == 1
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(100):
                sock.sendto(b"x", (THERE, 9))
        await asyncio.sleep(0.05)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - used < 0.05

    capture = run(story, THERE)
    assert capture.flows(datetime.now(UTC)) == ()
    assert MOST_BYTES - 300 < len(capture.pcap()) < MOST_BYTES + 16 * MOST_PACKETS + 24
    assert sizes[0] < 8 * 1024 * 1024
    assert read_by_tshark(tmp_path, capture.pcap()).count("\n") == capture.counts["kept"]


def test_a_long_connection_leaves_its_beginning_and_its_end() -> None:
    async def long(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(60):
            writer.write(b"x" * 100)
            await asyncio.sleep(0.001)
        await gone(reader, writer)

    async def story(_capture: Capture) -> None:
        await ask(long, THERE)

    [flow] = run(story, THERE).flows(datetime.now(UTC))
    assert FIRST_OF_A_FLOW < len(flow.packets) < FIRST_OF_A_FLOW + 5
    assert (flow.packets[0].flags, len(flow.resets)) == ("S", 1)


def test_the_file_tells_neither_address_nor_malformed_packets(tmp_path: Path) -> None:
    async def story(_capture: Capture) -> None:
        await ask(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), THERE)
        await ask(gone, "::1")

    told = read_by_tshark(tmp_path, run(story, THERE, "::1").pcap(), "-V")
    assert "192.0.2.1" in told and "2001:db8::1" in told
    assert HERE not in told
    assert "alformed" not in told
    assert "Ethernet" not in told


@pytest.mark.parametrize("interface", ["", "lo"])
def test_an_interface_of_its_own(interface: str) -> None:
    async def story() -> tuple[Flow, ...]:
        with DirectNetwork(interface=interface).capture() or pytest.fail("no capture") as capture:
            capture.watch(THERE)
            await ask(closes, THERE)
            return capture.flows(datetime.now(UTC))

    assert len(asyncio.run(story())) == 1


def test_an_interface_that_is_not_there_gives_no_capture() -> None:
    async def story() -> Capture | None:
        return DirectNetwork(interface="nosuch0").capture()

    assert asyncio.run(story()) is None


def test_without_the_capability_there_is_quietly_none() -> None:
    code = (
        "import asyncio\nfrom probes.network import DirectNetwork\n"
        "async def main():\n    print(DirectNetwork().capture(), DirectNetwork(interface='lo').capture())\nasyncio.run(main())"
    )
    drop = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    done = subprocess.run(
        [*drop, sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None None\n", "")


def test_what_a_packet_costs() -> None:
    """Some 50 microseconds each; docs/design/016-packet-evidence.md has the measured figure."""
    spent: list[float] = []

    async def story(capture: Capture) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
            sink.bind((THERE, 0))
            for _ in range(10):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.connect(sink.getsockname())
                    for _ in range(FIRST_OF_A_FLOW):
                        sock.send(b"x" * 200)
                before = time.process_time()
                capture._drain()
                spent.append(time.process_time() - before)

    capture = run(story, THERE)
    assert capture.counts["kept"] == 10 * FIRST_OF_A_FLOW
    print(f"{1e6 * sum(spent) / capture.counts['kept']:.1f} µs a packet")
    assert sum(spent) / capture.counts["kept"] < 0.001


def read_by_tshark(folder: Path, data: bytes, *options: str) -> str:
    """What tshark says of a file: a line a packet, or all of it."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed")
    path = folder / "evidence.pcap"
    path.write_bytes(data)
    done = subprocess.run(
        [program, "-n", "-r", path, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

"""The silent sink: a listener that never says a word, what a censor puts in, and `wallwatch helper --sink`."""

import asyncio
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from blocklists import target_of
from blocklists.places import Place as Listed
from monitor.cli import main
from monitor.collect.sink import MAX_READ, Sink
from monitor.collect.work import Result
from probes.experiment import Experiment
from probes.failure import EOF, RESET, TIMEOUT
from probes.remote.servers import NO_NAME
from probes.remote.sink import ANSWERED, NO_SINK
from tests.probes.loopback import abort, page
from tests.probes.proxies import free_port

from .path import Act, Censor, nothing_said, says_at_once
from .test_remote_dns import CONTROLS, NAME, Outside, left_out, outside, told

ROOT = Path(__file__).resolve().parents[2]
SECURE, PLAIN = f"https://{NAME}/", f"http://{NAME}/"
ADDRESS = "203.0.113.99"
REQUEST = b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n"
SILENCE = 0.4


def listening(client: Callable[[int], Awaitable[None]], **options: float) -> Sink:
    """The sink while a client is at work."""

    async def run() -> Sink:
        sink = Sink(**options)  # type: ignore[arg-type]
        sink.open([("127.0.0.1", 0)])
        async with asyncio.timeout(15):
            serving = asyncio.ensure_future(sink.serve())
            try:
                await client(sink.bound[0][1])
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
        return sink

    return asyncio.run(run())


async def _connected(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def _heard(sock: socket.socket, seconds: float) -> bytes | None:
    """What came in that time; None: nothing at all. Raises OSError after a reset."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().sock_recv(sock, 1024)
    except TimeoutError:
        return None


@pytest.mark.parametrize("sent", [REQUEST, b"\x16\x03\x01\x00\x05nonsense", b"", b"220 mail.example\r\n"])
def test_it_takes_everything_and_says_nothing(sent: bytes) -> None:
    async def client(port: int) -> None:
        with await _connected(port) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, sent)
            assert await _heard(sock, 0.3) is None

    assert listening(client).taken == 1


def test_its_end_is_a_fin_after_the_clients_own() -> None:
    async def client(port: int) -> None:
        with await _connected(port) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, REQUEST)
            sock.shutdown(socket.SHUT_WR)
            assert await _heard(sock, 3.0) == b""

    listening(client)


def test_its_end_at_the_deadline_is_no_reset_though_bytes_still_come() -> None:
    async def client(port: int) -> None:
        with await _connected(port) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, REQUEST)
            assert await _heard(sock, 3.0) == b""
            for _ in range(3):
                await asyncio.get_running_loop().sock_sendall(sock, b"late")
                await asyncio.sleep(0.05)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    listening(client, deadline=0.2)


def test_who_sends_too_much_must_wait_and_is_not_reset() -> None:
    async def client(port: int) -> None:
        with await _connected(port) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
            sent = 0
            try:
                async with asyncio.timeout(0.5):
                    while True:
                        await asyncio.get_running_loop().sock_sendall(sock, b"x" * 65536)
                        sent += 65536
            except TimeoutError:
                pass
            assert MAX_READ <= sent < 64 * 1024 * 1024
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    listening(client)


def test_a_client_that_resets_disturbs_nobody() -> None:
    async def client(port: int) -> None:
        rude = await _connected(port)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()
        with await _connected(port) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, REQUEST)
            assert await _heard(sock, 0.2) is None

    assert listening(client).taken == 2


def test_where_all_places_are_taken_new_ones_wait_in_silence() -> None:
    async def client(port: int) -> None:
        held = [await _connected(port) for _ in range(6)]
        try:
            for sock in held:
                await asyncio.get_running_loop().sock_sendall(sock, REQUEST)
                assert await _heard(sock, 0.05) is None
        finally:
            for sock in held:
                sock.close()

    assert listening(client, most=2).taken == 3  # two held, one accepted that waits; the kernel keeps the others


def test_one_client_holds_only_so_many_and_the_others_end_in_a_fin() -> None:
    async def client(port: int) -> None:
        held = [await _connected(port) for _ in range(4)]
        try:
            ends = [await _heard(sock, 0.3) for sock in held]
            assert ends == [None, None, b"", b""]
        finally:
            for sock in held:
                sock.close()

    listening(client, per_client=2)


def test_a_port_that_is_taken_opens_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sink = Sink()
        with pytest.raises(OSError):
            sink.open([("127.0.0.1", 0), ("127.0.0.1", taken.getsockname()[1])])
        assert sink.bound == []


# Measured from outside


class Across:
    """A sink in the network that is measured, with somebody between who may put something in."""

    def __init__(self, world: Outside) -> None:
        self.world = world
        self.places: tuple[Listed, ...] = ()
        self.censor: Censor | None = None
        self.sink = Sink()
        self._serving: asyncio.Future[None] | None = None

    async def close(self) -> None:
        self.sink.close()
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def open(self, ports: int, act: Act | None, protocol: str = "https", **options: object) -> None:
        self.sink.open([("127.0.0.1", 0)] * ports)
        made = self.world.place
        for number, (_host, port) in enumerate(self.sink.bound, 1):
            made.network.tcp[ADDRESS, 20000 + number] = port
            if act is not None:
                self.censor = self.censor or Censor(act, self.world.collector.clock, **options)  # type: ignore[arg-type]
                await made.listen(self.censor.before(port), (ADDRESS, 20000 + number))
        self.places = tuple(
            Listed(address=ADDRESS, port=20000 + number, protocol=protocol) for number in range(1, ports + 1)
        )
        self._serving = asyncio.ensure_future(self.sink.serve())

    async def measure(self, url: str = SECURE) -> Result:
        return await self.world.measure("sink", target_of(url), self.places)


@asynccontextmanager
async def across(folder: Path, *, rest: timedelta = timedelta(0)) -> AsyncIterator[Across]:
    async with outside(folder, rest=rest) as world:
        limits = world.collector.limits
        world.collector.limits = msgspec.structs.replace(limits, timeout=SILENCE)
        made = Across(world)
        try:
            yield made
            if made.censor is not None:
                await made.censor.settle()
        finally:
            await made.close()


def played(folder: Path, act: Act | None, url: str = SECURE, *, ports: int = 8, **options: object) -> Result:
    async def play() -> Result:
        async with across(folder) as made:
            await made.open(ports, act, url.partition(":")[0], **options)
            return await made.measure(url)

    return asyncio.run(play())


def tries(result: Result) -> Experiment:
    (made,) = result.measurement.experiments
    return made


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await abort(writer)


async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return None


@pytest.mark.parametrize("url", [SECURE, PLAIN])
def test_silence_is_fine(tmp_path: Path, url: str) -> None:
    result = played(tmp_path, None, url)
    assert told(result) == ("ok", None), result.verdict
    assert result.verdict.rules == ("ok.silent_sink",)
    assert "what a plain client inside gets" in result.verdict.reason
    made = tries(result)
    assert (made.place, made.kind) == ("sink", "sni" if url == SECURE else "host")
    assert sum(t.innocuous for t in made.tries) == sum(not t.innocuous for t in made.tries) == 6
    assert {t.failure for t in made.tries} == {None}  # silence is what passes
    assert {t.operations[-1].failure for t in made.tries} == {TIMEOUT}  # and the record says what happened


@pytest.mark.parametrize(("url", "technique"), [(SECURE, "tls.reset.sni"), (PLAIN, "http.reset.host")])
def test_resets_that_come_only_with_the_name(tmp_path: Path, url: str, technique: str) -> None:
    result = played(tmp_path, reset, url)
    assert told(result) == ("blocked", technique), result.verdict
    assert result.verdict.rules == ("tcp.reset_at_the_sink",)
    made = tries(result)
    assert len(made.tries) == 6  # three pairs are enough
    by_port: dict[int, list[str | None]] = {}
    for attempt in made.tries:
        by_port.setdefault(attempt.port, []).append(attempt.failure)
    assert list(by_port.values()) == [[None, RESET]] * 3  # each pair at a port of its own, the innocuous name first
    assert {t.sent for t in made.tries if t.innocuous} < set(CONTROLS)
    assert "neither end resets" in result.verdict.reason


def test_a_reset_now_and_then(tmp_path: Path) -> None:
    result = played(tmp_path, reset, first=1)
    assert told(result) == ("insufficient", "ambiguous"), result.verdict
    assert len(tries(result).tries) == 12  # a doubt is looked at again


def test_resets_for_every_name(tmp_path: Path) -> None:
    result = played(tmp_path, reset, names=(NAME, *CONTROLS))
    assert told(result) == ("insufficient", "ambiguous"), result.verdict
    assert "innocuous names" in result.verdict.reason.lower()
    assert all(t.innocuous for t in tries(result).tries)  # the name is not sent where another one fails


@pytest.mark.parametrize(
    ("url", "act", "ends"),
    [
        (SECURE, close, EOF),
        (SECURE, says_at_once(b"\x15\x03\x03\x00\x02\x02\x28"), "ssl_failed_handshake"),
        (PLAIN, says_at_once(page(b"Blocked")), ANSWERED),
    ],
)
def test_another_end_or_an_answer_is_no_proof(tmp_path: Path, url: str, act: Act, ends: str) -> None:
    result = played(tmp_path, act, url)
    assert told(result) == ("insufficient", "ambiguous"), result.verdict
    assert {t.failure for t in tries(result).tries if not t.innocuous} == {ends}


def test_dropped_packets_look_like_the_sink_itself(tmp_path: Path) -> None:
    """What the method cannot see, and the docs say so."""
    assert told(played(tmp_path, nothing_said)) == ("ok", None)


def test_ports_where_the_name_failed_rest_and_none_may_be_left(tmp_path: Path) -> None:
    async def play() -> list[Result]:
        async with across(tmp_path, rest=timedelta(minutes=6)) as made:
            await made.open(4, reset)
            return [await made.measure() for _ in range(3)]

    first, second, third = asyncio.run(play())
    assert told(first) == ("blocked", "tls.reset.sni"), first.verdict
    used = {t.port for t in tries(first).tries}
    assert len(used) == 3
    assert {t.port for t in tries(second).tries}.isdisjoint(used)  # the one that is left
    assert [t.failure for t in tries(second).tries] == [None, RESET]
    assert told(second) == told(third) == ("insufficient", "not_measurable")  # one is too few, and then there is none
    assert tries(third).tries == ()
    assert left_out(second) == left_out(third) == [NO_SINK]


@pytest.mark.parametrize(
    ("url", "why"), [("phrase:六四", NO_NAME), ("https://93.184.215.14/", NO_NAME), (PLAIN, NO_SINK)]
)
def test_what_this_sink_cannot_tell(tmp_path: Path, url: str, why: str) -> None:
    async def play() -> Result:
        async with across(tmp_path) as made:
            await made.open(2, None)
            return await made.measure(url)

    result = asyncio.run(play())
    assert told(result) == ("insufficient", "not_measurable")
    assert left_out(result) == [why]


# The command


def test_the_helper_opens_it(tmp_path: Path) -> None:
    port, of_file = free_port(), free_port()
    (tmp_path / "config.toml").write_text(f'[helper]\nsink = ["127.0.0.1:{of_file}"]\n')
    command = [sys.executable, "-m", "monitor.cli", "helper", "--listen", "127.0.0.1:0"]
    for options, where in ((["--sink", f"127.0.0.1:{port}"], port), ([], of_file)):
        process = subprocess.Popen(
            [*command, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert process.stderr is not None
        try:
            assert re.search(r"http://127\.0\.0\.1:\d+/", process.stderr.readline())
            with socket.create_connection(("127.0.0.1", where), timeout=5) as sock:
                sock.sendall(REQUEST)
                sock.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    sock.recv(100)
                process.send_signal(signal.SIGTERM)
                sock.settimeout(10)
                assert sock.recv(100) == b""  # its end is a FIN too
            assert process.wait(20) == 0
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", where), timeout=2)


@pytest.mark.parametrize("value", ["nowhere", "127.0.0.1:99999", "127.0.0.1:"])
def test_a_sink_that_cannot_be(tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["helper", "--listen", "127.0.0.1:0", "--sink", value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert value.split(":")[0] in line


def test_a_sinks_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["helper", "--listen", "127.0.0.1:0", "--sink", f"127.0.0.1:{port}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "helper.sink" in line and str(port) in line
    assert time.monotonic() - began < 10

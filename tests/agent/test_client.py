"""The agent's way to its service over real TLS: what is let go, what is sent again, how long it waits."""

import logging
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from blocklists import target_of
from monitor.agent import protocol
from monitor.agent.client import Client, Fetched, Setback
from monitor.agent.protocol import Answer, Assignment
from monitor.agent.spool import Spool
from monitor.agent.uploader import DENIED_LONGEST, LONGEST, Backoff, Uploader
from probes.certificate import Authorities
from probes.clock import Clock
from tests.agent.made import measurement
from tests.agent.running import in_loop
from tests.agent.taker import TOKEN, Taker, answer, lost_answer, refusing, status, taking, torn

ROOM = 1 << 30
WORK = Assignment(
    vantage="inside", every=60, jitter=1, lists={"a.csv": (target_of("https://site.example/"),)}, controls=()
)


@asynccontextmanager
async def client_of(taker: Taker, *, token: str = TOKEN, proxy: str = "") -> AsyncIterator[Client]:
    context = Authorities(taker.authority.root).context()
    async with Client(taker.url, token, context=context, clock=Clock(), proxy=proxy) as client:
        yield client


@asynccontextmanager
async def uploading(folder: Path, count: int) -> AsyncIterator[tuple[Taker, Spool, Uploader]]:
    """A service, and an agent with so many measurements in its spool."""
    async with (
        taking(folder) as taker, client_of(taker) as client, Spool(folder / "spool.db", limit=ROOM) as spool,
    ):  # fmt: skip
        for n in range(count):
            await spool.put(measurement(n), "ok")
        yield taker, spool, Uploader(spool, client, clock=Clock())


def uids(*numbers: int) -> list[str]:
    return [measurement(n).uid for n in numbers]


@in_loop
async def test_the_assignment_comes_once_and_says_who_asks(tmp_path: Path) -> None:
    async with taking(tmp_path) as taker, client_of(taker) as client:
        taker.assignment = WORK
        got = await client.assignment(spooled=7)
        assert isinstance(got, Fetched) and got.assignment == WORK
        assert protocol.assignment_of(got.body) == WORK
        assert await client.assignment(got.etag) is None
        head = taker.heads[0]
        assert head["Authorization"] == f"Bearer {TOKEN}" and head[protocol.SPOOLED] == "7" and head[protocol.VERSION]
        assert abs((datetime.fromisoformat(head[protocol.TIME]) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize("body", [b"", b"[]", b'{"vantage": 1}', b"\xff" * 100, b"x" * (40 * 2**20)])
@in_loop
async def test_an_assignment_that_is_none_is_a_setback(tmp_path: Path, body: bytes) -> None:
    async with taking(tmp_path) as taker, client_of(taker) as client:
        taker.assignment = body
        got = await client.assignment()
        assert isinstance(got, Setback) and got.kind == "failed" and len(got.reason) <= 300


@in_loop
async def test_nobody_but_the_service_gets_the_token(tmp_path: Path) -> None:
    async with taking(tmp_path, valid=False) as taker, client_of(taker) as client:
        got = await client.hand_in([b"{}"])
        assert isinstance(got, Setback) and "ertificate" in got.reason
        assert taker.heads == []
    moved = status(307, Location="https://elsewhere.example/")
    async with taking(tmp_path) as taker, client_of(taker) as client:
        taker.tricks = [moved, moved]
        assert isinstance(await client.assignment(), Setback)
        assert isinstance(await client.hand_in([b'{"uid": 1}']), Setback)


@in_loop
async def test_only_what_the_answer_names_is_let_go(tmp_path: Path) -> None:
    async with uploading(tmp_path, 5) as (taker, spool, uploader):

        def some(_taker: Taker, _request: object, sent: list[str]) -> object:
            return answer(Answer(stored=(sent[1], sent[3], "20260101T000000.000000Z-of-another")))

        taker.tricks = [some]  # type: ignore[list-item]
        assert await uploader.once() == 0.0
        assert [one.uid for one in await spool.batch(10, ROOM)] == uids(0, 2, 4)
        assert await uploader.once() == 0.0
        assert await uploader.once() is None and spool.count == 0
        assert sorted(taker.kept) == uids(0, 2, 4)


@in_loop
async def test_an_answer_that_names_nothing_is_no_progress(tmp_path: Path) -> None:
    async with uploading(tmp_path, 1) as (taker, spool, uploader):
        taker.tricks = [lambda _taker, _request, _uids: answer(Answer(stored=()))]
        wait = await uploader.once()
        assert wait is not None and wait > 0 and spool.count == 1


@in_loop
async def test_a_lost_answer_and_a_torn_connection_are_sent_again_and_kept_once(tmp_path: Path) -> None:
    async with uploading(tmp_path, 4) as (taker, spool, uploader):
        taker.tricks = [lost_answer, torn, status(500), lost_answer]
        waits = [await uploader.once() for _ in range(4)]
        assert all(wait is not None and wait > 0 for wait in waits) and spool.count == 4
        while await uploader.once() == 0.0:
            pass
        assert spool.count == 0
        assert taker.seen[0] == uids(0, 1, 2, 3) and taker.seen[1] == uids(0, 1)  # half as many after each setback
        assert taker.kept == dict.fromkeys(uids(0, 1, 2, 3), 1)


@in_loop
async def test_what_is_refused_is_set_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with uploading(tmp_path, 4) as (taker, spool, uploader):
        taker.tricks = [refusing(1, 2)]
        assert await uploader.once() == 0.0
        assert spool.count == 0 and sorted(taker.kept) == uids(0, 3)
        for uid in uids(1, 2):
            assert f"{uid} was refused for good: 'schema: is no good'" in caplog.text


@in_loop
async def test_too_large_means_half_of_it_and_never_that_one_is_lost(tmp_path: Path) -> None:
    async with uploading(tmp_path, 4) as (taker, spool, uploader):
        taker.tricks = [status(413), status(413), status(413)]
        assert await uploader.once() == 0.0
        assert await uploader.once() == 0.0
        wait = await uploader.once()
        assert wait is not None and wait > 0
        assert taker.seen == [uids(0, 1, 2, 3), uids(0, 1), uids(0)]
        assert await uploader.once() == 0.0
        assert taker.seen[3] == uids(1)  # the one that is too large waits behind the others
        while await uploader.once() == 0.0:
            pass
        assert spool.count == 0 and sorted(taker.kept) == uids(0, 1, 2, 3)


@in_loop
async def test_a_busy_service_is_obeyed_within_bounds(tmp_path: Path) -> None:
    async with uploading(tmp_path, 2) as (taker, spool, uploader):
        taker.tricks = [status(429, Retry_After="30"), status(503, Retry_After="999999"), status(429, Retry_After="-5")]
        assert await uploader.once() == 30.0
        assert await uploader.once() == 3600.0
        wait = await uploader.once()
        assert wait is not None and 1 <= wait <= 8
        assert spool.count == 2 and await uploader.once() == 0.0
        assert [len(batch) for batch in taker.seen] == [2, 2, 2, 2]


@in_loop
async def test_a_token_that_is_not_good_is_said_once_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with uploading(tmp_path, 2) as (taker, spool, uploader):
        taker.tricks = [status(401), status(403), status(401)]
        waits = [await uploader.once() for _ in range(3)]
        assert all(wait is not None and wait >= 30 for wait in waits) and spool.count == 2
        assert [r.levelno for r in caplog.records] == [logging.ERROR]
        assert "does not accept the token" in caplog.text
        while await uploader.once() == 0.0:
            pass
        assert spool.count == 0


def test_waits_grow_with_jitter_to_their_bounds_and_begin_again() -> None:
    backoff = Backoff("testing")
    failed, denied = Setback("failed", "x"), Setback("denied", "x")
    waits = [backoff.wait(failed) for _ in range(40)]
    assert 1 <= waits[0] <= 2 and all(LONGEST / 2 <= wait <= LONGEST for wait in waits[-20:])
    assert len(set(waits[-20:])) > 10
    refused = [backoff.wait(denied) for _ in range(40)]
    assert refused[0] >= 30 and all(DENIED_LONGEST / 2 <= wait <= DENIED_LONGEST for wait in refused[-20:])
    backoff.succeeded()
    assert backoff.wait(failed) <= 2


@in_loop
async def test_a_service_that_is_not_there_is_a_setback(tmp_path: Path) -> None:
    async with taking(tmp_path) as taker:
        pass
    async with client_of(taker) as client:
        got = await client.hand_in([b"{}"])
        assert isinstance(got, Setback) and got.kind == "failed" and got.reason
    proxies = (f"http://u:secret@127.0.0.1:{taker.port}", f"socks5://u:secret@127.0.0.1:{taker.port}")
    for proxy in proxies:
        async with client_of(taker, proxy=proxy) as client:
            got = await client.hand_in([b"{}"])
            assert isinstance(got, Setback) and got.kind == "failed" and "secret" not in got.reason


@contextmanager
def tinyproxy(folder: Path) -> Iterator[int]:
    """A real HTTP proxy; its port."""
    if shutil.which("tinyproxy") is None:
        pytest.skip("tinyproxy is not installed")
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    settings = folder / "tinyproxy.conf"
    settings.write_text(f'Port {port}\nListen 127.0.0.1\nLogFile "{folder}/tinyproxy.log"\nLogLevel Connect\n')
    with subprocess.Popen(["tinyproxy", "-d", "-c", str(settings)], stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)


@in_loop
async def test_a_batch_goes_through_a_real_http_proxy(tmp_path: Path) -> None:
    with tinyproxy(tmp_path) as port:
        async with taking(tmp_path) as taker, client_of(taker, proxy=f"http://127.0.0.1:{port}") as client:
            line = msgspec.json.encode(measurement(1))
            assert await client.hand_in([line]) == Answer(stored=tuple(uids(1)))
            told = (tmp_path / "tinyproxy.log").read_text()
            assert f"CONNECT localhost:{taker.port}" in told  # the proxy looks the name up, and sees nothing more

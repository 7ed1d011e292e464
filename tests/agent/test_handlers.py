"""The service's two addresses for agents: who is let in, how much, what is answered, and that nothing else is."""

import asyncio
import gzip
import json
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from blocklists import target_of
from monitor.agent import door, handlers, protocol
from monitor.agent.door import is_private
from monitor.agent.protocol import ASSIGNMENT_PATH, MEASUREMENTS_PATH, assignment_of
from monitor.config import ConfigError, load
from monitor.engine import setup
from monitor.service import Service
from monitor.store import Store, StoreError
from tests.pki import TestAuthority

from .service import NOW, TARGETS, Taking, measurement, reply, taking, written


def taken(folder: Path, use: Callable[[Taking], Awaitable[None]]) -> None:
    async def main() -> None:
        async with taking(folder) as running:
            await use(running)

    asyncio.run(main())


def test_an_assignment_is_the_vantages_own(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        status, document, headers = await running.ask("GET", ASSIGNMENT_PATH, await running.token())
        found = assignment_of(json.dumps(document).encode())
        assert (status, found.vantage, found.country, found.asn) == (200, "inside", "IR", 44244)
        assert [t.name for t in found.lists["targets.csv"]] == list(TARGETS)
        assert [t.url for t in found.controls] == [f"https://control-{n}.example/" for n in "abc"]
        assert (found.every, found.jitter, found.retries) == (3600, 300, 3)
        assert found.blocked == ("https://blocked.example/",)
        again = await running.ask("GET", ASSIGNMENT_PATH, await running.token(), If_None_Match=headers["ETag"])
        assert (again[0], again[1], again[2]["ETag"]) == (304, None, headers["ETag"])
        other = await running.ask("GET", ASSIGNMENT_PATH, await running.token("beside"))
        assert (other[1]["vantage"], other[1]["country"], other[1]["blocked"]) == ("beside", "", [])
        assert "inside" not in json.dumps(other[1])

    taken(tmp_path, use)


def test_helpers_make_empty_pages_and_a_changed_list_another_etag(tmp_path: Path) -> None:
    async def main() -> None:
        path = written(
            tmp_path,
            control='helpers = ["https://th.example/"]\nempty = ["http://e.example/204"]\nsilent = "192.0.2.9"',
        )
        async with taking(tmp_path, setup(load(path))) as running:
            token = await running.token()
            _status, first, headers = await running.ask("GET", ASSIGNMENT_PATH, token)
            assert first["helpers"] == ["https://th.example/"]
            assert first["empty"] == ["http://e.example/204", "https://th.example/generate_204"]
            assert first["silent"] == "192.0.2.9"
            engine = running.service.engine
            lists = {"targets.csv": (*engine.setup.targets["targets.csv"], target_of("https://new.example/"))}
            engine.setup = msgspec.structs.replace(engine.setup, targets=lists)
            status, second, new = await running.ask("GET", ASSIGNMENT_PATH, token, If_None_Match=headers["ETag"])
            assert (status, len(second["lists"]["targets.csv"])) == (200, 4)
            assert new["ETag"] != headers["ETag"]

    asyncio.run(main())


@pytest.mark.parametrize("path", [ASSIGNMENT_PATH, MEASUREMENTS_PATH])
def test_wrong_revoked_and_foreign_tokens(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "FRESH", 0.0)
    method = "GET" if path == ASSIGNMENT_PATH else "POST"

    async def use(running: Taking) -> None:
        assert (await running.ask(method, path, ""))[0] == 401
        assert (await running.ask(method, path, "x" * 43))[0] == 401
        old = await running.token()
        new = await running.token()
        assert (await running.ask(method, path, old))[0] == 403
        await running.store.revoke("inside", NOW)
        assert (await running.ask(method, path, new))[0] == 403
        for vantage in ("here", "gone"):
            assert (await running.ask(method, path, await running.token(vantage)))[0] == 403
        assert running.refusals("no_token") == running.refusals("unknown_token") == 1
        assert running.refusals("revoked_token") == running.refusals("unknown_vantage") == 2

    taken(tmp_path, use)


def test_a_new_token_is_good_at_once_and_a_revoked_one_for_a_second_at_most(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        assert (await running.ask("GET", ASSIGNMENT_PATH, "wrong"))[0] == 401  # now the tokens are remembered
        token = await running.token()
        assert (await running.ask("GET", ASSIGNMENT_PATH, token))[0] == 200
        await running.store.revoke("inside", NOW)
        began = time.monotonic()
        while (await running.ask("GET", ASSIGNMENT_PATH, token))[0] != 403:
            assert time.monotonic() - began < door.FRESH + 1
            await asyncio.sleep(0.2)

    taken(tmp_path, use)


def test_a_stolen_token_alters_nothing_that_is_stored(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        theirs, made = await running.token("beside"), measurement(vantage="beside", control=(reply(),))
        await running.hand_in([made], theirs)
        before = await running.store.measurement(made.uid)
        stolen = await running.token()
        mine = measurement(2, uid=made.uid, time=made.time, reset=True)
        answer = await running.hand_in([mine], stolen)
        assert answer.stored == (made.uid,)
        assert await running.store.measurement(made.uid) == before
        assert await running.store.series_state(TARGETS[0], "inside") is None

    taken(tmp_path, use)


def test_failed_authentications_are_limited_and_lock_nobody_out(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        statuses = [(await running.ask("GET", ASSIGNMENT_PATH, "wrong"))[0] for _ in range(15)]
        assert (statuses[0], statuses[-1]) == (401, 429)
        assert statuses.count(401) in range(10, 13)
        status, _document, headers = await running.ask("GET", ASSIGNMENT_PATH, "wrong")
        assert (status, 0 < int(headers["Retry-After"]) <= 7) == (429, True)
        assert running.refusals("too_many_failures") == statuses.count(429) + 1
        assert (await running.ask("GET", ASSIGNMENT_PATH, await running.token()))[0] == 200

    taken(tmp_path, use)


def test_requests_and_bytes_of_a_token_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BYTES", 10.0)
    monkeypatch.setattr(door, "BYTES_BURST", 1000)

    async def use(running: Taking) -> None:
        token, other = await running.token(), await running.token("beside")
        statuses = await asyncio.gather(*(running.ask("GET", ASSIGNMENT_PATH, token) for _ in range(40)))
        assert {s for s, _d, _h in statuses} == {200, 429}
        assert (await running.post(gzip.compress(b"{}\n" * 400) + b"\0" * 2000, other))[0] == 400
        status, _document, headers = await running.post(protocol.batch_of([measurement()]), other)
        assert (status, int(headers["Retry-After"]) > 1) == (429, True)
        assert running.refusals("too_many_bytes") == 1

    taken(tmp_path, use)


def test_batches_of_every_wrong_kind(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        lines = b"\n".join(b'{"uid":"%d"}' % n for n in range(501))
        for body, status, reason in (
            (b"", 400, "batch"),
            (b"no gzip", 400, "batch"),
            (gzip.compress(b"x" * 1000)[:-4], 400, "batch"),
            (gzip.compress(b"{}") * 2, 400, "batch"),
            (gzip.compress(lines), 413, "too_large"),
            (gzip.compress(b"\0" * (protocol.MAX_BATCH + 1), 9), 413, "too_large"),
            (b"\0" * (protocol.MAX_SENT + 1), 413, "too_large"),
        ):
            before = running.refusals(reason)
            found, document, _headers = await running.post(body, await running.token())
            assert (found, list(document)) == (status, ["error"]), body[:20]
            assert running.refusals(reason) == before + 1
        status, document, _headers = await running.post(gzip.compress(b""), await running.token())
        assert (status, document) == (200, {"stored": [], "rejected": []})

    taken(tmp_path, use)


def test_a_body_without_a_length_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 2**16
            yield b"\0" * 2**16

    async def use(running: Taking) -> None:
        headers = {"Authorization": f"Bearer {await running.token()}"}
        try:
            async with running.client.post(
                running.url + MEASUREMENTS_PATH, data=endless(), headers=headers
            ) as response:
                assert response.status == 413
        except aiohttp.ClientError:
            pass  # the service closed while we wrote
        assert running.refusals("too_large") == 1
        assert sent < 4 * protocol.MAX_SENT

    taken(tmp_path, use)


def test_a_body_that_is_labelled_gzip_is_unpacked_once(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        made = measurement(control=(reply(),))
        status, document, _headers = await running.post(
            protocol.batch_of([made]), await running.token(), Content_Encoding="gzip"
        )
        assert (status, document["stored"]) == (200, [made.uid])

    taken(tmp_path, use)


def test_a_batch_that_does_not_come_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "_READING", 0.2)

    async def slow() -> Any:
        yield b"\x1f\x8b"
        await asyncio.sleep(5)
        yield b""

    async def use(running: Taking) -> None:
        headers = {"Authorization": f"Bearer {await running.token()}"}
        async with running.client.post(running.url + MEASUREMENTS_PATH, data=slow(), headers=headers) as response:
            assert response.status == 408
        assert running.refusals("too_slow") == 1

    taken(tmp_path, use)


def test_a_connection_that_is_cut_stores_nothing(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        body, token = protocol.batch_of([measurement()]), await running.token()
        with socket.create_connection(("127.0.0.1", running.service.port)) as plain:
            head = f"POST {MEASUREMENTS_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
            plain.sendall(head.encode() + body[: len(body) // 2])
            await asyncio.sleep(0.2)
        assert (await running.ask("GET", ASSIGNMENT_PATH, token))[0] == 200
        assert await running.store.known([measurement().uid]) == set()
        assert (await running.hand_in([measurement()], token)).stored == (measurement().uid,)

    taken(tmp_path, use)


def test_a_store_that_cannot_write_lets_agents_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(running: Taking) -> None:
        token, body = await running.token(), protocol.batch_of([measurement(control=(reply(),))])

        async def full(_pairs: Any) -> Any:
            raise StoreError("not written: database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(running.store, "save_many", full)
            status, _document, headers = await running.post(body, token)
            assert (status, headers["Retry-After"]) == (503, "5")
            patch.setattr(handlers, "_STORING", 0.1)
            patch.setattr(running.store, "save_many", lambda _pairs: asyncio.sleep(0.5, [None]))
            assert (await running.post(body, token))[0] == 503
        assert running.refusals("store") == 2
        assert (await running.post(body, token))[0] == 200

    taken(tmp_path, use)


def test_what_an_agent_says_of_itself_is_kept_and_shown(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        token = await running.token()
        ahead = (NOW + timedelta(seconds=7200)).isoformat()
        said = {protocol.TIME: ahead, protocol.SPOOLED: "31", protocol.VERSION: "0.1.0"}
        assert (await running.ask("GET", ASSIGNMENT_PATH, token, body=None, **said))[0] == 200
        assert running.metric("wallwatch_agent_clock_skew_seconds", vantage="inside") == 7200
        assert running.metric("wallwatch_agent_spooled_measurements", vantage="inside") == 31
        await running.service._agents.close()
        [contact] = await running.store.contacts()
        assert (contact.vantage, contact.at, contact.skew, contact.spooled, contact.version) == (
            "inside",
            NOW,
            7200,
            31,
            "0.1.0",
        )
        for nonsense in ("", "yesterday", "9999-12-31T23:59:59-23:59", "x" * 1000, "0001-01-01T00:00:00+23:59"):
            said = {protocol.TIME: nonsense, protocol.SPOOLED: "-1" + nonsense, protocol.VERSION: "\u00fc" * 100}
            assert (await running.ask("GET", ASSIGNMENT_PATH, token, body=None, **said))[0] == 200

    taken(tmp_path, use)


def test_plain_http_is_for_loopback_only() -> None:
    for remote in ("192.0.2.1", "10.0.0.1", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1", "", None):
        assert not is_private(False, remote)
        assert is_private(True, remote)
    for remote in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"):
        assert is_private(False, remote)


def test_plain_http_from_elsewhere_is_refused_before_the_token_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "kind", lambda _address: "global")

    async def use(running: Taking) -> None:
        for token in (await running.token(), "wrong", ""):
            assert (await running.ask("GET", ASSIGNMENT_PATH, token))[0] == 403
        assert running.refusals("plain_http") == 3

    taken(tmp_path, use)


def test_pages_show_agents_and_the_schedule_leaves_them_out(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        assert running.service.engine.measured_vantages() == ["here"]
        async with running.client.get(running.url + "/api/v1/matrix") as response:
            assert (await response.json())["vantages"] == ["here", "inside", "beside"]
        labels = {"vantage": "inside", "kind": "agent", "country": "IR", "asn": "44244", "as_name": ""}
        assert running.metric("wallwatch_vantage_info", **labels) == 1

    taken(tmp_path, use)


def test_a_service_without_agents_has_no_such_address(tmp_path: Path) -> None:
    async def main() -> None:
        path = written(tmp_path)
        path.write_text(path.read_text().split('[[vantage]]\nname = "inside"')[0])
        async with taking(tmp_path, setup(load(path))) as running:
            assert (await running.ask("GET", ASSIGNMENT_PATH, await running.token()))[0] == 404
            assert (await running.ask("POST", MEASUREMENTS_PATH, ""))[0] == 404

    asyncio.run(main())


def test_over_tls_and_with_a_renewed_certificate(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    pem = authority.issue("localhost", "127.0.0.1")
    path = written(tmp_path, service=f'certificate = "{pem}"\nkey = "{pem}"')
    trusting = ssl.create_default_context(cafile=str(authority.root))

    async def main() -> None:
        made = setup(load(path))
        async with Store.open(tmp_path / "x.db") as store, Service(made, store=store) as service:
            await service.serve()
            url = f"https://127.0.0.1:{service.port}"

            async def serial() -> int:
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as client:
                    async with client.get(url + "/healthz") as response:
                        assert response.status == 200
                    async with client.get(url + ASSIGNMENT_PATH) as response:
                        assert response.status == 401
                _reader, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=trusting)
                found = writer.get_extra_info("peercert")["serialNumber"]
                writer.close()
                await writer.wait_closed()
                return int(found, 16)

            before = await serial()
            pem.write_bytes(authority.issue("localhost", "127.0.0.1").read_bytes())
            service._read_again = lambda: setup(load(path))
            engine = await service._next_engine()
            assert engine is not None
            await engine.__aexit__(None, None, None)
            assert await serial() != before

    asyncio.run(main())


@pytest.mark.parametrize(
    ("certificate", "key", "fault"),
    [
        ("none.pem", "good.pem", "service.certificate: {folder}/none.pem: No such file or directory"),
        ("good.pem", "none.pem", "service.key: {folder}/none.pem: No such file or directory"),
        ("text.pem", "good.pem", "service.certificate: {folder}/text.pem: "),
        ("good.pem", "text.pem", "service.key: {folder}/text.pem: "),
        ("good.pem", "other.pem", "service.key: {folder}/other.pem: key values mismatch"),
    ],
)
def test_a_bad_certificate_is_told_by_file_and_key(tmp_path: Path, certificate: str, key: str, fault: str) -> None:
    authority = TestAuthority(tmp_path)
    for name in ("good.pem", "other.pem"):
        (tmp_path / name).write_bytes(authority.issue("localhost").read_bytes())
    (tmp_path / "text.pem").write_text("no certificate\n")
    path = written(tmp_path, service=f'certificate = "{certificate}"\nkey = "{key}"')

    async def main() -> None:
        async with Store.open(tmp_path / "x.db") as store, Service(setup(load(path)), store=store) as service:
            await service.serve()

    with pytest.raises(ConfigError) as caught:
        asyncio.run(main())
    assert str(caught.value).startswith(f"{path}: " + fault.format(folder=tmp_path))

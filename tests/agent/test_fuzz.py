"""Uploads of nonsense: never a 500, and nothing is stored that cannot be read again.

`WALLWATCH_FUZZ=10000` plays so many; 500 without it.
"""

import asyncio
import copy
import gzip
import json
import os
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.agent import door
from probes.dns import DNSLookup, Record, Response
from probes.experiment import Attempt, Experiment
from probes.measurement import Measurement, SelfTest
from probes.packets import Flow, Packet
from probes.quic import QUICHandshake
from tests.publish.sample import HOSTILE

from .service import NOW, TARGETS, Taking, measurement, reply, taking, uid_at

T = TypeVar("T")
EXAMPLES = int(os.environ.get("WALLWATCH_FUZZ", "500"))
FINE = {200, 400, 403, 413}


def _whole() -> Measurement:
    """One with a record of every kind."""
    made = measurement(control=(reply(), reply(attempt=3, at=9.0)))
    where: dict[str, Any] = {"address": "192.0.2.7", "port": 443}
    lookup = DNSLookup(started=1, finished=2, engine="udp", resolver="udp://192.0.2.7:53", name="x.example",
                       query_type="AAAA", responses=(Response(at=0.1, records=(Record("AAAA", "2001:db8::1", 3),)),))  # fmt: skip
    quic = QUICHandshake(started=1, finished=2, server_name="example.com", failure="generic_timeout_error", **where)
    tries = (Attempt(sent="example.com", started=1, finished=2, failure="connection_reset", operations=made.operations, **where),
             Attempt(sent="x.example", started=1, finished=2, innocuous=True, operations=(lookup, quic), **where))  # fmt: skip
    kinds = ("sni", "host", "phrase", "injection", "quic", "throughput", "path", "search", "resolver", "echo")
    flow = Flow(
        local_port=4000, packets=(Packet(at=0.1, inbound=True, ttl=60, flags="R", window=0, payload="00"),), **where
    )
    return msgspec.structs.replace(
        made, operations=(*made.operations, lookup, quic), flows=(flow,), pcap=b"pcap", asns=(("192.0.2.7", 64500),),
        experiments=tuple(Experiment(kind=k, place="own", tries=tries) for k in kinds),
        self_tests=(*made.self_tests, SelfTest(nat64=("64:ff9b::/96",), failed=("x",), ipv6=True, wildcard=("192.0.2.1",))),
    )  # fmt: skip


SEEDS: list[Any] = [
    json.loads(msgspec.json.encode(m))
    for m in (
        _whole(), measurement(control=(reply(),)), measurement(reset=True, control=(reply(), reply(attempt=3, at=6.0))),
        measurement(reset=True), measurement(target="phrase:falun"), measurement(target="https://unlisted.example/a?b#c"),
    )
]  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-2, 70_000), st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 90_000), st.text(max_size=40), st.binary(max_size=8).map(lambda b: b.hex()),
    st.sampled_from([
        HOSTILE, "", "\0", "2001:db8::1", "::ffff:127.0.0.1", "1.2.3.4", "fe80::1%x", "127.0.0.1", "0.0.0.0", "a.b", "xn--",
        "[::1]", "64:ff9b::1.2.3.4", "::/0", "connection_reset", "generic_timeout_error", "dns_no_answer", "eof_error",
        "sni", "own", "neutral", "silent", "platform:x", "system", "udp", "doh", "https://example.com/", "http://[", "//",
        "http://1.2.3.4:99999/", "https://\u0130.example/", "helper:http://[", "vantage:", "0001-01-01T00:00:00+14:00",
        "2026-03-01T12:00:00", 2**31, 2**63, -(2**63), 2**64, 10**30, 1e308, 5e-324, -0.0, [], {}, [[]], ["", 0], [[""]], {"": ""},
        {"0" * 64: "AAAA"}, "x" * 70_000,
    ]),
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from(["set", "drop", "twice", "swap"]), ODD, st.text(max_size=5)),
    max_size=6,
)
LINE = st.tuples(st.sampled_from(range(len(SEEDS))), CHANGES, st.integers(0, 9))
NONSENSE = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(gzip.compress),
    st.recursive(ODD, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12)
    .map(lambda v: gzip.compress(json.dumps(v).encode())),
    st.builds(lambda n, cut: gzip.compress(json.dumps(SEEDS[n]).encode())[:cut], st.sampled_from(range(len(SEEDS))), st.integers(0, 900)),
    st.integers(1, 4000).map(lambda deep: gzip.compress(b'{"uid":"u","operations":' + b"[" * deep)),
)  # fmt: skip
_number = iter(range(1, 10**9))


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        found.append((value, key))
        places(inner, found)
    return found


def mutated(seed: int, changes: Any, fixed: int) -> bytes:
    """A line; in nine of ten its uid is new and fits its time, so that the rest decides what becomes of it."""
    document = copy.deepcopy(SEEDS[seed])
    if fixed:
        number = next(_number)
        moment = NOW - timedelta(seconds=number, microseconds=number % 999_999)
        document["uid"], document["time"] = uid_at(moment, number), moment.isoformat()
    for where, how, value, name in changes:
        all_places = places(document, [])
        container, key = all_places[where % len(all_places)]
        if fixed and key in ("uid", "time") and container is document:
            continue
        if how == "set":
            container[key] = copy.deepcopy(value)
        elif how == "drop":
            del container[key]
        elif how == "twice" and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif how == "twice":
            container[name] = copy.deepcopy(container[key])
        else:
            other, at = all_places[(where * 7 + 3) % len(all_places)]
            container[key] = copy.deepcopy(other[at])
    return json.dumps(document).encode()


class Loop:
    """A service in a thread of its own, for examples that are made one after the other."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._context = taking(folder)
        self.running: Taking = self.run(self._context.__aenter__())
        self.token = self.run(self.running.token())
        self.seen: Counter[str] = Counter()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RATE", "BURST", "BYTES", "BYTES_BURST"):
            patch.setattr(door, name, 10**12)
        loop = Loop(tmp_path_factory.mktemp("fuzz"))
        yield loop
        print("\nuploads and lines:", dict(sorted(loop.seen.items())))
        loop.close()


async def _hand_in(served: Loop, body: bytes) -> None:
    running = served.running
    status, document, _headers = await running.post(body, served.token)
    assert status in FINE, (status, document)
    served.seen[f"status {status}"] += 1
    if status != 200:
        return
    for refused in document["rejected"]:
        served.seen[f"refused {refused['reason'].split(':')[0]}"] += 1
    for uid in document["stored"]:
        served.seen["stored"] += 1
        found = await running.store.measurement(uid)
        assert found is not None
        assert msgspec.json.decode(msgspec.json.encode(found[0]), type=Measurement) == found[0]
        for path in (f"/api/v1/measurements/{uid}", f"/measurements/{uid}"):
            async with running.client.get(running.url + path) as response:
                assert response.status == 200, (path, await response.text())
                content = await response.read()
            assert b"<script" not in content or path.startswith("/api/")


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(LINE, min_size=1, max_size=3), nonsense=NONSENSE, which=st.integers(0, 4))
def test_no_upload_breaks_the_service(served: Loop, lines: Any, nonsense: bytes, which: int) -> None:
    body = nonsense if which == 0 else gzip.compress(b"\n".join(mutated(*line) for line in lines), 1)
    served.run(_hand_in(served, body))


def test_everything_that_was_stored_is_still_sound(served: Loop) -> None:
    """After all of it: every row is read, and pages, metrics and events are there."""
    running = served.running
    kept = list(running.store.iter_measurements())
    assert len(kept) == len({m.uid for m, _v in kept}) > 0
    assert {m.vantage.name for m, _v in kept} == {"inside"}

    async def look() -> None:
        target = TARGETS[0]
        for path in ("/", "/metrics", "/api/v1/matrix", "/api/v1/events", f"/targets?target={target}"):
            async with running.client.get(running.url + path) as response:
                assert response.status == 200, path

    served.run(look())


if EXAMPLES > 1000:
    test_no_upload_breaks_the_service = pytest.mark.timeout(7200)(test_no_upload_breaks_the_service)

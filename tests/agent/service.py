"""A service on loopback that takes measurements in: its configuration, its store, tokens, and who hands in."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from monitor.agent import protocol
from monitor.agent.protocol import Answer, answer_of
from monitor.agent.tokens import hash_of, new_token
from monitor.config import load
from monitor.engine import Setup, setup
from monitor.service import Service
from monitor.store import Store
from probes.clock import Clock
from probes.dns import DNSLookup, Record, Response
from probes.http import HTTPRoundTrip
from probes.measurement import ControlEndpoint, ControlPage, ControlReply, Measurement, SelfTest, VantageFacts
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from tests.publish.sample import BODY, certificate, sha256

HEADER = "url,category_code,category_description,date_added,source,notes\n"
TARGETS = ("https://example.com/", "https://other.example/", "phrase:falun")
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ADDRESS = "93.184.215.14"
CONFIG = """
[service]
listen = "127.0.0.1:0"
targets = ["targets.csv"]
{service}
[schedule]
every = "1h"
jitter = "5m"
[control]
open = "controls.csv"
{control}
[[vantage]]
name = "here"
[[vantage]]
name = "inside"
kind = "agent"
country = "IR"
asn = 44244
blocked = ["https://blocked.example/"]
[[vantage]]
name = "beside"
kind = "agent"
"""


class StillClock(Clock):
    """A wall clock that stands still until it is moved; waiting is real."""

    def __init__(self, now: datetime = NOW) -> None:
        self.at = now

    def now(self) -> datetime:
        return self.at


def written(folder: Path, *, service: str = "", control: str = "", targets: Sequence[str] = TARGETS) -> Path:
    """A configuration and its lists; the path of the former."""
    rows = "".join(f"{t},NEWS,News Media,2026-01-01,test,\n" for t in targets)
    (folder / "targets.csv").write_text(HEADER + rows)
    controls = "".join(f"https://control-{n}.example/,CTRL,Control content,2026-01-01,test,\n" for n in "abc")
    (folder / "controls.csv").write_text(HEADER + controls)
    (folder / "config.toml").write_text(CONFIG.format(service=service, control=control))
    return folder / "config.toml"


class Taking:
    """A running service, and a client of it."""

    def __init__(self, service: Service, client: aiohttp.ClientSession, clock: StillClock) -> None:
        self.service, self.client, self.clock = service, client, clock
        self.store = service.store
        self.url = f"http://127.0.0.1:{service.port}"

    async def token(self, vantage: str = "inside") -> str:
        """A new token of a vantage."""
        token = new_token()
        await self.store.enrol(vantage, hash_of(token), self.clock.now())
        return token

    async def post(self, body: bytes, token: str, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        """Status, document and headers of an upload."""
        return await self.ask("POST", protocol.MEASUREMENTS_PATH, token, body=body, **headers)

    async def hand_in(self, measurements: Sequence[Measurement], token: str) -> Answer:
        """The answer to a batch that must be taken."""
        status, document, _headers = await self.post(protocol.batch_of(measurements), token)
        assert status == 200, document
        return answer_of(json.dumps(document).encode())

    async def ask(
        self, method: str, path: str, token: str, *, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None if body is None else BytesIO(body)
        async with self.client.request(method, self.url + path, data=data, headers=sent) as response:
            content = await response.read()
            return response.status, json.loads(content) if content else None, response.headers

    def refusals(self, reason: str) -> float:
        """How many were counted."""
        return self.metric("wallwatch_agent_refusals_total", reason=reason)

    def metric(self, name: str, **labels: str) -> float:
        value = self.service.metrics.registry.get_sample_value(name, labels)
        pairs = (sample for family in self.service.metrics.pairs.collect() for sample in family.samples)
        found = [value] if value is not None else [s.value for s in pairs if (s.name, s.labels) == (name, labels)]
        return found[0] if found else -1.0


@asynccontextmanager
async def taking(folder: Path, made: Setup | None = None) -> AsyncIterator[Taking]:
    """A service with the agents `inside` and `beside`."""
    clock = StillClock()
    made = made or setup(load(written(folder)))
    made = msgspec.structs.replace(made, clock=clock)
    async with (
        Store.open(folder / "x.db", simulated=made.simulated) as store, Service(made, store=store) as service,
        aiohttp.ClientSession(auto_decompress=True) as client,
    ):  # fmt: skip
        await service.serve()
        yield Taking(service, client, clock)


def uid_at(moment: datetime, number: int) -> str:
    """A uid as an agent makes them."""
    return f"{moment:%Y%m%dT%H%M%S.%fZ}-{number:012x}"


def measurement(
    number: int = 1, *, minutes: float = -5, target: str = TARGETS[0], vantage: str | VantageFacts = "inside", reset: bool = False,
    control: tuple[ControlReply, ...] = (), tries: int = 4, **changes: Any,
) -> Measurement:  # fmt: skip
    """What an agent made: a page as it should be, or handshakes that are all reset; without a control of its own."""
    moment = NOW + timedelta(minutes=minutes, microseconds=number)
    url = "" if target.startswith("phrase:") else target
    operations = [op for n in range(tries if reset else 1) for op in _contact(n, reset=reset)] if url else []
    bodies, certificates = (
        ({}, {}) if reset or not url else ({sha256(BODY): BODY}, {sha256(certificate()): certificate()})
    )
    made = Measurement(
        uid=uid_at(moment, number), time=moment, target=target, url=url, site="lies.example", category="MISC",
        vantage=_facts(vantage) if isinstance(vantage, str) else vantage,
        operations=tuple(operations), control=control, control_configured=bool(control), duration=2.0 + 3.0 * (len(operations) > 4),
        self_tests=(SelfTest(at=-3.0, opened=("a.example", "b.example", "c.example"), clock_skew=0.2),),
        bodies=bodies, certificates=certificates,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def _facts(name: str) -> VantageFacts:
    return VantageFacts(name=name, kind="agent", country="CN", asn=1, as_name="Lies", blind=("packets",))


def _contact(attempt: int, *, reset: bool) -> list[Any]:
    at, flow = attempt * 1.2, attempt + 1
    answer = Response(at=0.01, records=(Record("A", ADDRESS, 60),), flags=33152)
    found: list[Any] = [
        DNSLookup(started=at, finished=at + 0.01, attempt=attempt, engine="udp", resolver="system", name="example.com",
                  query_type="A", server="192.0.2.53 53", responses=(answer,)),
        TCPConnect(started=at + 0.02, finished=at + 0.05, attempt=attempt, address=ADDRESS, port=443, flow=flow),
        TLSHandshake(started=at + 0.05, finished=at + 0.08, attempt=attempt, address=ADDRESS, port=443, flow=flow,
                     server_name="example.com", failure="connection_reset" if reset else None,
                     version="" if reset else "TLSv1.3", chain=() if reset else (sha256(certificate()),)),
    ]  # fmt: skip
    if not reset:
        found.append(
            HTTPRoundTrip(started=at + 0.08, finished=at + 0.4, attempt=attempt, address=ADDRESS, port=443, flow=flow,
                          url=TARGETS[0], status=200, headers=(("Server", "nginx"),), title="Example",
                          body_length=len(BODY), body_sha256=sha256(BODY))
        )  # fmt: skip
    return found


def reply(url: str = TARGETS[0], **changes: Any) -> ControlReply:
    """A control that saw the site as it is."""
    made = ControlReply(
        source="helper:https://th.example/", url=url, addresses=(ADDRESS,),
        endpoints=(ControlEndpoint(address=ADDRESS, port=443, tls=True, server_name="example.com"),),
        page=ControlPage(status=200, title="Example", body_length=len(BODY), body_sha256=sha256(BODY)),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)

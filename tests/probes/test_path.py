"""`probes.followup.path`: whose hop it is, how few triggers it takes, and what is kept of the way."""

import asyncio
import errno
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from monitor.judge.where import censor_hop
from probes.certificate import Authorities
from probes.dns import DNSLookup, Response
from probes.experiment import Attempt, Experiment
from probes.followup.hops import FIRST_TOLD, LEFT_OUT_HOPS, NoHopsError, ShortNetwork, limit_hops
from probes.followup.pairs import LEFT_OUT_LISTENERS, LEFT_OUT_TIME
from probes.followup.path import TRIGGERS, Trigger, heard, lowest_ttl, next_ttl, path
from probes.followup.setting import Endpoint, Setting
from probes.network import DirectNetwork
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.trace import Trace

from . import loopback
from .loopback import MappedNetwork, place

ROOT = Path(__file__).parents[2]
RESET, TIMEOUT, UNREACHABLE = "connection_reset", "generic_timeout_error", "host_unreachable"


# The chain: client, four routers of which the third is a censor, server.


@pytest.fixture(scope="module")
def chain() -> dict[str, Experiment]:
    isolate = ["unshare", "-nm"] if os.geteuid() == 0 else ["unshare", "-Urnm"]
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("unshare or ip is not installed")
    if subprocess.run([*isolate, "ip", "link", "add", "type", "veth"], capture_output=True).returncode:
        pytest.skip("this kernel gives no network namespaces with links between them")
    ended = subprocess.run(
        [*isolate, sys.executable, "-m", "tests.probes.chain"], cwd=ROOT, capture_output=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return msgspec.json.decode(ended.stdout, type=dict[str, Experiment])


@pytest.mark.parametrize("trigger", ["tls", "http", "phrase", "dns"])
def test_the_censor_stands_at_the_third_router(chain: dict[str, Experiment], trigger: str) -> None:
    found = chain[trigger]
    assert censor_hop(found) == (3, "10.7.2.2")
    came = {t.failure for t in found.tries if t.ttl == 3 and not t.innocuous}
    assert came == {None if trigger == "dns" else RESET}
    assert [t.ttl for t in found.tries] == [8, 4, 2, 3, 2, 2, 3, 3, 3]
    assert (found.place, found.left_out) == ("neutral", "")


@pytest.mark.parametrize("trigger", ["tls", "http", "phrase"])
def test_every_trigger_has_a_port_of_its_own(chain: dict[str, Experiment], trigger: str) -> None:
    ports = [t.port for t in chain[trigger].tries if t.operations]
    assert len(set(ports)) == len(ports)


def test_where_nobody_objects_the_way_ends_at_the_server(chain: dict[str, Experiment]) -> None:
    assert lowest_ttl(chain["open"].tries) == 5
    assert censor_hop(chain["open"]) is None


def test_who_resets_everything_objects_to_no_name(chain: dict[str, Experiment]) -> None:
    assert lowest_ttl(chain["everything"].tries) == 3
    assert censor_hop(chain["everything"]) is None


def test_no_answer_at_the_full_length_ends_the_search(chain: dict[str, Experiment]) -> None:
    assert [(t.ttl, heard(t)) for t in chain["silent"].tries] == [(8, False), (8, False)]
    assert censor_hop(chain["silent"]) is None


def test_the_routers_up_to_the_censor_are_asked_and_none_before_the_third(chain: dict[str, Experiment]) -> None:
    walk = {t.ttl: (t.router, t.failure) for t in chain["open"].tries if not t.operations}
    assert walk == {3: ("10.7.2.2", UNREACHABLE), 4: ("10.7.3.2", UNREACHABLE), 5: ("", "connection_refused")}
    assert {t.ttl for t in chain["tls"].tries if not t.operations} == {FIRST_TOLD}


def test_the_addresses_of_the_first_two_hops_are_nowhere(chain: dict[str, Experiment]) -> None:
    told = msgspec.json.encode(chain).decode()
    assert "10.7.2.2" in told
    assert not [a for a in ("10.7.0.", "10.7.1.", "fd07::", "fd07:0:", "fd07:1:") if a in told]


def test_routers_of_ipv6_say_it_too(chain: dict[str, Experiment]) -> None:
    walk = {t.ttl: (t.router, t.failure) for t in chain["routers6"].tries}
    assert walk[3] == ("fd07:2::2", UNREACHABLE)
    assert walk[4] == ("fd07:3::2", UNREACHABLE)
    assert walk[5] == ("", "connection_refused")


# Which TTL is next.


def trigger(ttl: int, failure: str | None = TIMEOUT, *, innocuous: bool = False, received: int = 0) -> Attempt:
    step = TLSHandshake(started=0, finished=1, failure=failure, address="a", port=1, server_name="n", received=received)
    return Attempt(sent="n", started=0, finished=1, ttl=ttl, failure=failure, innocuous=innocuous, operations=(step,))


def search(reacts: Callable[[int], bool], hops: int = 24) -> list[Attempt]:
    tries: list[Attempt] = []
    while (ttl := next_ttl(tries, hops)) is not None and len(tries) < TRIGGERS:
        assert 1 <= ttl <= hops
        tries.append(trigger(ttl, RESET if reacts(ttl) else TIMEOUT))
    return tries


def settled(tries: list[Attempt]) -> tuple[int, str] | None:
    twin = trigger(lowest_ttl(tries), innocuous=True)
    return censor_hop(Experiment(kind="path", place="neutral", tries=(*tries, twin)))


@pytest.mark.parametrize("hop", range(1, 25))
def test_every_hop_is_found_with_few_triggers(hop: int) -> None:
    tries = search(lambda ttl: ttl >= hop)
    assert settled(tries) == (hop, "")
    assert len(tries) <= 10


def test_a_censor_that_lets_a_quarter_pass_is_seldom_put_too_far_and_never_too_near() -> None:
    chance = random.Random(7)
    found = [(h, settled(search(lambda ttl, h=h: ttl >= h and chance.random() < 0.75))) for h in range(2, 24) for _ in range(50)]  # type: ignore[misc]  # fmt: skip
    right = sum(1 for hop, seen in found if seen and seen[0] == hop)
    wrong = [(hop, seen) for hop, seen in found if seen and seen[0] != hop]
    assert right > 0.7 * len(found)
    assert len(wrong) < 0.1 * len(found)
    assert all(seen[0] > hop for hop, seen in wrong)


def test_without_a_reaction_at_full_length_there_is_nothing_to_find() -> None:
    assert [t.ttl for t in search(lambda _ttl: False)] == [24, 24]


def test_triggers_that_cannot_be_sent_end_it() -> None:
    closed = TCPConnect(started=0, finished=1, failure="connection_refused", address="a", port=1)
    tries = [Attempt(sent="n", started=0, finished=1, ttl=24, failure=closed.failure, operations=(closed,))]
    assert next_ttl(tries, 24) == 24
    assert next_ttl(tries * 3, 24) is None
    assert heard(tries[0]) is None


@pytest.mark.parametrize(
    "attempt, came",
    [
        (trigger(3), False),
        (trigger(3, RESET), True),
        (trigger(3, "eof_error"), True),  # a forged FIN
        (trigger(3, None), True),
        (trigger(3, TIMEOUT, received=5), True),  # it began to answer
        (Attempt(sent="n", started=0, finished=1), None),
    ],
)
def test_what_is_a_reaction(attempt: Attempt, came: bool | None) -> None:
    assert heard(attempt) is came


@pytest.mark.parametrize(
    "failure, responses, came",
    [
        (TIMEOUT, (), False),
        ("connection_refused", (), False),  # from the silent address itself
        ("network_unreachable", (), None),
        ("dns_nxdomain_error", (Response(at=0.1, rcode=3),), True),
    ],
)
def test_what_is_an_answer(failure: str, responses: tuple[Response, ...], came: bool | None) -> None:
    asked = DNSLookup(started=0, finished=1, engine="udp", resolver="silent", name="n", query_type="A",
                      failure=failure, responses=responses)  # fmt: skip
    assert heard(Attempt(sent="n", started=0, finished=1, operations=(asked,))) is came


# What is not settled.


FOUND = [trigger(5, RESET), *(trigger(4) for _ in range(3)), trigger(5, RESET), trigger(5, innocuous=True)]


def test_a_hop_needs_two_reactions_three_silences_and_a_silent_twin() -> None:
    assert censor_hop(Experiment(kind="path", place="neutral", tries=tuple(FOUND))) == (5, "")
    for missing in range(len(FOUND)):
        rest = tuple(t for n, t in enumerate(FOUND) if n != missing)
        assert censor_hop(Experiment(kind="path", place="neutral", tries=rest)) is None
    assert censor_hop(Experiment(kind="sni", place="neutral", tries=tuple(FOUND))) is None


@pytest.mark.parametrize("failure", [None, RESET])
def test_a_twin_that_is_answered_clears_the_path(failure: str | None) -> None:
    tries = (*FOUND[:-1], trigger(5, failure, innocuous=True))
    assert censor_hop(Experiment(kind="path", place="neutral", tries=tries)) is None


# Networks without hops, listeners, time.


def setting(authorities: Authorities, *, listeners: int = 99, until: float = 60.0) -> tuple[Setting, list[tuple[Endpoint, bool]]]:  # fmt: skip
    places = [(loopback.SITE, 443)] * listeners
    given: list[tuple[Endpoint, bool]] = []

    async def done(endpoint: Endpoint, failed: bool) -> None:
        given.append((endpoint, failed))

    made = Setting(place="neutral", take=lambda: places.pop() if places else None, done=done, sent="bad.example",
                   innocuous="good.example", until=until, authorities=authorities)  # fmt: skip
    return made, given


@pytest.mark.parametrize("kind", ["tls", "http", "dns"])
def test_a_network_whose_sockets_end_elsewhere_has_no_path(authorities: Authorities, kind: Trigger) -> None:
    means, given = setting(authorities)

    async def run() -> Experiment:
        async with place() as here:
            await here.listen(loopback.silent, (loopback.SITE, 443))
            return await path(here.trace(), means, trigger=kind)

    found = asyncio.run(run())
    assert (found.tries, found.left_out) == ((), LEFT_OUT_HOPS)
    assert len(given) == 1  # given back


def test_sockets_that_know_no_ttl_have_no_path() -> None:
    far: list[socket.socket] = []

    class Local(MappedNetwork):
        async def connect(self, address: str, port: int) -> socket.socket:
            near, other = socket.socketpair()
            far.append(other)
            return near

    with pytest.raises(NoHopsError):
        asyncio.run(ShortNetwork(Local(0), 3).connect(loopback.SITE, 443))
    assert far[0].recv(1) == b""  # ours is closed
    far[0].close()


def test_without_time_or_listeners_nothing_is_sent(authorities: Authorities) -> None:
    async def run(means: Setting) -> str:
        async with place() as here:
            found = await path(here.trace(), means, trigger="tls")
            assert not here.network.dialled
            return found.left_out

    none, _given = setting(authorities, listeners=0)
    assert asyncio.run(run(none)) == LEFT_OUT_LISTENERS
    late, given = setting(authorities, until=-1.0)
    assert asyncio.run(run(late)) == LEFT_OUT_TIME
    assert not given


def test_listeners_that_refuse_end_the_search_and_rest(authorities: Authorities) -> None:
    class Refusing(DirectNetwork):
        async def connect(self, address: str, port: int) -> socket.socket:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    async def run(means: Setting) -> Experiment:
        with Trace(Refusing()) as trace:
            return await path(trace, means, trigger="tls")

    means, given = setting(authorities)
    found = asyncio.run(run(means))
    assert [t.failure for t in found.tries] == ["connection_refused"] * 3
    assert [failed for _endpoint, failed in given] == [True] * 3
    assert lowest_ttl(found.tries) == 0


@pytest.mark.parametrize("family, level, option", [(socket.AF_INET, socket.IPPROTO_IP, socket.IP_TTL), (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)])  # fmt: skip
def test_hops_are_limited_in_both_families(family: int, level: int, option: int) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        limit_hops(sock, 7)
        assert sock.getsockopt(level, option) == 7

"""A network measured from outside by its web and echo servers: real ones on loopback, with a censor before them."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path

import pytest

from blocklists import Fingerprint, Fingerprints, target_of
from blocklists.places import Place as Listed
from monitor.collect.slots import Slots
from monitor.collect.work import Result
from probes.clock import Clock
from probes.experiment import Experiment
from probes.failure import EOF, NOT_TRIED_RESIDUAL, RESET, TIMEOUT
from probes.http import HTTPRoundTrip
from probes.remote.servers import FAILS, NO_NAME, NO_SERVER, PAUSE, SPENT, VARIES
from tests.probes.loopback import Serve, abort, page
from tests.scenarios.harness import QuickClock

from .path import Act, Censor, nothing_said, says_at_once
from .test_remote_dns import CONTROLS, NAME, Outside, left_out, outside, told

SECURE, PLAIN = f"https://{NAME}/", f"http://{NAME}/"
PORTS = {"https": 443, "http": 80, "echo": 7}
BLOCKED = b"<h1>Blocked by order 7</h1>"
NOTICE = page(b"<title>Notice</title>somebody else's words")
ALERT = bytes.fromhex("15030300020270")  # fatal, unrecognized_name
FINGERPRINTS = Fingerprints(
    [
        Fingerprint(name="cn.page", scope="nat", location="body", pattern_type="contains", pattern=BLOCKED.decode(),
                    confidence=10, countries=("CN",), source="test")
    ]
)  # fmt: skip
BODIES = {number: f"<title>Server {number}</title>".encode() + b"." * 10 * 4**number for number in range(1, 8)}


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await abort(writer)


async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return None


async def _nothing() -> None:
    return None


class Together(QuickClock):
    """Long waits pass at once, but only when so many who wait have come together: none runs ahead of the others."""

    def __init__(self, parties: int = 1) -> None:
        super().__init__()
        self.slept: list[float] = []
        self.meanwhile: Callable[[], Awaitable[None]] = _nothing
        self._barrier = asyncio.Barrier(parties)

    async def sleep(self, seconds: float) -> None:
        if seconds < 5:
            return await super().sleep(seconds)
        self.slept.append(seconds)
        if await self._barrier.wait() == 0:
            await self.meanwhile()
            self._skipped += seconds
        await self._barrier.wait()


class Network:
    """Servers in the network that is measured, each with an answer of its own to every name."""

    def __init__(self, world: Outside) -> None:
        self.world = world
        self.places: list[Listed] = []
        self.censors: list[Censor] = []
        self.heard: dict[int, list[str]] = {}  # the requests that reached each server

    async def serve(self, number: int, protocol: str, censor: Censor | None = None, *, own: bool = False,
                    how: Serve | None = None) -> None:  # fmt: skip
        """`own`: it has the site's certificate too, and shows it for its name; `how`: what it does in place of that."""
        made, at = self.world.place, (f"203.0.113.{number}", PORTS[protocol])
        options = {"ssl": self._context(number, own=own)} if protocol == "https" else {}
        usual = echo if protocol == "echo" else self._says(number)
        port = await made.listen(how or usual, at, **options)
        if censor is not None:
            self.censors.append(censor)
            await made.listen(censor.before(port), at)
        self.places.append(Listed(address=at[0], port=at[1], protocol=protocol))

    def _says(self, number: int) -> Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard.setdefault(number, []).append(head.decode())
            writer.write(page(BODIES[number], "Content-Type: text/html", status="404 Not Found"))
            await writer.drain()

        return serve

    def _context(self, number: int, *, own: bool) -> ssl.SSLContext:
        pki = self.world.pki
        context = pki.server_context(pki.issue(f"server{number}.example"))
        if own:
            sites = pki.server_context(pki.issue(NAME))

            def choose(made: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
                if name == NAME:
                    made.context = sites

            context.sni_callback = choose
        return context

    async def measure(self, url: str = SECURE) -> Result:
        return await self.world.measure("servers", target_of(url), tuple(self.places))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def network(folder: Path, clock: Clock | None = None, **options: timedelta) -> AsyncIterator[Network]:
    async with outside(folder, clock=clock, fingerprints=FINGERPRINTS, **options) as world:
        made = Network(world)
        yield made
        for censor in made.censors:
            await censor.settle()


def played(folder: Path, protocol: str, *acts: Act | None, **options: float) -> Result:
    """One measurement where so many servers are there, each behind a censor who does that to the name."""

    async def play() -> Result:
        async with network(folder) as made:
            for number, act in enumerate(acts, 1):
                censor = Censor(act, made.world.collector.clock, **options) if act else None  # type: ignore[arg-type]
                await made.serve(number, protocol, censor)
            return await made.measure(SECURE if protocol == "https" else PLAIN)

    return asyncio.run(play())


def asked(result: Result) -> list[Experiment]:
    return [e for e in result.measurement.experiments if e.tries]


def order(experiment: Experiment) -> str:
    return "".join("c" if t.innocuous else "n" for t in experiment.tries)


@pytest.mark.parametrize("protocol", ["https", "http", "echo"])
def test_servers_that_answer_to_the_name_as_to_any_other(tmp_path: Path, protocol: str) -> None:
    result = played(tmp_path, protocol, None, None, None)
    assert told(result) == ("ok", None), result.verdict
    assert result.verdict.rules == ("ok.servers_from_outside",)
    assert [order(e) for e in asked(result)] == ["ccn"] * 3  # nothing more where all is well
    assert "what a plain client inside gets" in result.verdict.reason
    assert not result.measurement.operations


@pytest.mark.parametrize(
    ("protocol", "act", "technique"),
    [
        ("https", reset, "tls.reset.sni"),
        ("https", close, "tls.eof.sni"),
        ("http", reset, "http.reset.host"),
        ("http", close, "http.eof.host"),
        ("echo", reset, "http.reset.host"),
    ],
)
def test_the_name_is_cut_off(tmp_path: Path, protocol: str, act: Act, technique: str) -> None:
    result = played(tmp_path, protocol, act, act, act)
    assert told(result) == ("blocked", technique), result.verdict
    assert result.verdict.rules == ("remote.only_with_the_name",)
    for one in asked(result):
        assert order(one) == "ccn" + "nc" * 4
        assert {t.sent for t in one.tries if not t.innocuous} == {NAME}
        controls = [t.sent for t in one.tries if t.innocuous]
        assert len(set(controls)) == 2 and set(controls) <= set(CONTROLS)
        assert all(one != other for one, other in pairwise(controls))  # in turn
    assert [r.attempt for r in result.measurement.control] == [0, 1]


def test_the_name_is_met_with_silence(tmp_path: Path) -> None:
    async def play() -> Result:
        async with network(tmp_path) as made:
            made.world.collector.limits = type(made.world.collector.limits)(timeout=0.6, dns_timeout=0.3, listen=0.05)
            for number in (1, 2):
                await made.serve(number, "https", Censor(nothing_said, made.world.collector.clock))
            return await made.measure()

    result = asyncio.run(play())
    assert told(result) == ("blocked", "tls.timeout.sni"), result.verdict
    assert {t.failure for e in asked(result) for t in e.tries if not t.innocuous} == {TIMEOUT}


def test_one_server_of_three_with_a_filter_of_its_own(tmp_path: Path) -> None:
    assert told(played(tmp_path, "https", reset, None, None)) == ("insufficient", "ambiguous")


def test_a_server_that_fails_once_by_chance(tmp_path: Path) -> None:
    result = played(tmp_path, "https", reset, None, None, first=1)
    assert told(result) == ("insufficient", "ambiguous")
    assert sorted(order(e) for e in asked(result)) == ["ccn", "ccn", "ccnncncncnc"]


def test_a_known_block_page(tmp_path: Path) -> None:
    block = says_at_once(page(BLOCKED, status="403 Forbidden"))
    result = played(tmp_path, "http", block, block)
    assert told(result) == ("blocked", "http.blockpage"), result.verdict
    assert result.verdict.rules[0] == "remote.known_block_page"
    assert BLOCKED in result.measurement.bodies.values()


def test_a_known_block_page_comes_from_an_echo_server(tmp_path: Path) -> None:
    """Its mark is behind more than an echo would have brought."""
    result = played(tmp_path, "echo", says_at_once(page(b"." * 5000 + BLOCKED, status="403 Forbidden")))
    assert told(result) == ("blocked", "http.blockpage"), result.verdict
    assert order(asked(result)[0]) == "ccn" + "nc" * 4


def test_two_servers_share_somebody_elses_page(tmp_path: Path) -> None:
    result = played(tmp_path, "http", *[says_at_once(NOTICE)] * 2)
    assert told(result) == ("likely_blocked", "http.diff"), result.verdict
    assert result.verdict.rules == ("remote.other_answer",)


def test_an_alert_for_the_name_is_the_servers_own_word(tmp_path: Path) -> None:
    result = played(tmp_path, "https", *[says_at_once(ALERT)] * 2)
    assert told(result) == ("ok", None), result.verdict


def test_a_server_that_serves_the_site_itself(tmp_path: Path) -> None:
    async def play() -> Result:
        async with network(tmp_path) as made:
            await made.serve(1, "https", own=True)
            return await made.measure()

    result = asyncio.run(play())
    assert told(result) == ("ok", None), result.verdict
    assert order(asked(result)[0]) == "ccn"


def remembering(folder: Path, memory: float, parties: int = 2) -> tuple[Result, list[float]]:
    """A censor that goes on blocking for so long, before two servers."""

    async def play() -> tuple[Result, list[float]]:
        clock = Together(parties)
        async with network(folder, clock) as made:
            for number in range(1, parties + 1):
                await made.serve(number, "https", Censor(reset, clock, memory=memory))
            return await made.measure(), clock.slept

    return asyncio.run(play())


def test_a_censor_that_remembers_for_a_while(tmp_path: Path) -> None:
    result, slept = remembering(tmp_path, 90.0)
    assert told(result) == ("likely_blocked", "tls.reset"), result.verdict
    assert result.verdict.rules == ("remote.lasting",)
    assert slept == [PAUSE] * 2  # each server's pause
    assert [order(e) for e in asked(result)] == ["ccn" + "nc" * 4 + "c"] * 2
    for one in asked(result):
        assert one.tries[-1].started - one.tries[-2].finished >= 120.0
        assert [t.failure for t in one.tries if t.innocuous] == [None, None, *[RESET] * 4, None]


def test_a_censor_that_remembers_for_longer_than_one_pause(tmp_path: Path) -> None:
    result, slept = remembering(tmp_path, 180.0)
    assert told(result) == ("likely_blocked", "tls.reset"), result.verdict
    assert slept == [PAUSE] * 4
    assert [order(e) for e in asked(result)] == ["ccn" + "nc" * 4 + "cc"] * 2


def test_a_server_that_does_not_recover_is_left_out(tmp_path: Path) -> None:
    result, slept = remembering(tmp_path, 10_000.0, parties=1)
    assert told(result) == ("insufficient", "not_measurable")
    assert left_out(result) == [SPENT]
    assert slept == [PAUSE] * 2


def test_the_place_on_the_network_is_given_up_for_the_pause(tmp_path: Path) -> None:
    async def play() -> tuple[Result, list[str]]:
        clock, others = Together(2), list[str]()
        async with network(tmp_path, clock) as made:
            slots = made.world.collector.slots = Slots(2)

            async def another() -> None:
                for _ in range(2):
                    async with asyncio.timeout(2):
                        await slots.take()
                    others.append("measured")
                    asyncio.get_running_loop().call_later(0.2, slots.give_back)  # those who wake must wait for it

            clock.meanwhile = another
            for number in (1, 2):
                await made.serve(number, "https", Censor(reset, clock, memory=180.0))
            await made.serve(3, "https")  # it is done when the others pause
            result = await made.measure()
            async with asyncio.timeout(2), slots, slots:  # all given back at the end
                return result, others

    result, others = asyncio.run(play())
    assert told(result) == ("likely_blocked", "tls.reset"), result.verdict
    assert others == ["measured"] * 4


def test_no_try_begins_when_the_time_is_over(tmp_path: Path) -> None:
    """Whoever shares few addresses with many waits for turns; then a pause has no room any more."""

    async def play() -> Result:
        clock = Together()
        async with network(tmp_path, clock) as made:
            turns = count()

            async def turn(_address: str) -> None:
                await asyncio.sleep(0)
                if next(turns) == 4:
                    clock._skipped += 200.0

            made.world.collector.outside.pacer.turn = turn  # type: ignore[method-assign]
            await made.serve(1, "https", Censor(reset, clock, memory=500.0))
            return await made.measure()

    result = asyncio.run(play())
    assert told(result) == ("insufficient", "not_measurable")
    assert left_out(result) == ["no time left"]


def hangs_up() -> Serve:
    return close


def says_something_else_each_time() -> Serve:
    numbers = count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        number = next(numbers)
        writer.write(page(b"<title>%d</title>" % number + b"." * 10 * 2**number))
        await writer.drain()

    return serve


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Listens on the echo service's port and is none."""
    await reader.read(4096)
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("protocol", "how", "why"),
    [
        ("https", hangs_up(), FAILS),
        ("http", hangs_up(), FAILS),
        ("http", says_something_else_each_time(), VARIES),
        ("echo", greets, VARIES),
    ],
)
def test_an_unfit_server_is_left_out_and_another_asked(tmp_path: Path, protocol: str, how: Serve, why: str) -> None:
    async def play() -> tuple[Result, Result, Result]:
        async with network(tmp_path) as made:
            url = SECURE if protocol == "https" else PLAIN
            for number in (1, 2, 3):
                await made.serve(number, protocol, how=how)
            alone = await made.measure(url)
            for number in (4, 5):
                await made.serve(number, protocol)
            return alone, await made.measure(url), await made.measure(url)

    alone, second, third = asyncio.run(play())
    assert told(alone) == ("insufficient", "not_measurable")
    assert left_out(alone) == [why] * 3
    assert f"{why} (3)" in alone.verdict.reason
    assert all(not t.innocuous or t.sent in CONTROLS for e in alone.measurement.experiments for t in e.tries)
    assert not [t for e in alone.measurement.experiments for t in e.tries if t.sent == NAME]  # never sent there
    for later in (second, third):  # they are remembered for an hour
        assert told(later) == ("ok", None), later.verdict
        assert left_out(later) == []
        assert len(asked(later)) == 2


def test_three_witnesses_are_enough_and_two_ports_of_one_machine_are_one(tmp_path: Path) -> None:
    async def play() -> tuple[Result, Result]:
        async with network(tmp_path) as made:
            await made.serve(1, "http")
            await made.serve(1, "echo")
            one = await made.measure(PLAIN)
            for number in range(2, 8):
                await made.serve(number, "http")
            return one, await made.measure(PLAIN)

    one, three = asyncio.run(play())
    assert len(asked(one)) == 1
    assert len({t.address for e in asked(three) for t in e.tries}) == len(asked(three)) == 3
    assert told(one) == told(three) == ("ok", None)


@pytest.mark.parametrize(
    ("url", "why"),
    [(SECURE, NO_SERVER), ("phrase:六四", NO_NAME), ("http://93.184.215.14/", NO_NAME)],
)
def test_what_these_servers_cannot_tell(tmp_path: Path, url: str, why: str) -> None:
    async def play() -> tuple[Result, dict[int, list[str]]]:
        async with network(tmp_path) as made:
            await made.serve(1, "http")
            return await made.measure(url), made.heard

    result, heard = asyncio.run(play())
    assert told(result) == ("insufficient", "not_measurable")
    assert left_out(result) == [why]
    assert heard == {}


def test_requests_say_who_asks_and_for_whom_and_keep_the_pace(tmp_path: Path) -> None:
    async def play() -> tuple[list[str], Counter[str], Counter[str]]:
        async with network(tmp_path) as made:
            turns, pacer = Counter[str](), made.world.collector.outside.pacer.turn

            async def turn(address: str) -> None:
                turns[address] += 1
                await pacer(address)

            made.world.collector.outside.pacer.turn = turn  # type: ignore[method-assign]
            censor = Censor(reset, made.world.collector.clock)
            await made.serve(1, "http", censor)
            await made.serve(2, "http")
            result = await made.measure(PLAIN)
            assert told(result) == ("insufficient", "ambiguous"), result.verdict  # one of two
            dialled = Counter(a for a, _port in made.world.place.network.dialled if a.startswith("203."))
            return made.heard[2], turns, dialled

    heard, turns, dialled = asyncio.run(play())
    assert all("\r\nUser-Agent: Wallwatch (measures Internet censorship; https://example.org/measuring)\r\n" in h
               for h in heard)  # fmt: skip
    assert [h.split("Host: ")[1].split("\r\n")[0] for h in heard][2] == NAME
    assert turns == dialled == {"203.0.113.1": 11, "203.0.113.2": 3}


def test_a_server_where_the_name_failed_rests(tmp_path: Path) -> None:
    async def play() -> tuple[Result, Result, int]:
        async with network(tmp_path, rest=timedelta(minutes=6)) as made:
            await made.serve(1, "https", Censor(reset, made.world.collector.clock))
            first = await made.measure()
            before = made.world.place.network.dialled.count(("203.0.113.1", 443))
            second = await made.measure("https://other.example/")
            return first, second, made.world.place.network.dialled.count(("203.0.113.1", 443)) - before

    first, second, dialled = asyncio.run(play())
    assert told(first) == ("likely_blocked", "tls.reset.sni"), first.verdict  # its own tries go on
    assert told(second) == ("insufficient", "not_measurable")
    assert left_out(second) == [NOT_TRIED_RESIDUAL]
    assert dialled == 0


def test_a_page_is_read_up_to_64_kib(tmp_path: Path) -> None:
    async def play() -> Result:
        async with network(tmp_path) as made:

            async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(page(b"." * 400_000))
                await writer.drain()

            await made.serve(1, "http", how=large)
            return await made.measure(PLAIN)

    result = asyncio.run(play())
    assert told(result) == ("ok", None), result.verdict
    pages = [op for e in asked(result) for t in e.tries for op in t.operations if isinstance(op, HTTPRoundTrip)]
    assert {p.body_length for p in pages} == {64 * 1024}


def test_the_end_is_told_from_a_reset(tmp_path: Path) -> None:
    result = played(tmp_path, "https", close, reset)
    ends = {e.tries[2].failure for e in asked(result)}
    assert ends == {EOF, RESET}
    assert set(result.verdict.techniques) == {"tls.eof.sni", "tls.reset.sni"}

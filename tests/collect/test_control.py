"""The control: helpers in turn, two when suspicious, shared for five minutes, faulty ones named."""

import asyncio
from collections.abc import Callable

import aiohttp
from aiohttp import web

from blocklists import target_of
from monitor.collect.control import AT_ONCE, SHARED, Control, request_of
from probes.clock import Clock
from probes.url import parse_url

URL = parse_url("https://site.example/")
GOOD = {
    "tcp_connect": {"203.0.113.5:443": {"status": True, "failure": None}},
    "tls_handshake": {"203.0.113.5:443": {"server_name": "site.example", "status": True, "failure": None}},
    "http_request": {"body_length": 9, "failure": None, "title": "t", "headers": {}, "status_code": 200},
    "dns": {"failure": None, "addrs": ["203.0.113.5"]},
}


class Fast(Clock):
    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Fleet:
    """Real HTTP servers that answer what they are told to."""

    def __init__(self, answers: list[Callable[[], web.Response]]) -> None:
        self.answers, self.asked = answers, [0] * len(answers)
        self.failed: list[str] = []
        self.urls: list[str] = []
        self.clock = Fast()

    async def play(self, story: "Callable[[Control], object]") -> None:
        runners = []
        for number, answer in enumerate(self.answers):
            runner = await self._serve(number, answer)
            runners.append(runner)
            self.urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        async with aiohttp.ClientSession() as session:
            control = Control(helpers=self.urls, session=session, clock=self.clock, on_failure=self.failed.append)
            await story(control)  # type: ignore[misc]
        for runner in runners:
            await runner.cleanup()

    async def _serve(self, number: int, answer: Callable[[], web.Response]) -> web.AppRunner:
        async def handle(request: web.Request) -> web.Response:
            await request.read()
            self.asked[number] += 1
            return answer()

        application = web.Application()
        application.router.add_post("/", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


def good() -> web.Response:
    return web.json_response(GOOD)


def broken() -> web.Response:
    return web.Response(status=500)


def junk() -> web.Response:
    return web.Response(text="[1, 2", content_type="application/json")


def flood() -> web.Response:
    return web.Response(body=b"{" + b" " * (3 * 1024 * 1024))


def test_one_helper_is_asked_and_shared_for_five_minutes() -> None:
    fleet = Fleet([good, good])

    async def story(control: Control) -> None:
        first = await control.ask(URL, ["203.0.113.5"])
        again = await control.ask(URL, ["203.0.113.5"])
        assert first == again and len(first) == 1 and first[0].failure is None
        assert sum(fleet.asked) == 1
        await control.ask(URL, ["203.0.113.5", "203.0.113.6"])  # an address that nobody has checked
        assert sum(fleet.asked) == 2
        fleet.clock.ahead = SHARED + 1
        await control.ask(URL, ["203.0.113.5"])
        assert sum(fleet.asked) == 3

    asyncio.run(fleet.play(story))


def test_two_are_asked_when_something_is_suspicious() -> None:
    fleet = Fleet([good, good, good])

    async def story(control: Control) -> None:
        replies = await control.ask(URL, [], fresh=True)
        assert len({reply.source for reply in replies}) == 2

    asyncio.run(fleet.play(story))
    assert sum(fleet.asked) == 2


def test_the_next_helper_is_asked_where_one_fails() -> None:
    for bad in (broken, junk, flood):
        fleet = Fleet([bad, good])

        async def story(control: Control) -> None:
            for _ in range(2):
                replies = await control.ask(URL, [], fresh=True)
                assert [reply.failure for reply in replies] == [None]

        asyncio.run(fleet.play(story))
        assert set(fleet.failed) == {fleet.urls[0]}


def test_a_busy_helper_is_asked_again_when_it_says() -> None:
    turns = iter([429, 503])

    def busy() -> web.Response:
        status = next(turns, 200)
        return good() if status == 200 else web.Response(status=status, headers={"Retry-After": "0"})

    fleet = Fleet([busy])

    async def story(control: Control) -> None:
        (reply,) = await control.ask(URL, [])
        assert reply.failure is None

    asyncio.run(fleet.play(story))
    assert fleet.asked == [3]


def test_where_all_fail_the_reply_says_why() -> None:
    fleet = Fleet([broken])

    async def story(control: Control) -> None:
        (reply,) = await control.ask(URL, [])
        assert reply.failure == "http_unexpected_status_code 500"

    asyncio.run(fleet.play(story))


def test_a_helper_that_fails_on_the_control_list_is_named_and_not_used() -> None:
    fleet = Fleet([broken, good])

    async def story(control: Control) -> None:
        faults = await control.check([target_of(f"https://control-{n}.example/") for n in range(4)])
        assert list(faults) == [fleet.urls[0]]
        assert "3 of 3" in faults[fleet.urls[0]]
        before = fleet.asked[0]
        await control.ask(URL, [], fresh=True)
        assert fleet.asked[0] == before

    asyncio.run(fleet.play(story))


def test_the_request_is_oonis() -> None:
    request = request_of(parse_url("http://site.example/"), ["203.0.113.5", "2001:db8::5"])
    assert request["http_request"] == "http://site.example/"
    assert request["tcp_connect"] == ["203.0.113.5:443", "203.0.113.5:80", "[2001:db8::5]:443", "[2001:db8::5]:80"]
    assert request_of(parse_url("https://site.example:8443/"), ["203.0.113.5"])["tcp_connect"] == ["203.0.113.5:8443"]


def test_no_more_requests_are_under_way_than_a_helper_takes() -> None:
    inside, most, let = 0, 0, asyncio.Event()

    async def play() -> None:
        async def handle(request: web.Request) -> web.Response:
            nonlocal inside, most
            await request.read()
            inside += 1
            most = max(most, inside)
            if inside == AT_ONCE:
                let.set()
            await asyncio.wait_for(let.wait(), 10)
            await asyncio.sleep(0.05)
            inside -= 1
            return web.json_response(GOOD)

        application = web.Application()
        application.router.add_post("/", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=256).start()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            control = Control(helpers=[url], session=session, clock=Clock())
            some = [parse_url(f"https://site{n}.example/") for n in range(AT_ONCE * 2)]
            replies = await asyncio.gather(*(control.ask(one, []) for one in some))
        await runner.cleanup()
        assert [reply.failure for one in replies for reply in one] == [None] * AT_ONCE * 2

    asyncio.run(play())
    assert most == AT_ONCE

"""What a platform's search gives for a phrase: the order of the tries, the notices found, and pages that prove nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import date
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from blocklists.searches import Search
from probes.certificate import Authorities
from probes.clock import Clock
from probes.experiment import Attempt, Experiment
from probes.followup.search import (
    LEFT_OUT_ABSENT,
    LEFT_OUT_NEUTRAL,
    LEFT_OUT_TIME,
    NO_RESULT_PAGE,
    Withheld,
    search,
    withheld,
)  # fmt: skip
from probes.http import HTTPRoundTrip
from probes.resolvers import parse_resolvers
from probes.trace import Limits, Trace
from tests.pki import TestAuthority

from .loopback import OTHER, SITE, Place, Serve, gone, page, place, says, silent, zone

PHRASE, NEUTRAL, NOTICE = "六四 / 4?", "天气", "根据相关法律法规和政策，搜索结果未予显示"
LIMITS = Limits(timeout=5, dns_timeout=2, listen=0.02)
RESULTS, WITHHELD = b'<div id="results">much</div>', f'<div id="results"><p>{NOTICE}</p></div>'.encode()
WALL = b"<title>Are you a robot?</title>"
FOUND, ABSENT = b'{"resultCount":1,"results":[{}]}', b'{"resultCount":0,"results":[]}'
Answer = Callable[[str, int], bytes]  # target, how often it was asked before

PLATFORM = Search(
    name="platform", kind="search", url="https://good.example/s?q={phrase}", neutral=NEUTRAL, source="a test",
    present='id="results"', notice=(f"<p>{NOTICE}",), date=date(2026, 1, 31),
)  # fmt: skip
SHOP = Search(
    name="shop", kind="shop", url="https://good.example/cn?id={phrase}", neutral="414478124", accepts="[0-9]{6,12}",
    elsewhere="https://good.example/us?id={phrase}", present='"resultCount":', notice=('"resultCount":0',),
    source="a test", date=date(2026, 1, 31),
)  # fmt: skip
TARGET = {name: f"/s?q={quote(text, safe='')}" for name, text in (("phrase", PHRASE), ("neutral", NEUTRAL))}


class Swift(Clock):
    """Waits by moving its own hand."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += max(0.0, seconds)


class Web:
    """A platform on loopback, and searches sent to it; `asked` are the targets of its requests."""

    def __init__(self, here: Place, pki: TestAuthority, authorities: Authorities) -> None:
        self.here, self.asked, self.limits = here, list[str](), LIMITS
        self._pki, self._authorities = pki, authorities

    async def serve(self, answer: Answer, *, make: str = "issue", at: str = SITE, name: str = "good.example") -> None:
        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            target = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split()[1]
            self.asked.append(target)
            writer.write(answer(target, self.asked.count(target) - 1))
            await writer.drain()

        await self.listen(one, make=make, at=at, name=name)

    async def listen(self, serve: Serve, *, make: str = "issue", at: str = SITE, name: str = "good.example") -> None:
        await self.here.listen(serve, (at, 443), ssl=self._pki.server_context(getattr(self._pki, make)(name)))

    async def search(
        self, *searches: Search, phrase: str = PHRASE, deadline: float = 1000.0, trace: Trace | None = None,
    ) -> list[Experiment]:  # fmt: skip
        return await search(
            trace or Trace(self.here.network, Swift(), self.limits), searches or (PLATFORM,), phrase,
            resolvers=parse_resolvers(["system"]), authorities=self._authorities, deadline=deadline,
        )  # fmt: skip

    async def one(self, of: Search = PLATFORM, **options: Any) -> Experiment:
        [found] = await self.search(of, **options)
        return found


@asynccontextmanager
async def world(pki: TestAuthority, authorities: Authorities) -> AsyncIterator[Web]:
    async with place() as here:
        await here.resolve(zone(good_example=[SITE], other_example=[OTHER]))
        yield Web(here, pki, authorities)


Run = Callable[[Callable[[Web], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(pki: TestAuthority, authorities: Authorities) -> Run:
    def in_world(story: Callable[[Web], Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            async with world(pki, authorities) as web:
                await story(web)

        asyncio.run(told())

    return in_world


def pages(phrase: bytes, neutral: bytes = RESULTS) -> Answer:
    return lambda target, _before: page(phrase if target == TARGET["phrase"] else neutral)


def test_the_neutral_phrase_comes_first_and_every_page_is_kept_apart(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(pages(WITHHELD))
        trace = Trace(web.here.network, Swift(), LIMITS)
        found = await web.one(trace=trace)
        assert web.asked == [TARGET["neutral"], TARGET["phrase"]] * 2
        assert (found.kind, found.place, found.left_out) == ("search", "platform:platform", "")
        assert [t.sent for t in found.tries] == [f"https://good.example{target}" for target in web.asked]
        assert [t.innocuous for t in found.tries] == [True, False] * 2
        assert [t.matched for t in found.tries] == [("present",), ("present", "notice:0")] * 2
        assert all((t.failure, t.address, t.port) == (None, SITE, 443) for t in found.tries)
        assert withheld(found) == Withheld(notices=2, pages=2, neutral_notices=0, neutral_pages=2)
        assert withheld(found).differs
        assert trace.operations == []
        assert all(any(isinstance(op, HTTPRoundTrip) for op in t.operations) for t in found.tries)
        assert list(trace.bodies.values()) == [WITHHELD]
        again = msgspec.json.decode(msgspec.json.encode(found), type=Experiment)
        assert again == found

    run(story)


def test_a_second_lies_between_two_requests_also_to_two_platforms(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(pages(RESULTS))
        twin = msgspec.structs.replace(PLATFORM, name="twin")
        found = await web.search(PLATFORM, twin)
        assert [e.place for e in found] == ["platform:platform", "platform:twin"]
        tries = [t for e in found for t in e.tries]
        assert len(tries) == 8
        assert all(after.started - before.finished >= 1 for before, after in pairwise(tries))

    run(story)


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (pages(RESULTS), Withheld(0, 2, 0, 2)),
        (pages(WITHHELD, WITHHELD), Withheld(1, 1, 1, 1)),  # it says so whatever is asked
        (pages(f'<div id="results">{NOTICE}</div>'.encode()), Withheld(0, 2, 0, 2)),  # a post that quotes it
        (pages(WALL), Withheld(0, 0, 0, 3)),
        (pages(f"<p>{NOTICE}".encode()), Withheld(0, 0, 0, 3)),  # a notice where no results are ever shown
        (pages(b""), Withheld(0, 0, 0, 3)),
        (lambda target, before: page(WITHHELD if target == TARGET["phrase"] and not before else RESULTS),
         Withheld(1, 3, 0, 3)),
    ],
    ids=["shown", "everywhere", "quoted", "wall", "notice-without-results", "empty", "once"],
)  # fmt: skip
def test_near_misses(run: Run, answer: Answer, count: Withheld) -> None:
    async def story(web: Web) -> None:
        await web.serve(answer)
        found = await web.one()
        assert (withheld(found), withheld(found).differs, found.left_out) == (count, False, "")
        assert len(web.asked) <= 6

    run(story)


def test_two_notices_in_three_pages_are_a_difference(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(lambda target, n: page(WITHHELD if target == TARGET["phrase"] and n != 1 else RESULTS))
        assert withheld(await web.one()) == Withheld(2, 3, 0, 3)
        assert Withheld(2, 3, 0, 3).differs
        assert not Withheld(2, 3, 0, 1).differs
        assert not Withheld(3, 3, 1, 3).differs

    run(story)


def test_the_phrase_is_not_sent_where_the_neutral_one_brings_no_page(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(lambda _target, _before: page(WALL, status="403 Forbidden"))
        found = await web.one()
        assert web.asked == [TARGET["neutral"]] * 3
        assert [t.failure for t in found.tries] == [NO_RESULT_PAGE] * 3
        assert found.left_out == LEFT_OUT_NEUTRAL

    run(story)


SHOPS: dict[str, tuple[Answer, str, Withheld]] = {
    "withheld": (lambda t, _n: page(ABSENT if "cn?id=1234567" in t else FOUND), "", Withheld(2, 2, 0, 2)),
    "sold": (lambda _t, _n: page(FOUND), "", Withheld(0, 2, 0, 2)),
    "sold nowhere": (lambda t, _n: page(ABSENT if "1234567" in t else FOUND), LEFT_OUT_ABSENT, Withheld()),
    "sells nothing": (lambda t, _n: page(ABSENT if "/cn" in t else FOUND), "", Withheld(1, 1, 1, 1)),
    "no answer elsewhere": (lambda t, _n: page(b"busy" if "/us" in t else ABSENT), LEFT_OUT_ABSENT, Withheld()),
    "answers elsewhere once": (
        lambda t, n: page(b"busy" if "/us" in t and not n else ABSENT if "cn?id=1234567" in t else FOUND),
        "", Withheld(2, 2, 0, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SHOPS)
def test_a_shop_is_asked_for_what_was_found_elsewhere(run: Run, case: str) -> None:
    answer, left_out, count = SHOPS[case]

    async def story(web: Web) -> None:
        await web.serve(answer)
        found = await web.one(SHOP, phrase="1234567")
        assert web.asked[0] == "/us?id=1234567"
        assert (found.left_out, withheld(found)) == (left_out, count)
        assert withheld(found).differs == (count.notices == 2)
        assert left_out == "" or not any("/cn" in target for target in web.asked)
        elsewhere = [t for t in found.tries if "/us" in t.sent and t.failure is None]
        assert all(t.matched[0] == "elsewhere:present" and not t.innocuous for t in elsewhere)

    run(story)


def test_a_phrase_that_a_shop_cannot_sell_is_not_asked_for(run: Run) -> None:
    async def story(web: Web) -> None:
        assert await web.search(SHOP) == []
        assert await web.search(phrase=f"<p>{NOTICE}") == []  # reads like the notice: an echo would look like one
        assert web.here.network.dialled == []

    run(story)


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [("\ud800", "cannot be written"), (" ", "is empty"), ("x" * 9000, "longer than"), ("..", "dots")],
    ids=["surrogate", "empty", "long", "dots"],
)
def test_a_phrase_that_fits_into_no_url_is_left_out(run: Run, phrase: str, reason: str) -> None:
    async def story(web: Web) -> None:
        found = await web.one(phrase=phrase)
        assert reason in found.left_out
        assert (found.tries, web.here.network.dialled) == ((), [])

    run(story)


def test_line_ends_in_a_phrase_stay_in_the_url(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(lambda _target, _before: page(RESULTS))
        await web.one(phrase="a\r\nHost: b&x=1#y")
        assert web.asked[1] == "/s?q=a%0D%0AHost%3A%20b%26x%3D1%23y"

    run(story)


# Pages that are not the platform's own


@pytest.mark.parametrize(
    ("make", "failure"), [("self_signed", "ssl_unknown_authority"), ("expired", "ssl_invalid_certificate")]
)
def test_a_page_behind_a_bad_certificate_is_nobodys_word(run: Run, make: str, failure: str) -> None:
    async def story(web: Web) -> None:
        await web.serve(pages(WITHHELD), make=make)
        found = await web.one()
        assert {(t.failure, t.matched) for t in found.tries} == {(failure, ())}
        assert TARGET["phrase"] not in web.asked
        assert found.left_out == LEFT_OUT_NEUTRAL

    run(story)


def test_a_stranger_cannot_lead_to_a_page_of_the_platform_that_has_a_notice(run: Run) -> None:
    async def story(web: Web) -> None:
        moved = page(b"", "Location: https://other.example/withheld", status="302 Found")
        await web.serve(lambda _target, _before: moved, make="self_signed")
        await web.serve(lambda _target, _before: page(WITHHELD), at=OTHER, name="other.example")
        found = await web.one()
        assert {(t.failure, t.matched) for t in found.tries} == {("ssl_unknown_authority", ())}

    run(story)


def test_the_platform_itself_may_redirect_to_another_host(run: Run) -> None:
    async def story(web: Web) -> None:
        def answer(target: str, _before: int) -> bytes:
            return page(b"", f"Location: https://other.example{target}", status="302 Found")

        await web.serve(answer)
        await web.serve(pages(WITHHELD), at=OTHER, name="other.example")
        found = await web.one()
        assert withheld(found).differs
        assert {t.address for t in found.tries} == {OTHER}

    run(story)


def test_a_redirect_does_not_send_the_phrase_out_in_clear(run: Run) -> None:
    async def story(web: Web) -> None:
        def answer(target: str, _before: int) -> bytes:
            to = f"Location: http://good.example{target}"
            return page(b"", to, status="301 Moved") if target == TARGET["phrase"] else page(RESULTS)

        await web.serve(answer)
        await web.here.listen(says(page(WITHHELD)))
        found = await web.one()
        assert [t.failure for t in found.tries] == [None, "not_tried: other port"] * 3
        assert (SITE, 80) not in web.here.network.dialled

    run(story)


def test_a_redirect_in_a_circle_ends(run: Run) -> None:
    async def story(web: Web) -> None:
        def answer(target: str, before: int) -> bytes:
            return page(b"", f"Location: /s?n={len(web.asked)}", status="302 Found")

        await web.serve(answer)
        found = await web.one()
        assert {t.failure for t in found.tries} == {"http_too_many_redirects"}
        assert len(web.asked) == 3 * (LIMITS.redirects + 1)

    run(story)


@pytest.mark.parametrize(("serve", "failure"), [(gone, "connection_reset"), (says(b"nonsense\r\n\r\n"), None)])
def test_a_connection_that_fails_is_recorded_with_its_failure(run: Run, serve: Serve, failure: str | None) -> None:
    async def story(web: Web) -> None:
        if failure:
            await web.here.listen(serve, (SITE, 443))
        else:
            await web.listen(serve)
        found = await web.one()
        assert {t.failure for t in found.tries} == {failure or "http_request_failed"}
        assert found.left_out == LEFT_OUT_NEUTRAL

    run(story)


def test_a_name_that_does_not_exist_is_recorded(run: Run) -> None:
    async def story(web: Web) -> None:
        found = await web.one(msgspec.structs.replace(PLATFORM, url="https://no.example/{phrase}"))
        assert {t.failure for t in found.tries} == {"dns_nxdomain_error"}

    run(story)


# Hostile pages


def test_a_notice_counts_in_the_first_half_megabyte_only(run: Run) -> None:
    async def story(web: Web) -> None:
        late = RESULTS + b"x" * (3 * 1024 * 1024) + WITHHELD
        await web.serve(lambda t, _n: page(late if t == TARGET["phrase"] else RESULTS))
        found = await web.one()
        assert withheld(found) == Withheld(0, 2, 0, 2)
        assert all(op.body_length <= 512 * 1024 for t in found.tries for op in t.operations
                   if isinstance(op, HTTPRoundTrip))  # fmt: skip

    run(story)


def test_a_notice_deep_in_a_page_is_found(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(pages(RESULTS + b"x" * (400 * 1024) + WITHHELD))
        assert withheld(await web.one()).differs

    run(story)


@pytest.mark.parametrize("of", [b"<", b"<p", "<p>根据相关".encode(), "<p>\xff\xfe".encode("latin-1")])
def test_a_page_made_for_the_patterns_takes_no_time(run: Run, of: bytes) -> None:
    async def story(web: Web) -> None:
        body = RESULTS + of * (500_000 // len(of))
        began = time.process_time()
        assert PLATFORM.matched((), body) == ("present",)
        assert time.process_time() - began < 0.5
        await web.serve(pages(body))
        assert not withheld(await web.one()).differs

    run(story)


@pytest.mark.parametrize(
    ("header", "encoding", "own"),
    [
        ("Content-Type: text/html; charset=gbk", "gbk", "utf-8"),
        ("Content-Type: text/html; charset=gbk", "utf-8", "utf-8"),  # declared wrongly
        ("Content-Type: text/html; charset=nonsense", "utf-8", "utf-8"),
        ("Content-Type: text/html", "gbk", "gbk"),  # not declared
    ],
)
def test_a_notice_is_found_in_any_character_set_that_is_told(run: Run, header: str, encoding: str, own: str) -> None:
    async def story(web: Web) -> None:
        body = WITHHELD.decode().encode(encoding)
        asked = quote(PHRASE.encode(own), safe="")
        await web.serve(lambda t, _n: page(body if t.endswith(asked) else RESULTS, header))
        assert withheld(await web.one(msgspec.structs.replace(PLATFORM, charset=own))).differs

    run(story)


def test_no_page_is_asked_for_after_the_deadline(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.serve(pages(WITHHELD))
        found = await web.one(deadline=0.0)
        assert (found.tries, found.left_out, web.asked) == ((), LEFT_OUT_TIME, [])
        found = await web.one(deadline=1.0)  # the pause alone takes as long
        assert [t.innocuous for t in found.tries] == [True]
        assert found.left_out == LEFT_OUT_TIME
        assert withheld(found) == Withheld()

    run(story)


def test_a_platform_that_says_nothing_ends_with_the_deadline(run: Run) -> None:
    async def story(web: Web) -> None:
        await web.listen(silent)
        began = time.monotonic()
        found = await web.one(deadline=0.5)
        assert time.monotonic() - began < 3
        assert [t.failure for t in found.tries] == ["generic_timeout_error"]
        assert found.left_out == LEFT_OUT_TIME

    run(story)


def test_other_experiments_count_nothing() -> None:
    seen = Attempt(sent="x", started=0.0, finished=1.0, matched=("present", "notice:0"))
    tries = (seen, seen, *[msgspec.structs.replace(seen, innocuous=True, matched=("present",))] * 2)
    assert withheld(Experiment(kind="search", place="platform:x", tries=tries)).differs
    assert withheld(Experiment(kind="search", place="platform:x", tries=tries, left_out="why")) == Withheld()
    assert withheld(Experiment(kind="sni", place="own", tries=tries)) == Withheld()

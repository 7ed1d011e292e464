"""The same contact from a network that is not censored: helpers in turn, two when suspicious, and a reference vantage.

What a control says of DNS and of the page is shared for five minutes; an address that it has not checked for this
name is checked on demand.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import aiohttp
import msgspec

from blocklists import Target
from probes.address import embedded_ipv4, is_bogon
from probes.clock import Clock
from probes.control_reply import ReplyError, read_reply
from probes.http import USER_AGENT
from probes.measurement import ControlReply
from probes.url import URL, parse_url

from .reference import Referee

SHARED = 300.0  # seconds
_TIMEOUT = 30.0  # seconds; OONI gives its helpers as long
_REPLY = 2 * 1024 * 1024  # bytes
_PATIENCE = 10  # seconds, the most that a busy helper may ask us to wait
_ATTEMPTS = 4
AT_ONCE = 60  # requests to one helper; ours looks at 64 at the same time, whoever asks
_CHECKED = 3  # control names by which a helper is checked


class Control:
    """Asks the controls. `helpers` are base URLs; `referee` is the reference vantage, if any."""

    def __init__(
        self,
        *,
        helpers: Sequence[str],
        session: aiohttp.ClientSession,
        clock: Clock,
        referee: Referee | None = None,
        on_failure: Callable[[str], None] = lambda _helper: None,
    ) -> None:
        self._helpers = list(helpers)
        self._session = session
        self._clock = clock
        self._referee = referee
        self._on_failure = on_failure
        self._doors = {helper: asyncio.Semaphore(AT_ONCE) for helper in helpers}
        self._shared: dict[tuple[str, str], tuple[float, ControlReply]] = {}
        self._turn = 0
        self.faults: dict[str, str] = {}  # helper -> why it is not used

    @property
    def configured(self) -> bool:
        """Whether there is any control at all."""
        return bool(self._helpers or self._referee)

    async def ask(self, url: URL, addresses: Sequence[str], *, fresh: bool = False) -> list[ControlReply]:
        """One reply per source: one helper (two where `fresh`), and the reference vantage. Never raises."""
        wanted = [a for a in dict.fromkeys(embedded_ipv4(a) for a in addresses) if not is_bogon(a)][:16]
        tasks = []
        async with asyncio.TaskGroup() as group:
            if self._helpers:
                tasks.append(group.create_task(self._ask_helpers(url, wanted, 2 if fresh else 1, fresh)))
            if self._referee is not None:
                tasks.append(group.create_task(self._ask_referee(url, wanted, fresh)))
        return [reply for task in tasks for reply in task.result()]

    def knows_another(self, replies: Sequence[ControlReply]) -> bool:
        """Whether there is a helper that none of these replies comes from."""
        asked = {reply.source for reply in replies}
        return any(f"helper:{helper}" not in asked for helper in self._helpers if helper not in self.faults)

    async def check(self, names: Sequence[Target]) -> dict[str, str]:
        """Try every helper on control names; one that fails for most of them is named and no longer used."""
        faults: dict[str, str] = {}
        for helper in self._helpers:
            replies = [await self._fetch(helper, parse_url(t.url), []) for t in names[:_CHECKED]]
            bad = [r for r in replies if r.failure or r.page is None or r.page.failure]
            if replies and len(bad) * 2 > len(replies):
                why = bad[0].failure or (bad[0].page.failure if bad[0].page else None) or "no page"
                faults[helper] = f"fails for {len(bad)} of {len(replies)} control names ({why})"
        self.faults = faults
        return faults

    async def _ask_helpers(self, url: URL, wanted: list[str], count: int, fresh: bool) -> list[ControlReply]:
        """Helpers in turn until `count` have answered."""
        usable = [h for h in self._helpers if h not in self.faults]
        self._turn += 1
        order = [usable[(self._turn + i) % len(usable)] for i in range(len(usable))] if usable else []
        if not fresh:  # one that already knows this URL first
            order.sort(key=lambda helper: self._known(helper, url, wanted) is None)
        good: list[ControlReply] = []
        bad: list[ControlReply] = []
        for helper in order:
            known = None if fresh else self._known(helper, url, wanted)
            reply = known or await self._fetch(helper, url, wanted)
            (bad if reply.failure else good).append(reply)
            if len(good) == count:
                break
        return good or bad[:1] or [ControlReply(source="helper:none", url=str(url), failure="no_usable_helper")]

    async def _ask_referee(self, url: URL, wanted: list[str], fresh: bool) -> list[ControlReply]:
        assert self._referee is not None
        known = None if fresh else self._known(self._referee.source, url, wanted)
        reply = known or await self._referee.ask(url, wanted)
        self._share(self._referee.source, url, reply)
        return [reply]

    def _known(self, source: str, url: URL, wanted: Sequence[str]) -> ControlReply | None:
        """A shared reply that is young enough and has checked every wanted address."""
        at, reply = self._shared.get((source, str(url)), (float("-inf"), None))
        if reply is None or self._clock.monotonic() - at > SHARED:
            return None
        return reply if {e.address for e in reply.endpoints} >= set(wanted) else None

    def _share(self, source: str, url: URL, reply: ControlReply) -> None:
        if reply.failure is None:
            now = self._clock.monotonic()
            if len(self._shared) > 20_000:
                self._shared = {k: v for k, v in self._shared.items() if now - v[0] <= SHARED}
            self._shared[source, str(url)] = (now, reply)

    async def _post(self, helper: str, request: bytes) -> bytes:
        """The body of the helper's answer; one that is busy is asked again when it says. Raises ReplyError."""
        headers, limit = {"Content-Type": "application/json"}, aiohttp.ClientTimeout(total=_TIMEOUT)
        for attempt in range(_ATTEMPTS):
            async with self._session.post(helper, data=request, headers=headers, timeout=limit) as response:
                if response.status == 200:
                    return await _whole(response.content)
                pause = _pause(response)
            if pause is None or attempt == _ATTEMPTS - 1:
                break
            await self._clock.sleep(pause + random.random())  # noqa: S311 - spreads those that wait
        raise ReplyError(f"http_unexpected_status_code {response.status}")

    async def _fetch(self, helper: str, url: URL, wanted: Sequence[str]) -> ControlReply:
        source = f"helper:{helper}"
        try:
            async with self._doors[helper]:
                body = await self._post(helper, msgspec.json.encode(request_of(url, wanted)))
            reply = read_reply(msgspec.json.decode(body), source=source, url=str(url))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reply = ControlReply(source=source, url=str(url), failure=type(error).__name__, dns_known=False)
        except (ReplyError, msgspec.DecodeError) as error:
            reply = ControlReply(source=source, url=str(url), failure=str(error)[:200], dns_known=False)
        if reply.failure:
            self._on_failure(helper)
        self._share(helper, url, reply)
        return reply


def _pause(response: aiohttp.ClientResponse) -> float | None:
    """Seconds after which a helper that is busy wants to be asked again; None where it is not, or it is too long."""
    wanted = response.headers.get("Retry-After", "")
    if response.status not in (429, 503) or not (wanted.isascii() and wanted.isdigit()):
        return None
    return float(wanted) if int(wanted) <= _PATIENCE else None


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """The body, at most `_REPLY` bytes; raises ReplyError for more."""
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _REPLY:
            raise ReplyError("the reply is larger than 2 MiB")
    return body


def request_of(url: URL, addresses: Sequence[str]) -> dict[str, object]:
    """The request of OONI's Web Connectivity helper protocol."""
    ports = [url.port] if url.scheme == "https" or url.port != 80 else [443, 80]
    endpoints = [f"[{a}]:{port}" if ":" in a else f"{a}:{port}" for a in addresses for port in ports]
    headers = {"User-Agent": [USER_AGENT], "Accept": ["*/*"], "Accept-Language": ["en-US,en;q=0.9"]}
    return {
        "http_request": str(url),
        "http_request_headers": headers,
        "tcp_connect": endpoints[:20],
        "x_quic_enabled": False,
    }

"""A page as a user would open it: DNS, TCP, TLS and HTTP as steps of their own, and every redirect from DNS up.

The plain client's first address is dialled at once, and its others as soon as an encrypted resolver vouches for them.
What the control knows comes later and decides which further addresses are dialled, so that a later layer is tested even
where DNS lies.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from http.cookies import CookieError, SimpleCookie
from itertools import takewhile
from typing import Any

import msgspec

from . import http, http3, quic, tcp, tls
from .address import is_bogon, is_ipv6, is_name
from .capability import QUIC, SYSTEM_DNS
from .certificate import Authorities
from .dns import DNSLookup
from .failure import NOT_TRIED_BOGON
from .http import HTTPRoundTrip
from .resolvers import Resolvers, ask_others, ask_system
from .tls import TLSHandshake
from .trace import Trace
from .url import URL, InvalidURL, join

MAX_ADDRESSES = 6  # two of the plain client's, two known only to the control, one IPv6, one other
Advise = Callable[[URL, list[str], int], Awaitable[frozenset[str]]]


async def _no_advice(_url: URL, _addresses: list[str], _hop: int) -> frozenset[str]:
    return frozenset()


async def _no_return() -> None:
    return None


def _no_gate(_address: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class Plan(msgspec.Struct, kw_only=True):
    """How a page is opened.

    `advise(url, addresses, hop)` tells the control what was found and gives the addresses that it vouches for.
    `refuse(address, port)` gives a `not_tried: …` for a contact that must not be made, else an empty string.
    `gate(address)` is entered around each contact, so that nobody is contacted by many at once.
    `leave()` is called while only the control is waited for, and `back()` awaited before anybody is contacted again.
    `vouched`: addresses known to be the site's; `again`: addresses to dial whatever DNS says (retries).
    `quic`: whether a site that offers HTTP/3 is met over QUIC as well, in the first look.
    """

    resolvers: Resolvers
    authorities: Authorities
    expect: str = ""
    advise: Advise = _no_advice
    refuse: Callable[[str, int], str] = lambda _address, _port: ""
    gate: Callable[[str], AbstractAsyncContextManager[None]] = _no_gate
    leave: Callable[[], None] = lambda: None
    back: Callable[[], Awaitable[None]] = _no_return
    quic: bool = True
    vouched: frozenset[str] = frozenset()
    again: tuple[str, ...] = ()
    met: set[str] = msgspec.field(default_factory=set)  # dialled before, in any attempt
    strangers: dict[int, str] = msgspec.field(default_factory=dict)  # hop -> the one that nobody vouches for


async def open_page(trace: Trace, url: URL, plan: Plan) -> None:
    """Open the URL and follow its redirects, at most `limits.redirects`. Everything is recorded in the trace.

    A first look ends with one QUIC handshake where HTTP/3 is offered at the URL itself and the extra is installed.
    """
    await _follow(trace, url, plan)
    quic_seen = plan.quic and QUIC not in trace.network.blind
    if quic_seen and trace.attempt == 0 and url.scheme == "https" and not url.is_address:
        await _meet_over_quic(trace, url, plan)


async def _meet_over_quic(trace: Trace, url: URL, plan: Plan) -> None:
    place = http3.offer([*trace.operations, *trace.pending()], url) if quic.available() else None
    if place is None:
        return
    await plan.back()
    async with plan.gate(place[0]):
        await quic.handshake(trace, *place, url.host, authorities=plan.authorities, refuse=plan.refuse(*place))


async def _follow(trace: Trace, url: URL, plan: Plan) -> None:
    seen: set[tuple[str, str]] = set()
    cookies: dict[str, dict[str, str]] = {}
    referer = ""
    for hop in range(trace.limits.redirects + 1):
        jar = cookies.setdefault(url.host, {})
        cookie = "; ".join(f"{key}={value}" for key, value in jar.items())
        if (str(url), cookie) in seen:
            break
        seen.add((str(url), cookie))
        await plan.back()
        page = await _Hop(trace, url, plan, hop, cookie=cookie, referer=referer).run()
        if page is None or page.failure or not page.location:
            return
        _remember(jar, page)
        try:
            referer, url = str(url), join(url, page.location)
        except InvalidURL:
            return _end(trace, page, "http_invalid_redirect_location_host")
    assert page is not None
    _end(trace, page, "http_too_many_redirects")


def _end(trace: Trace, page: HTTPRoundTrip, failure: str) -> None:
    """Record a redirect that leads nowhere, as a step that failed."""
    now = trace.now()
    trace.record(
        HTTPRoundTrip(
            started=now, finished=now, failure=failure, hop=page.hop + 1, attempt=trace.attempt,
            address="", port=0, url=page.location,
        )
    )  # fmt: skip


def _remember(jar: dict[str, str], page: HTTPRoundTrip) -> None:
    for key, value in page.headers:
        if key.lower() == "set-cookie" and len(jar) < 50:
            try:
                jar.update({name: morsel.coded_value for name, morsel in SimpleCookie(value[:4096]).items()})
            except CookieError:
                continue


class _Hop:
    """One URL on the way: its lookups and contacts, which run at the same time."""

    def __init__(self, trace: Trace, url: URL, plan: Plan, hop: int, *, cookie: str, referer: str) -> None:
        self.trace, self.url, self.plan, self.hop = trace, url, plan, hop
        self._cookie, self._referer = cookie, referer
        self._vouched = plan.vouched if hop == 0 else frozenset()  # known of the target's own name only
        self._again = plan.again if hop == 0 else ()
        self._page: HTTPRoundTrip | None = None
        self._connected: dict[str, asyncio.Future[bool]] = {}
        self._proved: set[str] = set()
        self._public = False

    async def run(self) -> HTTPRoundTrip | None:
        """The plain client's page, where it got one."""
        async with asyncio.TaskGroup() as group:
            others = group.create_task(self._ask_others())
            plain = await self._ask_system()
            first = [a for a in plain[:1] if self._is_acquainted(a) and not is_bogon(a)]
            self.plan.met.update(first)
            begun = [group.create_task(self._contact(address, plain)) for address in first]
            await others
            known = list(dict.fromkeys([*plain, *self._answers(), *self._again]))
            early = self._early(plain, known, first)
            self.plan.met.update(early)
            begun += [group.create_task(self._contact(address, plain)) for address in early]
            first += early
            advised = await self._advice(known, begun)
            vouched = advised | self._vouched | self._vouched_by_encrypted()
            # An address of a private network is contacted only where the site is known to be elsewhere (row 29): then
            # it may hold a block page. Otherwise it is the site's own mistake, or somebody who sends us into our LAN.
            self._public = any(not is_bogon(a) for a in vouched)
            chosen = choose(plain, advised | self._vouched, known)
            chosen = [a for a in dict.fromkeys([*chosen, *self._again]) if a not in first]
            if not vouched >= set(chosen):
                await asyncio.wait(begun) if begun else None
            allowed = self._allowed(chosen, vouched, first)
            if allowed:
                await self.plan.back()
            for address in allowed:
                self.plan.met.add(address)
                group.create_task(self._contact(address, plain, extra=address not in plain))
        return self._page

    def _early(self, plain: list[str], known: list[str], first: list[str]) -> list[str]:
        """The plain client's next addresses, as far as an encrypted resolver vouches for them: they need no advice."""
        if first != plain[:1]:
            return []
        vouched = self._vouched_by_encrypted()
        rest = [a for a in choose(plain, frozenset(), known) if a in plain and a not in first]
        return list(takewhile(lambda a: a in vouched and not is_bogon(a), rest))

    async def _advice(self, known: list[str], begun: list[asyncio.Task[None]]) -> frozenset[str]:
        """What the control vouches for; once every contact has ended, waiting for it takes nobody's place."""
        addresses = [a for a in known if not is_name(a)]
        advice = asyncio.ensure_future(self.plan.advise(self.url, addresses, self.hop))
        try:
            await _first_or_all(advice, begun)
            if not advice.done():
                self.plan.leave()
            return await advice
        finally:
            advice.cancel()

    async def _ask_system(self) -> list[str]:
        """The plain client's addresses, IPv4 first; those of getaddrinfo where its own lookups found none.

        Where the far side of a proxy resolves names the plain client has nothing but the name itself.
        """
        if self.url.is_address:
            return [self.url.host]
        if not self.plan.resolvers.system:
            return []
        if SYSTEM_DNS in self.trace.network.blind:
            return [self.url.host]
        kinds = ["A", "AAAA"] + ["HTTPS"] * (self.hop == 0 and self.trace.attempt == 0)
        found = [a for lookup in await ask_system(self.trace, self.url.host, kinds, hop=self.hop)
                 for a in lookup.addresses()]  # fmt: skip
        if not found:
            found = [a for lookup in self._lookups() if lookup.engine == "getaddrinfo" for a in lookup.addresses()]
        return list(dict.fromkeys(found))

    async def _ask_others(self) -> None:
        if not self.url.is_address:
            await ask_others(
                self.trace, self.url.host, ("A", "AAAA"), resolvers=self.plan.resolvers,
                authorities=self.plan.authorities, hop=self.hop,
            )  # fmt: skip

    def _lookups(self) -> list[DNSLookup]:
        """The lookups of this hop and attempt; those whose ear is still open stand in `trace.pending`."""
        recorded = (op for op in (*self.trace.operations, *self.trace.pending()) if isinstance(op, DNSLookup))
        mine = (op for op in recorded if op.hop == self.hop and op.attempt == self.trace.attempt)
        return [op for op in mine if not op.checking_disabled]

    def _answers(self) -> list[str]:
        return [address for lookup in self._lookups() for address in lookup.addresses()]

    def _vouched_by_encrypted(self) -> frozenset[str]:
        return frozenset(a for lookup in self._lookups() if lookup.encrypted for a in lookup.addresses())

    def _allowed(self, chosen: list[str], vouched: frozenset[str], first: list[str]) -> list[str]:
        """Strangers' addresses are left alone: of those that nobody vouches for one is dialled in all tries together
        (judgement row 23), further ones only where that one has shown a valid certificate for the name."""
        strangers = [a for a in (*first, *chosen) if a not in vouched and a not in self._again]
        if not strangers or strangers[0] in self._proved:
            return chosen
        one = self.plan.strangers.setdefault(self.hop, strangers[0])
        return [a for a in chosen if a not in strangers or a == one]

    def _is_acquainted(self, address: str) -> bool:
        """In a further try a forged answer may lead to yet another stranger: at most one of them is dialled."""
        known = self._vouched | self._vouched_by_encrypted() | frozenset(self._again) | self.plan.met
        return self.trace.attempt == 0 or self.hop > 0 or address in known

    async def _contact(self, address: str, plain: list[str], *, extra: bool = False) -> None:
        connected = self._connected.setdefault(address, asyncio.get_running_loop().create_future())
        try:
            async with self.plan.gate(address):
                if self.url.scheme == "https":
                    await self._secured(address, plain)
                else:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._clear(address, plain, extra=extra))
                        if self.url.port == 80 and self.hop == 0:
                            group.create_task(self._vouch(address))
        finally:
            if not connected.done():
                connected.set_result(False)

    async def _connect(self, address: str, port: int) -> tcp.Stream | None:
        refuse = self.plan.refuse(address, port)
        if not refuse and is_bogon(address) and not self._public:
            refuse = NOT_TRIED_BOGON
        return await tcp.connect(self.trace, address, port, hop=self.hop, refuse=refuse)

    async def _secured(self, address: str, plain: list[str]) -> None:
        stream = await self._connect(address, self.url.port)
        self._connected[address].set_result(stream is not None)
        if stream is None:
            return
        secured = await self._handshake(stream)
        if secured is None:
            return
        try:
            if await self._is_mine(address, plain):
                await self._fetch(secured, stream)
        finally:
            secured.close()

    async def _handshake(self, stream: tcp.Stream) -> tls.TLSStream | None:
        secured = await tls.handshake(
            self.trace, stream, self.url.host, authorities=self.plan.authorities, hop=self.hop
        )
        step = self.trace.operations[-1]
        if isinstance(step, TLSHandshake) and step.valid:
            self._proved.add(stream.address)
        return secured

    async def _clear(self, address: str, plain: list[str], *, extra: bool) -> None:
        stream = await self._connect(address, self.url.port)
        if not self._connected[address].done():
            self._connected[address].set_result(stream is not None)
        if stream is None:
            return
        try:
            if extra or await self._is_mine(address, plain):
                await self._fetch(stream, stream, plain=not extra)
        finally:
            stream.close()

    async def _vouch(self, address: str) -> None:
        """For a URL of plain HTTP: does the address hold a certificate for the name? Says whose the address is."""
        stream = await self._connect(address, 443)
        secured = await self._handshake(stream) if stream is not None else None
        if secured is not None:
            secured.close()

    async def _is_mine(self, address: str, plain: list[str]) -> bool:
        """Whether a plain client would fetch from here: it takes the first of its addresses that accepts."""
        if address not in plain:
            return False
        for earlier in plain[: plain.index(address)]:
            future = self._connected.get(earlier)
            if future is not None and await future:
                return False
        return True

    async def _fetch(self, stream: http.ByteStream, below: tcp.Stream, *, plain: bool = True) -> None:
        page = await http.fetch(
            self.trace, stream, self.url, address=below.address, port=below.port, flow=below.flow,
            received=lambda: below.received, hop=self.hop, cookie=self._cookie, referer=self._referer,
            expect=self.plan.expect,
        )  # fmt: skip
        if plain:
            self._page = page


async def _first_or_all(advice: asyncio.Future[frozenset[str]], others: list[asyncio.Task[None]]) -> None:
    """Wait until the advice is there or all others have ended."""
    while not advice.done() and (running := [task for task in others if not task.done()]):
        waited: list[asyncio.Future[Any]] = [advice, *running]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)


def choose(plain: list[str], control: frozenset[str], known: list[str]) -> list[str]:
    """The at most 6 addresses to dial, the plain client's first; bogons only where the plain client got them."""
    four = [a for a in plain if not is_ipv6(a)]
    chosen = (four or plain)[:2]
    only_control = [a for a in sorted(control, key=is_ipv6) if a not in plain and not is_bogon(a)]
    chosen += only_control[:2]
    six = [a for a in (*plain, *only_control, *known) if is_ipv6(a) and a not in chosen and not is_bogon(a)]
    chosen += six[:1]
    other = [a for a in known if a not in chosen and a not in plain and not is_ipv6(a) and not is_bogon(a)]
    return list(dict.fromkeys(chosen + other[:1]))[:MAX_ADDRESSES]

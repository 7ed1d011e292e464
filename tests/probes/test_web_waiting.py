"""What a page waits for: an address that an encrypted resolver vouches for needs no advice, and waiting no place."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from probes.certificate import Authorities
from probes.tcp import TCPConnect
from probes.trace import Trace
from tests.pki import TestAuthority

from .loopback import HASTY, OTHER, SITE, SIX, THIRD, place, silent, zone
from .test_doh import resolver
from .test_web import SECURE, Site, Web, of

DOH = f"https://dns.example/q?bootstrap={THIRD}"


class Control:
    """Answers when it is let, and keeps what happened in which order."""

    def __init__(self, net: Web, vouches: frozenset[str] = frozenset()) -> None:
        self.net, self.vouches = net, vouches
        self.story: list[str] = []
        self.answers = asyncio.Event()

    async def advise(self, _url: object, _found: list[str], _hop: int) -> frozenset[str]:
        await self.answers.wait()
        self.story.append("advised")
        return self.vouches

    def leave(self) -> None:
        self.story.append("left")
        self.answers.set()

    async def back(self) -> None:
        self.story.append("back")

    async def open(self, *resolvers: str) -> Trace:
        return await self.net.open(SECURE, *resolvers, advise=self.advise, leave=self.leave, back=self.back)


@asynccontextmanager
async def world(
    pki: TestAuthority, authorities: Authorities, *, told: Sequence[str], true: Sequence[str]
) -> AsyncIterator[Web]:
    """The plain client is `told` some addresses, DoH gives the `true` ones."""
    async with place() as here:
        await here.resolve(zone(good_example=told))
        context = pki.server_context(pki.issue("dns.example"))
        await here.listen(resolver(zone(good_example=true)), (THIRD, 443), ssl=context)
        net = Web(here, pki, authorities)
        here.limits = msgspec.structs.replace(HASTY, timeout=0.5, dns_timeout=2)
        yield net


def dialled(trace: Trace) -> list[str]:
    return [op.address for op in sorted(of(trace, TCPConnect), key=lambda op: op.flow)]


def test_what_an_encrypted_resolver_vouches_for_is_dialled_before_the_control_answers(
    pki: TestAuthority, authorities: Authorities
) -> None:
    async def run() -> None:
        async with world(pki, authorities, told=[SITE, SIX], true=[SIX]) as net:
            for address in (SITE, SIX):
                await net.here.listen(silent, (address, 443))
            control = Control(net)
            trace = await control.open("system", DOH)
            # Both waits of half a second run side by side, and nobody's place is kept while only the control is left.
            assert dialled(trace) == [SITE, SIX]
            assert control.story == ["back", "left", "advised"]
            assert trace.now() < 1.2

    asyncio.run(run())


def test_what_nobody_vouches_for_waits_for_the_control(pki: TestAuthority, authorities: Authorities) -> None:
    async def run() -> None:
        async with world(pki, authorities, told=[SITE, OTHER, SIX], true=[SIX]) as net:
            for address in (SITE, OTHER, SIX):
                await net.here.listen(silent, (address, 443))
            control = Control(net, frozenset({OTHER}))
            trace = await control.open("system", DOH)
            # SIX comes behind OTHER, of whom a plain client would take the page first.
            assert sorted(dialled(trace)[:2]) == [SITE, OTHER]
            assert dialled(trace)[2:] == [SIX]
            assert control.story == ["back", "left", "advised", "back"]

    asyncio.run(run())


@pytest.mark.parametrize("loud", [True, False])
def test_the_place_is_kept_while_anybody_is_contacted(pki: TestAuthority, authorities: Authorities, loud: bool) -> None:
    async def run() -> None:
        async with world(pki, authorities, told=[SITE], true=[SITE]) as net:
            await (net.secure(Site()) if loud else net.here.listen(silent, (SITE, 443)))
            control = Control(net)
            control.answers.set()
            await control.open("system", DOH)
            assert control.story == ["back", "advised"]  # an answer that is there is no reason to leave

    asyncio.run(run())


def test_a_control_that_breaks_leaves_nothing_behind(pki: TestAuthority, authorities: Authorities) -> None:
    async def broken(_url: object, _found: list[str], _hop: int) -> frozenset[str]:
        raise RuntimeError("our own bug")

    async def run() -> None:
        async with world(pki, authorities, told=[SITE], true=[SITE]) as net:
            await net.here.listen(silent, (SITE, 443))
            with pytest.raises(ExceptionGroup, match="unhandled errors"):
                await net.open(SECURE, advise=broken)
            assert len(asyncio.all_tasks()) <= 3  # this test and the servers' own

    asyncio.run(run())

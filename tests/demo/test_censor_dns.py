"""What the censor does to DNS, seen through the probe."""

import asyncio

import pytest

from monitor.demo.censor import Censor, Rule
from monitor.demo.network import SimulatedNetwork

from .scene import CALM, FORGED, FORGED_6, NEWS, NEWS_2, NEWS_6, NOBODY, Scene, scene

FORGE = Rule(kind="dns_forge", names=("news.test",), forged=(FORGED, FORGED_6))


def test_the_forged_answer_comes_first_and_the_true_one_is_heard_too() -> None:
    async def run() -> None:
        async with scene(FORGE) as here:
            found = await here.ask("www.news.test")
            assert [r.addresses() for r in found.responses] == [(FORGED,), (NEWS, NEWS_2)]
            assert found.responses[1].at > found.responses[0].at
            assert found.failure is None
            six = await here.ask("www.news.test", "AAAA")
            assert [r.addresses() for r in six.responses] == [(FORGED_6,), (NEWS_6,)]
            calm = await here.ask("www.calm.test")
            assert [r.addresses() for r in calm.responses] == [(CALM,)]
            assert (await here.getaddrinfo("www.news.test")).addresses() == (FORGED, FORGED_6)

    asyncio.run(run())


def test_an_address_without_resolver_is_answered_by_the_injector_alone() -> None:
    async def run() -> None:
        async with scene(FORGE, hasty=True) as here:
            found, calm = await asyncio.gather(
                here.ask("www.news.test", server=NOBODY), here.ask("www.calm.test", server=NOBODY)
            )
            assert [r.addresses() for r in found.responses] == [(FORGED,)]
            assert calm.failure == "generic_timeout_error"

    asyncio.run(run())


def test_several_injectors_draw_from_the_pool_in_turn() -> None:
    rule = Rule(kind="dns_forge", names=("news.test",), forged=(FORGED, "104.244.43.128"), count=3)

    async def run() -> None:
        async with scene(rule) as here:
            found = await here.ask("www.news.test")
            first = [r.addresses()[0] for r in found.responses[:3]]
            assert first == [FORGED, "104.244.43.128", FORGED]
            assert len(found.responses) == 4
            six = await here.ask("www.news.test", "AAAA")
            assert six.responses[0].addresses()[0].startswith("2001:0:") or \
                six.responses[0].addresses()[0].startswith("2001::")  # fmt: skip

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("dns_nxdomain", "dns_nxdomain_error"),
        ("dns_refused", "dns_refused_error"),
        ("dns_servfail", "dns_servfail_error"),
        ("dns_timeout", "generic_timeout_error"),
        ("dns_empty", "dns_no_answer"),
    ],
)
def test_an_answer_is_replaced(kind: str, failure: str) -> None:
    async def run() -> None:
        async with scene(Rule(kind=kind, names=("news.test",)), hasty=kind == "dns_timeout") as here:  # type: ignore[arg-type]
            found = await here.ask("www.news.test")
            assert found.failure == failure
            assert len(found.responses) == (kind != "dns_timeout")
            assert (await here.ask("www.calm.test")).failure is None

    asyncio.run(run())


def test_one_resolver_alone_may_lie() -> None:
    async def run(here: Scene, own: str) -> None:
        here.censor.rules.append(Rule(kind="dns_nxdomain", names=("news.test",), addresses=(own,)))
        assert (await here.ask("www.news.test", server=own)).failure == "dns_nxdomain_error"
        assert (await here.ask("www.news.test")).addresses() == (NEWS, NEWS_2)
        assert (await here.getaddrinfo("www.news.test")).failure == "dns_nxdomain_error"

    async def begin() -> None:
        async with scene() as here:
            await run(here, here.network.nameservers()[0][0])

    asyncio.run(begin())


def test_a_second_answer_follows_the_true_one() -> None:
    async def run() -> None:
        async with scene(Rule(kind="dns_second", names=("news.test",))) as here:
            found = await here.ask("www.news.test")
            assert [r.addresses() for r in found.responses] == [(NEWS, NEWS_2)] * 2
            here.censor.rules[:] = [Rule(kind="dns_second", forged=(NEWS_2,))]
            found = await here.ask("www.news.test")
            assert [r.addresses() for r in found.responses] == [(NEWS, NEWS_2), (NEWS_2,)]

    asyncio.run(run())


def test_rules_are_switched_while_it_runs_and_hold_for_one_client() -> None:
    async def run() -> None:
        async with scene(FORGE) as here:
            outside = SimulatedNetwork(here.world, "reference", Censor())
            other = Scene(here.world, outside, here.authorities)
            assert (await here.ask("www.news.test")).addresses() == (FORGED,)
            assert (await other.ask("www.news.test")).addresses() == (NEWS, NEWS_2)
            here.censor.rules.clear()
            assert (await here.ask("www.news.test")).addresses() == (NEWS, NEWS_2)
            assert here.censor.hits == {"dns_forge": 1}

    asyncio.run(run())


def test_a_rule_must_make_sense() -> None:
    with pytest.raises(ValueError, match="no kind"):
        Rule(kind="dns_magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="carries none"):
        Rule(kind="tcp_refuse", names=("news.test",))

"""A measurement's place on the network: given up while only the control is waited for, and taken again first."""

import asyncio

import pytest

from monitor.collect.seat import Seat
from monitor.collect.slots import Slots


def test_who_leaves_makes_room_and_comes_back_before_those_who_have_not_begun() -> None:
    async def play() -> list[str]:
        slots, told, heard = Slots(1), list[str](), asyncio.Event()

        async def first() -> None:
            async with Seat(slots) as seat:
                told.append("looks")
                seat.leave()
                seat.leave()
                await heard.wait()
                await seat.back()
                await seat.back()
                told.append("looks further")

        async def other(name: str) -> None:
            async with Seat(slots):
                told.append(name)
                heard.set()
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(first())
            await asyncio.sleep(0)
            for name in ("second", "third", "fourth"):
                group.create_task(other(name))
        async with Seat(slots):  # none has been lost, and none is there twice
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slots.take(), 0.01)
        return told

    assert asyncio.run(play()) == ["looks", "second", "looks further", "third", "fourth"]


def test_who_left_gives_nothing_back_at_the_end() -> None:
    async def play() -> None:
        slots = Slots(1)
        async with Seat(slots) as seat:
            seat.leave()
        await slots.take()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slots.take(), 0.01)

    asyncio.run(play())


def test_who_gives_up_waiting_loses_nobody_a_place() -> None:
    async def play() -> None:
        slots = Slots(1)
        await slots.take()
        waiting = [asyncio.ensure_future(slots.take(first=n % 2 == 0)) for n in range(4)]
        await asyncio.sleep(0)
        slots.give_back()  # for one that is cancelled in the same turn
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.wait_for(slots.take(), 0.1)

    asyncio.run(play())

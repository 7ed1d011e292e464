"""The limit of measurements on the network at once, while it changes."""

import asyncio

from monitor.collect.slots import Slots


class Crowd:
    """Many that want a slot; `most` were inside at once."""

    def __init__(self, slots: Slots) -> None:
        self.slots, self.inside, self.most, self.done = slots, 0, 0, 0

    async def one(self, seconds: float = 0.02) -> None:
        async with self.slots:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(seconds)
            self.inside -= 1
            self.done += 1


def test_a_smaller_limit_turns_nobody_out_and_holds_from_then_on() -> None:
    async def play() -> tuple[int, int, int]:
        crowd = Crowd(Slots(8))
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(crowd.one())
            await asyncio.sleep(0.01)
            crowd.slots.resize(3)
            before = crowd.inside
            await asyncio.sleep(0.03)
            crowd.most = 0
        return before, crowd.most, crowd.done

    assert asyncio.run(play()) == (8, 3, 40)


def test_a_limit_that_falls_while_slots_are_free_holds() -> None:
    async def play() -> tuple[int, int]:
        crowd = Crowd(Slots(8))
        crowd.slots.resize(2)
        await asyncio.gather(*(crowd.one() for _ in range(10)))
        return crowd.most, crowd.done

    assert asyncio.run(play()) == (2, 10)


def test_a_larger_limit_lets_more_in_at_once() -> None:
    async def play() -> tuple[int, int]:
        crowd = Crowd(Slots(2))
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(crowd.one(0.1))
            await asyncio.sleep(0.01)
            crowd.slots.resize(5)
            await asyncio.sleep(0.01)
            inside = crowd.inside
        return inside, crowd.most

    assert asyncio.run(play()) == (5, 5)


def test_to_and_fro_neither_loses_nor_adds_places() -> None:
    async def play() -> tuple[int, int]:
        crowd = Crowd(Slots(4))
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(crowd.one(0.005))
            for size in (1, 6, 2, 5, 3, 4):
                crowd.slots.resize(size)
                await asyncio.sleep(0.003)
            crowd.most = 0
        await asyncio.gather(*(crowd.one() for _ in range(12)))
        return crowd.most, crowd.done

    most, done = asyncio.run(play())
    assert done == 72
    assert most == 4


def test_what_is_reserved_is_taken_once_and_comes_back_unused() -> None:
    async def play() -> list[str]:
        slots, told = Slots(1), []

        async def measuring() -> None:
            async with slots.reserved():
                async with slots:  # the reserved one: no second place is needed
                    told.append("first")
                async with slots:  # a retry, which queues like others
                    told.append("again")

        await asyncio.wait_for(measuring(), 1)
        async with slots.reserved():
            told.append("unused")
        await asyncio.wait_for(measuring(), 1)
        return told

    assert asyncio.run(play()) == ["first", "again", "unused", "first", "again"]

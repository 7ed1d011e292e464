"""Nobody is contacted by many at once."""

import asyncio

from monitor.collect.gate import Gate


def test_at_most_two_at_one_address() -> None:
    async def play() -> tuple[int, int]:
        gate, inside, most = Gate(2), {"a": 0, "b": 0}, {"a": 0, "b": 0}

        async def contact(address: str) -> None:
            async with gate(address):
                inside[address] += 1
                most[address] = max(most[address], inside[address])
                await asyncio.sleep(0.01)
                inside[address] -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(contact("a"))
            group.create_task(contact("b"))
        assert gate._doors == {}
        return most["a"], most["b"]

    assert asyncio.run(play()) == (2, 1)

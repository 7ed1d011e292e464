"""Fills a spool and empties it, until somebody kills it: `SPOOL SAID FIRST`. What is about to be done and what is done
stands in the file SAID."""

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from monitor.agent.spool import Spool
from tests.agent.made import measurement


async def _main(path: Path, said: int, first: int) -> None:
    numbers = count(first)

    def say(word: str, uid: str) -> None:
        os.write(said, f"{word} {uid}\n".encode())

    async def put() -> None:
        for number in numbers:
            made = measurement(number, size=number % 7 * 1000)
            say("putting", made.uid)
            await spool.put(made, "ok" if number % 2 else "blocked")
            say("put", made.uid)

    async def take() -> None:
        while True:
            await asyncio.sleep(0.005)
            uids = [one.uid for one in await spool.batch(3, 10_000)]
            for uid in uids:
                say("taking", uid)
            await spool.acknowledge(uids)
            for uid in uids:
                say("taken", uid)

    async with Spool(path, limit=2**30) as spool, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(put())
        group.create_task(take())


if __name__ == "__main__":
    told = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    asyncio.run(_main(Path(sys.argv[1]), told, int(sys.argv[3])))

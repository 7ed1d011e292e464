"""The table of residual blocking, kept in the store."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.collect.residual import REST, Residual
from monitor.store import Store
from probes.clock import Clock
from probes.failure import NOT_TRIED_RESIDUAL


class SetClock(Clock):
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def test_a_pair_rests_for_everybody_but_its_own_measurement(tmp_path: Path) -> None:
    async def play() -> None:
        clock = SetClock()
        async with Store.open(tmp_path / "a.db") as store:
            table = Residual(clock, store.set_residual)
            await table.rest("wg0", "203.0.113.5", 443, uid="mine")
            assert table.refusal("wg0", "203.0.113.5", 443, uid="other") == NOT_TRIED_RESIDUAL
            assert table.refusal("wg0", "203.0.113.5", 443, uid="mine") == ""
            assert table.refusal("wg0", "203.0.113.5", 80, uid="other") == ""
            assert table.refusal("tun0", "203.0.113.5", 443, uid="other") == ""
        async with Store.open(tmp_path / "a.db") as store:  # another process, later
            again = Residual(clock)
            again.load("wg0", await store.residuals("wg0", clock.now()))
            assert again.refusal("wg0", "203.0.113.5", 443, uid="other") == NOT_TRIED_RESIDUAL
            clock.moment += REST + timedelta(seconds=1)
            assert again.refusal("wg0", "203.0.113.5", 443, uid="other") == ""
            assert await store.residuals("wg0", clock.now()) == {}

    asyncio.run(play())

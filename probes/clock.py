"""Time as everything here reads it, so that tests can drive it."""

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """The real clock. Wall times are aware UTC; durations come from the monotonic clock."""

    def now(self) -> datetime:
        """The wall time, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps."""
        return time.monotonic()

    def on_host(self, moment: datetime) -> datetime:
        """When the host's clock, by which timers run, will show what this one shows at a moment."""
        return moment

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero and less."""
        if seconds > 0:
            await asyncio.sleep(seconds)

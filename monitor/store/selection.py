"""Which measurements or events are meant: a target, a vantage, dates."""

from datetime import UTC, datetime
from typing import Any

import msgspec


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """`since` belongs to it and `until` does not; None: no such condition."""

    target: str | None = None
    vantage: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def where(self, time: str) -> tuple[str, list[Any]]:
        """The SQL condition on `target`, `vantage` and the column `time` names, and its parameters."""
        wanted = {
            "target = ?": self.target,
            "vantage = ?": self.vantage,
            f"{time} >= ?": self.since and self.since.timestamp(),
            f"{time} < ?": self.until and self.until.timestamp(),
        }
        chosen = {condition: value for condition, value in wanted.items() if value is not None}
        return " AND ".join(chosen) or "1", list(chosen.values())


def moment(seconds: float) -> datetime:
    """Unix seconds as an aware time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)

"""The newest outcome of each target at each vantage, and the confirmed state; an empty cell is never ok."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from blocklists import Target
from monitor.judge.detect import Event, State
from monitor.judge.verdict import OUTCOMES
from monitor.store import Row, Store
from probes.measurement import rfc3339

Key = tuple[str, str]  # target, vantage
_WIDE, _NEWS = 5, timedelta(days=30)  # how many events of many targets stand above the matrix, and for how long


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One target at one vantage. `row` None: never measured. `since`: the first measurement of `state`.

    `changed`: whether the state was another before; else it is older than the first measurement.
    """

    target: str
    vantage: str
    row: Row | None
    state: str
    technique: str | None
    since: datetime | None
    changed: bool

    @property
    def outcome(self) -> str | None:
        """The newest outcome, None where nothing was measured."""
        return self.row.outcome if self.row else None


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """`cells` has one line a target, in the order of `targets`, and in it one cell a vantage."""

    targets: tuple[Target, ...]
    vantages: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]

    def counts(self) -> dict[str, int]:
        """Cells by outcome, the worst first; `no data` last."""
        found = Counter(cell.outcome or "no data" for line in self.cells for cell in line)
        return {name: found[name] for name in (*reversed(OUTCOMES), "no data") if found[name]}

    def newest(self) -> datetime | None:
        """The time of the newest measurement."""
        return max((cell.row.time for line in self.cells for cell in line if cell.row), default=None)


def matrix(
    rows: Sequence[Row], states: Mapping[Key, State], *, targets: Sequence[Target], vantages: Sequence[str]
) -> Matrix:
    """All configured targets; the configured vantages, then those that the store also has data from."""
    newest = {(row.target, row.vantage): row for row in rows}
    names = {target.name for target in targets}
    others = sorted({row.vantage for row in rows if row.target in names} - set(vantages))
    columns = (*vantages, *others)
    return Matrix(
        targets=tuple(targets), vantages=columns,
        cells=tuple(
            tuple(_cell((target.name, vantage), newest, states) for vantage in columns) for target in targets
        ),
    )  # fmt: skip


def _cell(key: Key, newest: Mapping[Key, Row], states: Mapping[Key, State]) -> Cell:
    state = states.get(key) or State()
    target, vantage = key
    return Cell(
        target=target, vantage=vantage, row=newest.get(key), state=state.state, technique=state.technique,
        since=state.since, changed=state.changed,
    )  # fmt: skip


async def newest_wide(store: Store, share: int, now: datetime) -> list[Event]:
    """The newest events of most targets of a vantage, newest first; `share`: percent."""
    found = await store.changes(share=share, since=now - _NEWS)
    return [event for event in reversed(found) if event.targets][:_WIDE]


def as_document(found: Matrix) -> dict[str, Any]:
    """The matrix for JSON; `outcome` is null where nothing was measured."""
    return {
        "targets": [{"target": t.name, "site": t.site, "category": t.category} for t in found.targets],
        "vantages": list(found.vantages),
        "cells": [_cell_document(cell) for line in found.cells for cell in line],
    }


def _cell_document(cell: Cell) -> dict[str, Any]:
    row = cell.row
    return {
        "target": cell.target, "vantage": cell.vantage, "outcome": cell.outcome,
        "technique": row.technique if row else None, "cause": row.cause if row else None,
        "score": row.score if row else None, "uid": row.uid if row else None,
        "time": rfc3339(row.time) if row else None, "state": cell.state or None,
        "since": rfc3339(cell.since) if cell.since else None,
    }  # fmt: skip

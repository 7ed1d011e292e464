"""The dashboards as Grafana reads them: panels, queries, variables, and what stands for a variable in a query."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
Board = dict[str, Any]
ALL = "$__all"
_USE = re.compile(r"\$\{?(\w+)\}?")
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}]")


class Query(NamedTuple):
    """One query of one panel."""

    board: str
    panel: str
    expr: str
    instant: bool


def boards() -> dict[str, Board]:
    """File name → dashboard."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("dashboards/*.json"))}


def queries(name: str, board: Board) -> Iterator[Query]:
    """Every query of every panel."""
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield Query(name, panel["title"], target["expr"], target.get("instant", False))


def variables(board: Board) -> dict[str, Board]:
    """Name → variable."""
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def used(text: str) -> set[str]:
    """The variables that a text refers to, Grafana's own (`__…`) among them."""
    return set(_USE.findall(text))


def filled(text: str, values: Mapping[str, str | Sequence[str]]) -> str:
    """The text with a value in the place of each variable.

    As Grafana's Prometheus source does it: what is chosen in a variable that takes several values is escaped for a
    regular expression inside a string, and joined; `allValue` and Grafana's own values stand as they are.
    """

    def value(match: re.Match[str]) -> str:
        chosen = values[match[1]]
        if isinstance(chosen, str):
            return chosen
        escaped = [_SPECIAL.sub(lambda m: "\\\\" + m[0], one) for one in chosen]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _USE.sub(value, text)

"""The dashboards are sound: layout, variables, metrics that exist, and colours that mean what the pages mean."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from monitor.judge.verdict import OUTCOME_CODE, OUTCOMES
from tests.test_docs import families

from .boards import DEPLOY, GRAFANA, Board, boards, filled, queries, used, variables

BOARDS = boards()
STYLE = DEPLOY.parent / "monitor" / "publish" / "static" / "wallwatch.css"
_CSS = {
    "ok": "ok",
    "blocked": "blocked",
    "likely_blocked": "likely",
    "impaired": "impaired",
    "down": "down",
    "insufficient": "grey",
}
each_board = pytest.mark.parametrize("name", sorted(BOARDS))


def everything(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything(child)


def mappings(board: Board) -> Iterator[dict[str, dict[str, Any]]]:
    """Every table of value → {text, color}."""
    for found in everything(board["panels"]):
        if found.get("type") == "value" and "options" in found:
            yield found["options"]


def colours() -> dict[str, str]:
    """Outcome → its colour on the pages, by daylight."""
    light = STYLE.read_text().split("@media", 1)[0]
    return {outcome: re.findall(rf"--{name}: (#\w+)", light)[0] for outcome, name in _CSS.items()}


def is_green(colour: str) -> bool:
    """Whether a reader would take it for good: named so, or more green than red and blue."""
    if not re.fullmatch(r"#[0-9a-f]{6}", colour):
        return "green" in colour
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return green > red and green > blue


def test_there_are_three_dashboards_with_names_of_their_own() -> None:
    assert sorted(BOARDS) == ["health", "overview", "phases"]
    assert len({board["uid"] for board in BOARDS.values()}) == len({b["title"] for b in BOARDS.values()}) == 3
    assert all(39 <= board["schemaVersion"] <= 41 and "id" not in board for board in BOARDS.values())


@each_board
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({p["id"] for p in panels}) == len({p["title"] for p in panels}) == len(panels)
    for one, other in combinations([p["gridPos"] for p in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above, (one, other)
    assert all(p["gridPos"]["x"] >= 0 and p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)


@each_board
def test_panels_say_what_they_show_and_in_which_unit(name: str) -> None:
    for panel in BOARDS[name]["panels"]:
        assert len(panel["description"]) > 10 and panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"] == "no data", panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]) > 0


@each_board
def test_variables_are_declared_and_used(name: str) -> None:
    board = BOARDS[name]
    declared = set(variables(board))
    in_use = {word for word in used(json.dumps(board)) if not word.startswith("__")}
    assert in_use == declared
    assert {"datasource", "vantage"} <= declared
    for variable in variables(board).values():
        assert variable["description"]
        assert variable["name"] == "datasource" or variable["type"] == "custom" or variable["includeAll"]


@each_board
def test_metrics_that_are_asked_for_exist(name: str) -> None:
    known = {sample.name for metric in families() for sample in metric.samples} | {f.name for f in families()}
    text = json.dumps([q.expr for q in queries(name, BOARDS[name])]) + json.dumps(BOARDS[name]["annotations"])
    text += json.dumps(BOARDS[name]["templating"])
    asked = set(re.findall(r"\bwallwatch_[a-z_]+", text))
    assert asked and asked <= known


def test_metrics_of_the_rules_exist() -> None:
    known = {sample.name for metric in families() for sample in metric.samples} | {f.name for f in families()}
    text = (DEPLOY / "prometheus" / "wallwatch.rules.yml").read_text()
    asked = set(re.findall(r"\bwallwatch_[a-z_]+", text)) - {"wallwatch_url"}
    assert len(asked) > 15 and asked <= known


@each_board
def test_codes_and_colours_of_outcomes_are_those_of_the_judge_and_the_pages(name: str) -> None:
    pages = colours()
    for panel in BOARDS[name]["panels"]:
        shown = any("wallwatch_target_outcome_code" in t["expr"] for t in panel["targets"])
        for table in mappings({"panels": [panel]}):
            texts = {entry["text"]: (int(value), entry["color"]) for value, entry in table.items()}
            if not set(OUTCOMES) <= set(texts):
                continue
            assert shown
            assert texts == {outcome: (code, pages[outcome]) for outcome, code in OUTCOME_CODE.items()}
    for found in everything(BOARDS[name]["panels"]):
        matcher = found.get("matcher", {}).get("options")
        if matcher in pages:
            [colour] = [p["value"]["fixedColor"] for p in found["properties"] if p["id"] == "color"]
            assert colour == pages[matcher]


@each_board
def test_nothing_but_ok_is_green(name: str) -> None:
    for table in mappings(BOARDS[name]):
        assert [e["text"] for e in table.values() if is_green(e["color"])] in ([], ["ok"])
    for found in everything(BOARDS[name]["panels"]):
        for step in found.get("steps", []) if isinstance(found.get("steps"), list) else []:
            assert not is_green(step["color"])
        assert not is_green(found.get("fixedColor", "")) or found["fixedColor"] == colours()["ok"]


def test_green_is_told_from_other_colours() -> None:
    assert is_green("green") and is_green("dark-green") and is_green("#dff0e2") and is_green("#73bf69")
    assert not any(map(is_green, ("#ededec", "#b3261e", "#dbe3ef", "#8e9aa6", "red", "")))


def test_an_outcome_that_is_old_is_not_shown() -> None:
    """What was not measured for three intervals drops out of matrix and timeline, instead of staying ok."""
    for title in ("Newest outcome of each target at each vantage", "Outcomes over time"):
        [panel] = [p for p in BOARDS["overview"]["panels"] if p["title"] == title]
        assert "last_measurement_timestamp_seconds > 3 * $every" in panel["targets"][0]["expr"]
        assert not panel["fieldConfig"]["defaults"]["custom"].get("spanNulls", False)


def test_values_are_put_in_as_grafana_does_it() -> None:
    text = 'm{target=~"$target",vantage=~"${vantage}"}[$__range]'
    chosen = {"target": ["https://a.example/?x=1", "b"], "vantage": ".*", "__range": "1m"}
    assert filled(text, chosen) == 'm{target=~"(https://a\\\\.example/\\\\?x=1|b)",vantage=~".*"}[1m]'


def test_provisioning_leads_to_the_dashboards_and_to_prometheus() -> None:
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/wallwatch.yml").read_text())["datasources"]
    assert (source["type"], source["jsonData"]["httpMethod"]) == ("prometheus", "POST")
    [link] = source["jsonData"]["exemplarTraceIdDestinations"]
    assert link["name"] == "measurement_id" and link["url"].endswith("/measurements/$${__value.raw}")
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/wallwatch.yml").read_text())["providers"]
    assert provider["type"] == "file" and Path(provider["options"]["path"]).name == "wallwatch"

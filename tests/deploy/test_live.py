"""The real demo, scraped by a real Prometheus with the shipped configuration: dashboards and rules at work."""

import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]

from monitor.demo.story import COUNTRIES, PLAYED
from tests.publish.test_prometheus import free_port
from tests.publish.tools import tool

from .boards import ALL, DEPLOY, Board, Query, boards, filled, queries, used, variables
from .running import WALLWATCH, get, started, until

LENGTH = 55  # seconds of the play; what begins and ends in it is confirmed after two thirds
SPAN = 30  # seconds that the dashboards show
SCALED = {"__rate_interval": "10s", "__range": f"{SPAN}s"}  # a round is an hour in the field, 6 seconds here
CHANGES = sum(e.begins or e.ends for e in PLAYED)


class Scene(NamedTuple):
    """A Prometheus that has seen the whole story; `at`: Unix seconds when it had; `alerts` and `rules` of then."""

    api: str
    at: float
    alerts: list[dict[str, Any]]
    rules: list[dict[str, Any]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    program, folder = tool("prometheus"), tmp_path_factory.mktemp("live")
    play, api = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(play)))
    flags = (
        f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={api}", "--enable-feature=exemplar-storage",
    )  # fmt: skip
    demo = [*WALLWATCH, "demo", "--for", str(LENGTH), "--listen", play]
    with started(demo, folder / "demo.log"), started([program, *flags], folder / "prometheus.log"):
        url = f"http://{api}/api/v1"
        until(lambda: told(url), seconds=LENGTH + 15)
        time.sleep(2)  # the rules are evaluated every second
        alerts, rules = get(f"{url}/alerts")["data"]["alerts"], get(f"{url}/rules")["data"]["groups"]
        yield Scene(url, time.time(), alerts, [rule for group in rules for rule in group["rules"]])


def configuration(play: str) -> dict[str, Any]:
    """The shipped configuration and blackbox's job, the demo's address, and seconds in the place of half minutes."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    for old, new in (
        ("127.0.0.1:8080", play), ("127.0.0.1:9093", "127.0.0.1:9"), ("30s", "1s"), ("20s", "1s"),
        ("[wallwatch.rules.yml]", f"['{DEPLOY / 'prometheus' / 'wallwatch.rules.yml'}']"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    probes = (DEPLOY / "blackbox" / "prometheus.yml").read_text()
    probes = probes.replace("127.0.0.1:8080", play).replace("[local]", "[firewall]")
    made: dict[str, Any] = yaml.safe_load(text)
    made["scrape_configs"] += yaml.safe_load(probes)["scrape_configs"]
    return made


def told(url: str) -> bool:
    """Whether all events of the story were scraped."""
    found = get(f"{url}/query", query="sum(wallwatch_events_total)")["data"]["result"]
    return bool(found) and float(found[0]["value"][1]) >= CHANGES


# Dashboards


def choices(scene: Scene, board: Board) -> dict[str, list[str]]:
    """Variable → all its values, asked for as Grafana asks."""
    found = {}
    for name, variable in variables(board).items():
        if variable["type"] == "custom":
            found[name] = [option["value"] for option in variable["options"]]
        elif variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match is not None
            series = filled(match[1], {"category": ".*"})
            found[name] = get(f"{scene.api}/label/{match[2]}/values", **{"match[]": series})["data"]
    return found


def choose(board: Board, name: str, value: str) -> str | list[str]:
    """What stands in a query for a chosen value."""
    variable = variables(board)[name]
    if value == ALL:
        return str(variable["allValue"])
    return [value] if variable["multi"] else value


def every_choice(board: Board, values: dict[str, list[str]]) -> list[dict[str, str | list[str]]]:
    """All at once; each value of each variable with the others left at their defaults; each pair."""
    start = {n: str(v["current"]["value"]) for n, v in variables(board).items() if v["type"] != "datasource"}
    wanted = [start, *({**start, name: value} for name in start for value in values[name])]
    wanted += [{**start, "vantage": v, "target": t} for v in values["vantage"] for t in values.get("target", ())]
    made = [{**SCALED, **{n: choose(board, n, v) for n, v in one.items()}} for one in wanted]
    several = {n: v for n, v in values.items() if variables(board)[n]["multi"]}
    return [*made, {**made[0], **several}]


def answer(scene: Scene, query: Query, expr: str) -> str | None:
    """Run a query over the time shown, and as Grafana asks for a table; what is wrong with the answer, or None."""
    end = f"{scene.at:.0f}"
    asked = [get(f"{scene.api}/query_range", query=expr, start=f"{scene.at - SPAN:.0f}", end=end, step="2")]
    if query.instant:
        asked.append(get(f"{scene.api}/query", query=expr, time=end))
    for reply in asked:
        if reply["status"] != "success":
            return f"{query.panel}: {reply['error']}: {expr}"
        series = reply["data"]["result"]
        points = [point for one in series for point in one.get("values") or [one["value"]]]
        # A target without evidence has no date of a change: the panel maps NaN to these words.
        if not points or (all(math.isnan(float(p[1])) for p in points) and "NaN" not in query.expr):
            return f"{query.panel}: no data: {expr}"
    return None


@pytest.mark.timeout(110)
@pytest.mark.parametrize("name", sorted(boards()))
def test_every_query_of_every_panel_has_data_for_every_choice(scene: Scene, name: str) -> None:
    board = boards()[name]
    values = choices(scene, board)
    assert sorted(values["vantage"]) == sorted(COUNTRIES)
    assert all(values.values()) and len(values.get("target", [""] * 13)) == 13
    asked = {
        (query, filled(query.expr, chosen)) for chosen in every_choice(board, values) for query in queries(name, board)
    }
    with ThreadPoolExecutor(4) as pool:
        faults = list(filter(None, pool.map(lambda one: answer(scene, *one), sorted(asked))))
    assert not faults, "\n".join(faults[:10]) + f"\n{len(faults)} of {len(asked)}"
    assert len(asked) > 40


def test_a_query_without_data_or_with_a_fault_is_told(scene: Scene) -> None:
    for expr, why in (
        ("wallwatch_nothing", "no data"),
        ("0 / (wallwatch_simulated - 1)", "no data"),
        ("rate(", "parse"),
    ):
        for instant in (False, True):
            assert why in (answer(scene, Query("board", "panel", expr, instant), expr) or ""), expr


def test_changes_are_marked_on_the_overview(scene: Scene) -> None:
    board = boards()["overview"]
    chosen: dict[str, str | list[str]] = {
        **SCALED,
        **{n: ".*" for n in used(board["annotations"]["list"][0]["expr"]) - set(SCALED)},
    }
    expr = filled(board["annotations"]["list"][0]["expr"], chosen)
    found = get(f"{scene.api}/query", query=expr, time=f"{scene.at:.0f}")["data"]["result"]
    assert {(s["metric"]["target"], s["metric"]["vantage"]) for s in found} == {
        (e.target, e.vantage) for e in PLAYED if e.begins or e.ends
    }
    assert all(scene.at - LENGTH < float(s["value"][1]) / 1000 < scene.at for s in found)


def test_points_lead_to_measurements(scene: Scene) -> None:
    [panel] = [p for p in boards()["phases"]["panels"] if p["type"] == "heatmap"]
    assert panel["targets"][0]["exemplar"] is True
    found = get(
        f"{scene.api}/query_exemplars", query='wallwatch_phase_seconds_bucket{vantage=~".*"}',
        start=f"{scene.at - 60:.0f}", end=f"{scene.at:.0f}",
    )["data"]  # fmt: skip
    assert all(e["labels"]["measurement_id"] for series in found for e in series["exemplars"])
    assert len(found) > 10


# Rules


def test_rules_evaluate_without_error(scene: Scene) -> None:
    assert len(scene.rules) > 15
    assert {rule["health"] for rule in scene.rules} == {"ok"}, [r for r in scene.rules if r["health"] != "ok"]


def test_alerts_about_targets_are_the_story(scene: Scene) -> None:
    """They wait their twenty minutes; what they will say is known."""
    waiting = {"TargetBlocked": [e for e in PLAYED if e.begins], "TargetUnblocked": [e for e in PLAYED if e.ends]}
    for name, expected in waiting.items():
        found = [a for a in scene.alerts if a["labels"]["alertname"] == name]
        assert {(a["labels"]["target"], a["labels"]["vantage"]) for a in found} == {
            (e.target, e.vantage) for e in expected
        }
        for alert in found:
            labels, said = alert["labels"], alert["annotations"]
            assert said["summary"].startswith(f"SIMULATED: {labels['target']} is ")
            assert said["site"] == labels["site"] != ""
            assert said["since"].startswith("20") and said["page"].startswith("http://127.0.0.1:")
            assert {"instance", "vantage", "category", "severity"} <= set(labels) and "technique" not in labels
            assert said.get("technique", "").startswith("tls." if name == "TargetBlocked" else "")


def test_nothing_else_is_wrong_with_the_demo(scene: Scene) -> None:
    """Its rounds are so short that some are missed; a busy machine makes its event loop late."""
    expected = {"TargetBlocked", "TargetUnblocked", "JobsMissed", "EventLoopLag"}
    assert {a["labels"]["alertname"] for a in scene.alerts} <= expected


def test_blackbox_exporters_jobs_are_answered(scene: Scene) -> None:
    found = get(f"{scene.api}/query", query='probe_success{job="wallwatch-probe"}', time=f"{scene.at:.0f}")
    values = {(s["metric"]["instance"], s["metric"]["vantage"]): s["value"][1] for s in found["data"]["result"]}
    assert values == {("https://www.bbc.com/", "firewall"): "0", ("https://www.amnesty.org/", "firewall"): "0"}


def test_prometheus_knows_that_it_is_simulated(scene: Scene) -> None:
    found = get(f"{scene.api}/query", query='wallwatch_simulated{job="wallwatch"} == 1', time=f"{scene.at:.0f}")[
        "data"
    ]["result"]
    assert len(found) == 1

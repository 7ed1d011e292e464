"""Rules and configurations, checked by the programs that will read them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from monitor.config import KEYS
from monitor.judge.vantage import QUARANTINE, SITUATIONS
from tests.publish.tools import tool

from .boards import DEPLOY

PROMETHEUS = DEPLOY / "prometheus"


def run(*command: str | Path) -> str:
    """What a program says; it must be content."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule."""
    groups = yaml.safe_load((PROMETHEUS / "wallwatch.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_rules_page_for_what_they_must_and_for_nothing_else() -> None:
    assert "SUCCESS" in run(tool("promtool"), "test", "rules", PROMETHEUS / "wallwatch.test.yml")


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = yaml.safe_load((PROMETHEUS / "wallwatch.test.yml").read_text())["tests"]
    checks = [(check["alertname"], bool(check["exp_alerts"])) for case in cases for check in case["alert_rule_test"]]
    for name in {rule["alert"] for rule in alerts()}:
        assert (name, True) in checks, name
        assert (name, False) in checks, name


def test_a_broken_rule_would_be_noticed(tmp_path: Path) -> None:
    rules = (PROMETHEUS / "wallwatch.rules.yml").read_text()
    for old, new in (("== 0\n          )", "<= 1\n          )"), ("group_left (site, category)", "")):
        assert old in rules
        (tmp_path / "wallwatch.rules.yml").write_text(rules.replace(old, new, 1))
        cases = yaml.safe_load((PROMETHEUS / "wallwatch.test.yml").read_text())
        cases["tests"] = cases["tests"][:3]
        (tmp_path / "wallwatch.test.yml").write_text(yaml.safe_dump(cases))
        done = subprocess.run(
            [tool("promtool"), "test", "rules", tmp_path / "wallwatch.test.yml"], capture_output=True, check=False
        )
        assert done.returncode != 0


def test_what_quarantines_is_what_the_judge_says() -> None:
    text = (PROMETHEUS / "wallwatch.rules.yml").read_text()
    named = {word for found in re.findall(r'situation=~\\"([a-z_|]+)\\"', text) for word in found.split("|")}
    assert named == {row.id for row in SITUATIONS if row.effect == QUARANTINE}
    page = (DEPLOY.parent / "docs" / "metrics.md").read_text()
    assert all(f"`{word}`" in page for word in named)


def test_alerts_have_a_severity_that_alertmanager_routes() -> None:
    routes = tool("amtool", package="prometheus-alertmanager"), "config", "routes", "test"
    config = f"--config.file={DEPLOY / 'alertmanager' / 'alertmanager.yml'}"
    for rule in alerts():
        severity = rule["labels"]["severity"]
        found = run(*routes, config, f"alertname={rule['alert']}", f"severity={severity}").split()[0]
        is_news = severity == "page" and rule["alert"] in ("TargetBlocked", "VantageChanged")
        assert found == ("page-news" if is_news else severity)


def test_configurations_are_sound() -> None:
    assert "1 rule files found" in run(tool("promtool"), "check", "config", PROMETHEUS / "prometheus.yml")
    assert "SUCCESS" in run(tool("promtool"), "check", "config", DEPLOY / "blackbox" / "prometheus.yml")
    alertmanager = DEPLOY / "alertmanager" / "alertmanager.yml"
    assert "SUCCESS" in run(tool("amtool", package="prometheus-alertmanager"), "check-config", alertmanager)


def test_the_interval_of_the_rules_is_the_configurations_default() -> None:
    text = (PROMETHEUS / "wallwatch.rules.yml").read_text()
    assert KEYS["schedule"]["every"].default == "1h"
    assert "vector(3600)" in text and "for: 75m" in text

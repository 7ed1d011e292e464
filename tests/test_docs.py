"""The documentation says what the code has: commands, keys, metrics, rules, routes, make targets, files.

`python -m tests.test_docs --write` puts the table of rules into docs/rules.md.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client.metrics_core import Metric

from monitor import __version__, cli
from monitor.config import KEYS, Key, parse_document
from monitor.judge import artefacts, differences, innocent
from monitor.judge.detect import Event
from monitor.judge.rules import RULES, VERSION, Rule
from monitor.judge.techniques import TECHNIQUES
from monitor.judge.verdict import DOWN_CAUSES, INSUFFICIENT_CAUSES, OUTCOMES, Verdict
from monitor.publish import server
from monitor.publish.metrics import Metrics
from monitor.publish.probe import Told
from monitor.store import Store
from probes.measurement import Measurement, SelfTest, VantageFacts
from probes.tcp import TCPConnect

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
_BEGIN, _END = "<!-- rules:begin, written by `python -m tests.test_docs --write` -->\n", "<!-- rules:end -->"
_ELSEWHERE = re.compile(r"\s*\((?:judgement )?(?:rows? [^)]*|CONTRACT\.md[^)]*)\)")  # what docstrings refer to


def text_of(page: str | Path) -> str:
    """A page by its name in the repository, or by its path."""
    return (ROOT / page).read_text(encoding="utf-8")


def found(pattern: str, *, flags: int = re.MULTILINE) -> list[tuple[str, str]]:
    """(page, what matched) over all pages."""
    return [(page.name, match) for page in PAGES for match in re.findall(pattern, text_of(page), flags)]


def table_rows(text: str) -> Iterator[tuple[str, ...]]:
    """The cells of every line that is a row of a table, heads and rulers included."""
    for line in text.splitlines():
        if line.startswith("| ") and line.endswith("|"):
            yield tuple(cell.strip() for cell in line.strip("|").split("|"))


def section_of(text: str, heading: str) -> str:
    """What stands between a heading `## …` and the next one."""
    parts = text.split(f"\n## {heading}\n")
    assert len(parts) == 2, f"there is not one section {heading!r}"
    return parts[1].split("\n## ")[0]


# Rules


def rule_table() -> str:
    """The table of rules as Markdown."""
    rows = ["| stage | rule | fires when | why it may conclude |", "| --- | --- | --- | --- |"]
    rows += [f"| `{rule.stage}` | `{rule.id}` | {_fires_when(rule)} | {rule.why} |" for rule in RULES]
    return f"Version {VERSION}.\n\n" + "\n".join(rows) + "\n"


def _fires_when(rule: Rule) -> str:
    about = " ".join((rule.when.__doc__ or "").split("\n\n")[0].split())
    return _ELSEWHERE.sub("", about).replace("|", "\\|")


def with_rule_table(text: str) -> str:
    """docs/rules.md with the table as the code has it."""
    head, rest = text.split(_BEGIN)
    return head + _BEGIN + rule_table() + _END + rest.split(_END, 1)[1]


def test_the_table_of_rules_is_the_codes() -> None:
    text = text_of("docs/rules.md")
    assert text == with_rule_table(text), "run `python -m tests.test_docs --write`"


def test_the_weights_of_the_score_are_the_codes() -> None:
    text = (DOCS / "rules.md").read_text()
    section = text[text.index("## Score") : text.index("## Events")]
    shown = {float(n.replace("−", "-")) for n in re.findall(r"\| (−?\d+\.\d+) \|", section)}
    assert shown == {
        artefacts.PROOF, differences.TLS_RESET, differences.DNS_FAILURE, differences.TLS_OTHER, differences.STRANGER,
        differences.TCP_FAILURE, differences.PAGE, innocent.REACHED, innocent.SAME,
    }  # fmt: skip


def test_a_changed_table_would_be_noticed() -> None:
    text = text_of("docs/rules.md")
    for changed in (text.replace(RULES[0].id, "vantage.other", 1), text.replace(RULES[-1].why, "Because.", 1)):
        assert changed != text
        assert changed != with_rule_table(changed)


@pytest.mark.parametrize("word", [*OUTCOMES, *DOWN_CAUSES, *INSUFFICIENT_CAUSES])
def test_words_of_a_verdict_are_explained(word: str) -> None:
    assert f"`{word}`" in text_of("docs/rules.md")


def test_techniques_that_the_docs_name_exist() -> None:
    known = {*TECHNIQUES, *(rule.id for rule in RULES)}
    tops = {name.split(".")[0] for name in TECHNIQUES}
    for page, name in found(r"`([a-z_]+(?:\.[a-z_]+)+)`"):
        assert name in known or name.split(".")[0] not in tops or name.endswith(".py"), (page, name)


# Commands


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    [commands] = [a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return cast("dict[str, argparse.ArgumentParser]", commands.choices)


@pytest.mark.parametrize("name", sorted(parsers()))
def test_a_command_is_documented_with_its_options(name: str) -> None:
    section = section_of(text_of("docs/commands.md"), f"`wallwatch {name}`")
    for action in parsers()[name]._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help", "--config") or f"`{option}" in section, option
        for choice in action.choices or ():
            assert str(choice) in section, choice
    assert re.search(rf"^\| `wallwatch {name}\b", text_of("README.md"), re.MULTILINE)


def test_no_other_command_is_documented() -> None:
    named = re.findall(r"^## `wallwatch (\w+)`$", text_of("docs/commands.md"), re.MULTILINE)
    assert sorted(named) == sorted(parsers())


def test_commands_shown_to_type_exist() -> None:
    for page, name in found(r"^    (?:\.venv/bin/)?wallwatch (\w+)"):
        assert name in parsers(), (page, name)


def test_the_routes_are_the_servers() -> None:
    app = server.app(
        cast(Store, None), Metrics(), targets=(), vantages=(), simulated=True, ready=lambda: None
    )  # nothing is asked of the store
    routes = {resource.canonical for resource in app.router.resources()}
    rows = table_rows(section_of(text_of("docs/commands.md"), "Pages and JSON"))
    shown = {cells[0].strip("`").split("?")[0] for cells in rows if cells[0].startswith("`/")}
    assert shown == routes


# Configuration


def documented_keys() -> dict[str, dict[str, tuple[str, str]]]:
    """Section → key → (type, default) in docs/configuration.md."""
    text, keys = text_of("docs/configuration.md"), {}
    for heading, section in re.findall(r"^## `(\[+(\w+)\]+)`$", text, re.MULTILINE):
        rows = [cells for cells in table_rows(section_of(text, f"`{heading}`")) if len(cells) == 4]
        keys[section] = {cells[0].strip("`"): (cells[1], cells[2]) for cells in rows if cells[0].startswith("`")}
    return keys


def _documented(key: Key) -> tuple[str, str]:
    kind = {str: "string", int: "integer", bool: "boolean", list: "list"}[key.kind]
    return kind, "needed" if key.default is None else f"`{json.dumps(key.default)}`"


def test_the_configuration_keys_are_documented_and_no_others() -> None:
    assert documented_keys() == {
        section: {name: _documented(key) for name, key in keys.items()} for section, keys in KEYS.items()
    }


def test_the_example_configuration_is_sound() -> None:
    blocks = found(r"```toml\n(.*?)```", flags=re.DOTALL)
    assert len(blocks) >= 2
    for _page, block in blocks:
        parse_document(tomllib.loads(block), Path("config.toml"))


# Metrics


def families() -> list[Metric]:
    """All metrics, each with a sample."""
    metrics, now = Metrics(version="0"), datetime(2026, 1, 31, tzinfo=UTC)
    metrics.set_targets([("t", "s", "NEWS")])
    metrics.set_vantage("home", "direct", "CN", 4134, "")
    metrics.vantage_up("home", True)
    metrics.vantage_contact("home", 1.0)
    metrics.control_failed("https://helper.example/")
    metrics.agents.heard("home", skew=0.0, spooled=0)
    refused = TCPConnect(started=0.0, finished=0.1, failure="connection_refused", address="192.0.2.1", port=443)
    facts = VantageFacts(name="home", blind=("quic",))
    metrics.set_vantages([facts])
    measurement = Measurement(
        uid="u", time=now, target="t", url="https://t/", vantage=facts, operations=(refused,),
        self_tests=(SelfTest(clock_skew=3600.0),),
    )  # fmt: skip
    event = Event(
        target="t", vantage="home", kind="blocked", after=now, before=now, detected_at=now, technique="tcp.refused",
        confidence=0.9, measurements=2,
    )  # fmt: skip
    verdict = Verdict(outcome="blocked", technique="tcp.refused")
    metrics.observe(measurement, verdict, [event])
    told = [f for f in Told(measurement, verdict, now).collect() if f.name.startswith("wallwatch_probe_")]
    return [*metrics.registry.collect(), *metrics.pairs.collect(), *told]


def _described(metric: Metric) -> tuple[str, str, frozenset[str]]:
    name = metric.name + "_total" * (metric.type == "counter")
    return name, metric.type, frozenset(label for s in metric.samples for label in s.labels) - {"le"}


def test_the_metrics_are_documented_and_no_others() -> None:
    shown = {
        (cells[0].strip("`"), cells[1], frozenset(re.findall(r"`(\w+)`", cells[2])))
        for cells in table_rows(text_of("docs/metrics.md")) if cells[0].startswith("`wallwatch_")
    }  # fmt: skip
    assert shown == {_described(metric) for metric in families()}


def test_metrics_that_the_docs_name_exist() -> None:
    known = {sample.name for metric in families() for sample in metric.samples} | {f.name for f in families()}
    for page, name in found(r"\bwallwatch_[a-z_]+\b"):
        assert name in known, (page, name)


# Files


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    shown = {name for _page, name in found(r"(?:^    |`)make ([\w-]+)")}
    assert {"demo", "test", "run"} <= shown <= targets


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_relative_to(ROOT), link
        assert file.exists(), link
        assert not anchor or anchor in _anchors(file), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = {ROOT / "README.md"}, [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        for link in re.findall(r"\]\(([^)#\s:]+)", text_of(page)):
            file = (page.parent / link).resolve()
            files = sorted(file.glob("*.md")) if file.is_dir() else [file]
            new = [f for f in files if f.suffix == ".md" and f.exists() and f not in seen]
            seen.update(new)
            waiting += new
    assert set(PAGES) <= seen


def test_files_that_the_docs_name_exist() -> None:
    for page, name in found(r"`((?:monitor|probes|blocklists|tests|docs)/[\w/.]*)`"):
        assert (ROOT / name).exists(), (page, name)


def test_the_changelog_has_this_version() -> None:
    assert f"## [{__version__}]" in text_of("CHANGELOG.md")
    project: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert project["version"] == __version__


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.test_docs --write")
    (DOCS / "rules.md").write_text(with_rule_table(text_of("docs/rules.md")), encoding="utf-8")

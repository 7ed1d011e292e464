"""`wallwatch export`: what it writes is read back by the other commands, and what cannot be exported is told in a line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.cli import main
from tests.publish.stored import ROOT, TARGETS, contents, measured, stored

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    stored(folder / "wallwatch.db")
    (folder / "config.toml").write_text("[service]\ntargets = []\n")
    return folder


def run(home: Path, capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["--config", str(home / "config.toml"), *arguments]) == code
    out, err = capfd.readouterr()
    return out, err


def test_the_table_goes_to_standard_output(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = run(home, capfd, "export")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert len(rows) == 40 and err == ""
    assert {row["target"] for row in rows} == set(TARGETS)
    chosen, _err = run(home, capfd, "export", "--format", "csv", "--vantage", "home", "--target", TARGETS[1],
                       "--since", "2026-01-31T20:03:00+08:00", "--until", "2026-01-31T12:06:00Z")  # fmt: skip
    assert [row["time"][14:16] for row in csv.DictReader(io.StringIO(chosen))] == ["03", "04", "05"]
    nothing, _err = run(home, capfd, "export", "--until", "2026-01-31")
    assert nothing == out.splitlines(keepends=True)[0]


@pytest.mark.parametrize("style", ["csv", "jsonl"])
def test_timeline_reads_it_back(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], style: str) -> None:
    run(home, capfd, "export", "--format", style, "--output", str(tmp_path / "out"))
    expected, _err = run(home, capfd, "timeline", "--format", "csv")
    assert len(expected.splitlines()) == 5
    found, _err = run(
        home, capfd, "timeline", "--format", "csv", "--input", str(tmp_path / "out" / f"measurements.{style}")
    )
    assert found == expected
    single = [line.rsplit(",", 2)[0] for line in expected.splitlines()]  # without what only an event of many targets has
    assert sorted((tmp_path / "out" / "events.csv").read_text().splitlines()) == sorted(single)
    printed, _err = run(home, capfd, "export", "--format", style)
    assert printed == (tmp_path / "out" / f"measurements.{style}").read_text()


def test_analyze_computes_the_same_verdicts(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, _err = run(home, capfd, "export", "--format", "jsonl")
    (tmp_path / "m.jsonl").write_text(out)
    documents = [json.loads(line) for line in out.splitlines()]
    again, _err = run(home, capfd, "analyze", str(tmp_path / "m.jsonl"))
    assert [json.loads(line) for line in again.splitlines()] == [
        {"uid": d["uid"], "input": d["target"], "vantage": d["vantage"]["name"], "verdict": d["verdict"]} for d in documents
    ]  # fmt: skip
    assert {d["verdict"]["outcome"] for d in documents} == {"ok", "likely_blocked"}
    assert not any("simulated" in d for d in documents)
    assert all("192.0.2.53" not in line for line in out.splitlines())


def test_a_simulated_database_needs_no_word_and_is_marked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "demo.db", measured(simulated=True)[:4], simulated=True)
    (tmp_path / "config.toml").write_text('[service]\ntargets = []\ndatabase = "demo.db"\n')
    out, _err = run(tmp_path, capfd, "export")
    assert [row["simulated"] for row in csv.DictReader(io.StringIO(out))] == ["true"] * 4


def test_the_locale_changes_no_byte(home: Path) -> None:
    command = [sys.executable, "-m", "monitor.cli", "--config", str(home / "config.toml"), "export"]
    for more in ({"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1", "TZ": "Asia/Tehran"}):
        done = subprocess.run(command, env={**ENVIRONMENT, **more}, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert TARGETS[1].replace('"', '""').encode() in done.stdout


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        (["--format", "parquet"], ["--format parquet", "not in this version"]),
        (["--format", "ooni"], ["--format ooni", "not in this version"]),
        (["--format", "package", "--output", "x"], ["--format package", "not in this version"]),
        (["--since", "yesterday"], ["--since", "must be a time"]),
        (["--since", "2026-02-01", "--until", "2026-02-01"], ["--since", "earlier than --until"]),
        (["--target", "https://nowhere.example/"], ["--target", "no measurement of 'https://nowhere.example/'"]),
        (["--vantage", "moon\n"], ["--vantage", "no measurement of 'moon\\n'"]),
        (["--author", "me"], ["--author", "--output"]),
        (["--licence", "CC0-1.0"], ["--licence", "--output"]),
        (["--output", "/proc/nothing/here"], ["/proc/nothing/here", "no folder"]),
        (["--output", "/proc/here"], ["/proc/here"]),
        (["--output", "."], ["nothing is overwritten"]),
    ],
)  # fmt: skip
def test_bad_usage(home: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], needles: list[str]) -> None:
    out, err = run(home, capfd, "export", *arguments, code=2)
    assert out == "" and len(err.splitlines()) == 1
    assert all(needle in err for needle in needles), err


def test_no_database(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text("[service]\ntargets = []\n")
    _out, err = run(tmp_path, capfd, "export", code=2)
    assert err == f"wallwatch: {tmp_path}/wallwatch.db: there is no database\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_usage(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--format", "xml"], ["--licence", "mine"]):
        with pytest.raises(SystemExit) as raised:
            main(["export", *arguments])
        assert raised.value.code == 2
    capfd.readouterr()


def test_killed_at_any_moment_there_is_no_half_of_a_package(home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitor.cli", "--config", str(home / "config.toml"), "export", "--format", "jsonl",
               "--output", str(tmp_path / "out")]  # fmt: skip
    killed = 0
    for wait in (0.0, 0.002, 0.005, 0.01, 0.02):
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)
        while process.poll() is None and not list(tmp_path.glob(".out.*.partial")):
            time.sleep(0.0005)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (tmp_path / "out").exists():
            break
        killed += 1
    assert killed
    if not (tmp_path / "out").exists():
        assert subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0
    assert len(contents(tmp_path / "out")) == 10
    assert (
        subprocess.run(["sha256sum", "-c", "--status", "SHA256SUMS"], cwd=tmp_path / "out", check=False).returncode == 0
    )

"""The commands on the simulated Internet and on recorded measurements, in processes of their own where that matters."""

import csv
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest

from monitor.cli import main
from monitor.publish.record import as_json
from monitor.store import Store
from tests.scenarios.connection_scenarios import SCENARIOS
from tests.scenarios.harness import play

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "field" / "data" / "ooni"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def wallwatch(*arguments: str, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "monitor.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options,  # type: ignore[call-overload]
    )  # fmt: skip


def test_analyze_agrees_with_what_is_expected_of_oonis_samples(capsys: pytest.CaptureFixture[str]) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"OONI's samples are not at {SAMPLES}")
    rows = list(csv.DictReader(io.StringIO((SAMPLES / "EXPECTED.csv").read_text())))
    assert main(["analyze", *(str(SAMPLES / row["file"]) for row in rows)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(rows) == 16
    for row, line in zip(rows, lines, strict=True):
        verdict = line["verdict"]
        assert verdict["outcome"] in row["outcomes"].split(), (row["file"], verdict)
        prefixes = row["technique_prefixes"].split()
        assert not prefixes or any(t.startswith(p) for t in verdict["techniques"] for p in prefixes), row["file"]


def test_what_measure_prints_is_judged_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [s for s in SCENARIOS if s.name in ("all is well", "reset after the ClientHello", "a captive portal",
              "a self-signed certificate here only", "DNS and SNI blocked together")]  # fmt: skip
    results = [play(scenario) for scenario in chosen]
    file = tmp_path / "measured.jsonl"
    file.write_bytes(b"".join(as_json(r.measurement, r.verdict, version="0").rstrip(b"\n") + b"\n" for r in results))
    assert main(["analyze", str(file)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["uid"] for line in lines] == [r.measurement.uid for r in results]
    again = [msgspec.convert(line["verdict"], type(results[0].verdict)) for line in lines]
    assert again == [r.verdict for r in results]


def test_import_adds_recorded_measurements_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"OONI's samples are not at {SAMPLES}")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "blocklists", tmp_path / "blocklists")
    (tmp_path / "config.toml").write_text("")
    sample = str(SAMPLES / "20221110100919.165568_US_webconnectivity_782abf479bf32868.json")
    for _ in range(2):
        assert main(["import", sample]) == 0
    rows = list(Store.open(tmp_path / "wallwatch.db", read_only=True).iter_rows())
    assert [(row.target, row.outcome) for row in rows] == [("https://www.theguardian.com/", "ok")]
    assert rows[0].vantage.startswith("ooni:US:AS")
    capsys.readouterr()


def test_lists_check_is_content_with_the_shipped_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lists", "check", *map(str, sorted((ROOT / "blocklists").glob("*.csv")))]) == 0
    assert "without fault" in capsys.readouterr().out


@pytest.fixture
def isolated(tmp_path: Path) -> list[str]:
    """The command in a network namespace of its own, which has no way out; the shipped configuration beside it."""
    shutil.copytree(ROOT / "blocklists", tmp_path / "blocklists")
    shutil.copy(ROOT / "config.toml", tmp_path)
    isolate = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow network namespaces")
    return [*isolate, sys.executable, "-m", "monitor.cli"]


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False
    )


def test_run_once_without_internet_says_offline_and_records_it(isolated: list[str], tmp_path: Path) -> None:
    done = _run([*isolated, "run", "--once"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "offline" in done.stdout
    rows = list(Store.open(tmp_path / "wallwatch.db", read_only=True).iter_rows())
    assert len(rows) == 13
    assert {(row.outcome, row.cause) for row in rows} == {("insufficient", "offline")}


def test_check_tries_controls_and_vantages(isolated: list[str], tmp_path: Path) -> None:
    done = _run([*isolated, "check"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no fault; 13 targets, 1 vantages" in done.stdout
    assert "vantage local: quarantined, its results are insufficient, 0 of 4 control names open" in done.stdout
    assert "  quarantine: every control name failed: it is offline (offline)\n" in done.stdout
    assert "  notice: where its way out ends is not known: a moved one would not be noticed (egress_unknown)\n" in done.stdout
    assert "control https://1.th.ooni.org/: fails for 3 of 3 control names" in done.stdout


def test_measure_prints_an_account_and_stores_no_measurement(isolated: list[str], tmp_path: Path) -> None:
    done = _run([*isolated, "measure", "https://www.bbc.com/"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "INSUFFICIENT" in done.stdout and "offline" in done.stdout
    done = _run([*isolated, "measure", "--format", "json", "https://www.bbc.com/", "http://203.0.113.5/"], tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["target"] for line in lines} == {"https://www.bbc.com/", "http://203.0.113.5/"}
    assert {line["verdict"]["cause"] for line in lines} == {"offline"}
    assert not list(Store.open(tmp_path / "wallwatch.db", read_only=True).iter_rows())


def test_helper_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    process = wallwatch("helper", "--listen", "127.0.0.1:0", "--neutral", "127.0.0.1:0", cwd=tmp_path)
    assert process.stderr is not None
    url = _url(process.stderr.readline())
    with urllib.request.urlopen(f"{url}generate_204", timeout=10) as response:
        assert response.status == 204
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.communicate()


def _url(line: str) -> str:
    found = re.search(r"http://[\d.]+:\d+/", line)
    assert found is not None, line
    return found.group()


def test_demo_finds_all_that_is_simulated_and_marks_it(tmp_path: Path) -> None:
    process = wallwatch("demo", "--for", "60", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert process.stderr is not None
    url = _url(process.stderr.readline())
    time.sleep(15)
    pages = {}
    for path in ("", "metrics", "api/v1/matrix", "healthz", "readyz"):
        with urllib.request.urlopen(url + path, timeout=10) as response:
            pages[path] = response.read().decode()
    out, err = process.communicate(timeout=95)
    assert process.returncode == 0, out[-3000:] + err
    assert "14 of 14 simulated blocks found" in out
    assert all("SIMULATED" in line for line in out.splitlines() if " stored " in line)
    assert "SIMULATED" in pages[""] and "likely blocked" in pages[""]
    assert "wallwatch_simulated 1.0" in pages["metrics"]
    assert json.loads(pages["api/v1/matrix"])["simulated"] is True
    assert not list(tmp_path.iterdir())


def test_demo_that_has_an_end_ends_sooner_when_told_to(tmp_path: Path) -> None:
    process = wallwatch("demo", "--for", "60", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert process.stderr is not None and process.stdout is not None
    process.stderr.readline()
    process.stdout.readline()
    process.terminate()
    out, _err = process.communicate(timeout=20)
    assert process.returncode == 1 and "simulated blocks found" in out, "it was not all found"


def test_demo_killed_twenty_times_loses_nothing_that_was_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of the demo is printed when the measurement is stored; SIGKILL comes at any moment."""
    database, reported = tmp_path / "killed.db", []
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(tmp_path))  # nobody removes what a killed process leaves
    for turn in range(20):
        process = wallwatch("demo", "--listen", "127.0.0.1:0", "--database", str(database))
        assert process.stdout is not None
        deadline = time.monotonic() + 30
        wanted = 3 + turn % 7
        while wanted and time.monotonic() < deadline:
            line = process.stdout.readline()
            if "SIMULATED" in line and " stored " in line:
                reported.append(line.split(" stored ")[1].split()[0])
                wanted -= 1
        process.kill()
        rest, _err = process.communicate()
        reported += [line.split(" stored ")[1].split()[0] for line in rest.splitlines()[:-1] if " stored " in line]
        assert wanted == 0
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept = {uid for (uid,) in connection.execute("SELECT uid FROM measurement")}
    connection.close()
    assert len(reported) >= 100
    assert set(reported) <= kept

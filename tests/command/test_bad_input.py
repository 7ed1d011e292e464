"""Bad input: exit 2, one line that names file, key or line and the reason, no traceback, nothing half-written."""

import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli import main

ROOT = Path(__file__).resolve().parents[2]
CONTROLS = ROOT / "blocklists" / "controls.csv"
HEADER = "url,category_code,category_description,date_added,source,notes"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text(f"{HEADER}\nhttps://site.example/,NEWS,News Media,2026-01-01,me,\n")
    return tmp_path


def config(home: Path, text: str) -> None:
    base = f'[control]\nopen = "{CONTROLS}"\nhelpers = ["http://127.0.0.1:9/"]\n' if "[control]" not in text else ""
    service = '[service]\ntargets = ["list.csv"]\n' if "[service]" not in text else ""
    (home / "config.toml").write_text(f"{text}\n" if text.startswith("vantage") else f"{service}{base}{text}\n")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    return err.splitlines()


@pytest.mark.parametrize(
    ("text", "needles"),
    [
        ("[probe]\ntimeuot = '1s'", ["config.toml", "probe.timeuot", "unknown key"]),
        ("[porbe]\n", ["config.toml", "porbe", "unknown section"]),
        ("[probe]\nretries = 'three'", ["config.toml", "probe.retries", "whole number"]),
        ("[probe]\nretries = true", ["probe.retries", "whole number"]),
        ("[probe]\ntimeout = '10'", ["probe.timeout", "no duration"]),
        ("[probe]\ntimeout = '0s'", ["probe.timeout", "longer than nothing"]),
        ("[probe]\nconcurrency = 0", ["probe.concurrency", "from 1 to"]),
        ("[probe]\nca_file = 'missing.pem'", ["probe.ca_file", "missing.pem"]),
        ("[service]\nlisten = 'everywhere'\ntargets = ['list.csv']", ["service.listen", "no HOST:PORT"]),
        ("[service]\ntargets = ['missing.csv']", ["missing.csv"]),
        ("[service]\ntargets = 'list.csv'", ["service.targets", "list of strings"]),
        ("[service]\ndatabase = 'clickhouse://x@y/z'\ntargets = ['list.csv']", ["service.database", "SQLite"]),
        ("[control]\nopen = 'missing.csv'", ["missing.csv"]),
        ("[control]\nhelpers = ['ftp://x/']", ["control.helpers", "http"]),
        (f"[control]\nopen = '{CONTROLS}'\nvantage = 'nobody'", ["control.vantage", "nobody"]),
        ("[judge]\nfingerprints = ['missing.csv']", ["missing.csv"]),
        ("[[vantage]]\nkind = 'direct'", ["vantage[1].name", "is needed"]),
        ("[[vantage]]\nname = 'a'\n[[vantage]]\nname = 'a'", ["vantage", "'a'", "twice"]),
        ("[[vantage]]\nname = 'a'\nkind = 'pigeon'", ["vantage[1].kind", "must be one of"]),
        ("[[vantage]]\nname = 'a'\nkind = 'socks5'", ["vantage[1].proxy", "needs socks5://HOST:PORT"]),
        ("[[vantage]]\nname = 'a'\ncountry = 'China'", ["vantage[1].country", "two capital letters"]),
        ("[[vantage]]\nname = 'a'\nresolvers = ['tcp://1.1.1.1']", ["vantage[1].resolvers", "no resolver"]),
        ("[[vantage]]\nname = 'a'\nsource = 'eth0'", ["vantage[1].source", "no IP address"]),
        ("vantage = 3", ["vantage", "at least one"]),
        ("[helper]\nneutral = ['0.0.0.0:90-80']", ["helper.neutral", "range"]),
        ("this is no toml", ["config.toml"]),
    ],
)  # fmt: skip
def test_configuration(home: Path, capsys: pytest.CaptureFixture[str], text: str, needles: list[str]) -> None:
    config(home, text)
    lines = refused(capsys, "run", "--once")
    assert len(lines) == 1
    assert all(needle in lines[0] for needle in needles), lines
    assert not list(home.glob("*.db*"))


def test_every_fault_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(home, "[probe]\nretries = 'x'\ntimeout = 3\n[[vantage]]\nname = 'a'\ncolour = 'red'")
    lines = refused(capsys, "check")
    assert len(lines) == 3


def test_missing_configuration(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "run") == ["wallwatch: config.toml: No such file or directory"]
    assert "nowhere.toml" in refused(capsys, "--config", "nowhere.toml", "check")[0]
    assert "nowhere.toml" in refused(capsys, "check", "--config", "nowhere.toml")[0]


def test_malformed_list_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "list.csv").write_text(
        f"{HEADER}\nhttps://a.example/,NEWS,,2026-01-01,me,\nhttps://b,NOPE,,2026-01-01,me,\n"
    )
    config(home, "")
    for command in (["run", "--once"], ["lists", "check", "list.csv"]):
        lines = refused(capsys, *command)
        assert len(lines) == 1
        assert "list.csv:3" in lines[0] and "NOPE" in lines[0]


def test_database_folder_that_cannot_be_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "file").write_text("")
    config(home, "[service]\ntargets = ['list.csv']\ndatabase = 'file/wallwatch.db'")
    lines = refused(capsys, "run")
    assert len(lines) == 1
    assert "file/wallwatch.db" in lines[0]


def test_port_in_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config(home, f"[service]\ntargets = ['list.csv']\nlisten = '127.0.0.1:{port}'")
        lines = refused(capsys, "run")
        assert len(lines) == 1
        assert "service.listen" in lines[0] and str(port) in lines[0] and "in use" in lines[0]
        lines = refused(capsys, "helper", "--listen", f"127.0.0.1:{port}")
        assert len(lines) == 1 and "in use" in lines[0]


@pytest.mark.parametrize("url", ["ftp://site.example/", "https://", "nonsense", "https://a b/", "phrase:"])
def test_invalid_url(home: Path, capsys: pytest.CaptureFixture[str], url: str) -> None:
    config(home, "")
    lines = refused(capsys, "measure", url)
    assert len(lines) == 1
    assert url in lines[0]


def test_unknown_vantage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(home, "")
    assert "'moon'" in refused(capsys, "measure", "--vantage", "moon", "https://site.example/")[0]


def test_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["fly"], ["measure"], ["demo", "--for", "soon"]):
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 2
    capsys.readouterr()
    assert "--for" in refused(capsys, "demo", "--for", "3")[0]
    assert "--listen" in refused(capsys, "demo", "--listen", "here")[0]


def test_json_that_is_not_oonis(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "bad.jsonl").write_text('{"test_name": "ndt"}\nnot json\n[1]\n{"facts": {}}\n')
    (home / "empty.json").write_text("")
    assert main(["analyze", "bad.jsonl", "missing.json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 5
    assert [f"bad.jsonl:{n}" in line for n, line in enumerate(lines[:4], 1)] == [True] * 4
    assert "missing.json" in lines[4]


def test_broken_gzip(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}' * 1000)[:20])
    (home / "plain.gz").write_bytes(b"no gzip")
    lines = refused(capsys, "analyze", "cut.jsonl.gz", "plain.gz")
    assert len(lines) == 2
    assert "cut.jsonl.gz" in lines[0] and "plain.gz" in lines[1]


def test_good_lines_are_judged_beside_bad_ones(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = {"test_name": "web_connectivity", "data_format_version": "0.2.0", "input": "https://site.example/",
            "measurement_start_time": "2026-01-01 00:00:00", "probe_cc": "IT", "probe_asn": "AS30722",
            "test_keys": {"queries": [], "requests": [], "tcp_connect": [], "tls_handshakes": [], "control": {}}}  # fmt: skip
    (home / "mixed.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps(good)}\nnonsense\n".encode()))
    assert main(["analyze", "mixed.jsonl.gz"]) == 2
    out, err = capsys.readouterr()
    line = json.loads(out)
    assert (line["uid"], line["input"], line["vantage"]) == (None, "https://site.example/", "ooni:IT:AS30722")
    assert line["verdict"]["outcome"] == "insufficient"
    assert len(err.splitlines()) == 1


def test_no_traceback_in_a_process_of_its_own(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "run", "--config", "none.toml"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "wallwatch: none.toml: No such file or directory\n"

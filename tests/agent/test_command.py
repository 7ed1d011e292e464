"""`wallwatch agent` as it is started: what it refuses, what it warns of, its metrics, how it ends."""

import logging
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.command.agent import token_of
from tests.agent.taker import TOKEN
from tests.publish.test_prometheus import free_port

ROOT = Path(__file__).parents[2]
NOBODY = '[agent]\nservice = "https://127.0.0.1:9/"\n'


def written(folder: Path, text: str, token: str = TOKEN) -> Path:
    (folder / "token").write_text(token)
    (folder / "token").chmod(0o600)
    (folder / "agent.toml").write_text(text)
    return folder / "agent.toml"


@pytest.mark.parametrize(
    ("text", "token", "told"),
    [
        ('[agent]\ntoken_file = "token"', TOKEN, "agent.service: is needed"),
        (NOBODY, TOKEN, "agent.token_file: is needed"),
        ('[agent]\nservice = "http://wallwatch.example/"', TOKEN, "agent.service: "),
        (NOBODY + 'token_file = "none"', TOKEN, "none: No such file or directory"),
        (NOBODY + 'token_file = "token"', "\n", "token: is empty"),
        (NOBODY + 'token_file = "token"', "two words", "must hold the token that `enrol` printed"),
        (NOBODY + 'token_file = "token"\nspool_limit = "much"', TOKEN, "agent.spool_limit: "),
        (NOBODY + 'token_file = "token"\n[[vantage]]\nname = "a"\n[[vantage]]\nname = "b"', TOKEN, "at most one table"),
        (NOBODY + 'token_file = "token"\n[[vantage]]\nname = "a"\nkind = "agent"', TOKEN, "vantage[1].kind"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, token: str, told: str
) -> None:
    assert main(["agent", "--config", str(written(tmp_path, text, token))]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    assert any(told in line for line in err.splitlines()), err
    assert not (tmp_path / "spool.db").exists()


def test_a_token_that_others_can_read_is_warned_of_but_not_systemds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, NOBODY).parent / "token"
    assert token_of(path) == TOKEN and not caplog.records
    path.chmod(0o440)
    assert token_of(path) == TOKEN
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    caplog.clear()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert token_of(path) == TOKEN and not caplog.records


def test_it_waits_for_its_assignment_serves_metrics_and_ends_in_good_order(tmp_path: Path) -> None:
    path, port = written(tmp_path, NOBODY + 'token_file = "token"'), free_port()
    arguments = ["agent", "--config", str(path), "--listen", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "monitor.cli", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        text = _asked(f"http://127.0.0.1:{port}/metrics", process)
        assert "wallwatch_spool_measurements 0.0" in text
        second = subprocess.run(command[:-2], capture_output=True, text=True, cwd=ROOT, check=False, timeout=30)
        assert second.returncode == 2 and "in use" in second.stderr and len(second.stderr.splitlines()) == 1
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "there is no assignment yet" in err and "Traceback" not in err
    assert TOKEN not in err


def _asked(url: str, process: subprocess.Popen[str]) -> str:
    for _ in range(200):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return str(response.read().decode())
        except urllib.error.URLError:
            time.sleep(0.05)
    raise AssertionError("it never listened")

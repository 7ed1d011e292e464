"""SIGHUP, SIGTERM and what they do to a service that is at work, in a process of its own."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .simulated_run import SLOW, SLOW_SITES

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
HEADER = "url,category_code,category_description,date_added,source,notes\n"
CONFIG = """
[service]
listen = "127.0.0.1:0"
targets = ["targets.csv"]
[schedule]
every = "{every}"
jitter = "0s"
[probe]
ca_file = "root.pem"
concurrency = {concurrency}
timeout = "{timeout}"
[control]
open = "controls.csv"
"""


class Running:
    """A service in a process, its configuration, and what it said."""

    def __init__(self, folder: Path, command: list[str] | None = None) -> None:
        self.folder = folder
        config = str(folder / "config.toml")
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "tests.command.simulated_run", config],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=folder,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def said(self, text: str) -> int:
        """How many lines hold the text."""
        return sum(text in line for line in list(self.lines))

    def get(self, path: str) -> str:
        url = next(re.search(r"http://[\d.:]+", line) for line in self.lines if "serving on" in line)
        assert url is not None
        with urllib.request.urlopen(url.group() + path, timeout=10) as response:
            return str(response.read().decode())

    def metric(self, name: str) -> float | None:
        """The value of a series, written with its labels."""
        for line in self.get("/metrics").splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return None

    def stored(self) -> Counter[tuple[str, str]]:
        """How often each (target, vantage) was measured."""
        with sqlite3.connect(f"file:{self.folder}/wallwatch.db?mode=ro", uri=True) as connection:
            rows = connection.execute("SELECT target, vantage FROM measurement").fetchall()
        connection.close()
        return Counter((target, vantage) for target, vantage in rows)

    def wait(self, condition: Callable[[], object], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "".join(self.lines)
            assert self.process.poll() is None, "".join(self.lines)
            time.sleep(0.02)

    def wait_for_a_round(self) -> None:
        """Until the vantage was tested, and then until measurements are under way."""
        self.wait(lambda: self.metric('wallwatch_vantage_up{vantage="one"}') == 1)
        time.sleep(0.3)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def end(self, seconds: float = 20) -> int:
        self.process.terminate()
        return self.ended(seconds)

    def ended(self, seconds: float = 20) -> int:
        code = self.process.wait(seconds)
        self._reading.join(5)
        return code


def url(name: str) -> str:
    return f"https://{name}.example/"


def configure(
    folder: Path, names: list[str], vantages: tuple[str, ...] = ("one",), *, extra: str = "", every: str = "1h",
    concurrency: int = 8, timeout: str = "5s",
) -> None:  # fmt: skip
    """Write config.toml and its lists."""
    controls = "".join(f"https://control-{letter}.example/,CTRL,,2026-01-01,,\n" for letter in "abcd")
    (folder / "controls.csv").write_text(HEADER + controls)
    (folder / "targets.csv").write_text(HEADER + "".join(f"{url(n)},NEWS,,2026-01-01,,\n" for n in names))
    text = CONFIG.format(every=every, concurrency=concurrency, timeout=timeout)
    text += "".join(f'[[vantage]]\nname = "{name}"\n' for name in vantages)
    (folder / "config.toml").write_text(text + extra)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a service and waits until it serves; ends it by its own process."""
    begun: list[Running] = []

    def go(names: list[str], *vantages: str, **options: object) -> Running:
        configure(tmp_path, names, vantages or ("one",), **options)  # type: ignore[arg-type]
        begun.append(Running(tmp_path))
        begun[-1].wait(lambda: begun[-1].said("serving on"))
        return begun[-1]

    yield go
    for running in begun:
        if running.process.poll() is None:
            running.process.kill()
        running.ended()
        assert running.process.stderr is not None
        running.process.stderr.close()


Start = Callable[..., Running]


def test_a_good_configuration_is_applied_and_nothing_is_lost_or_doubled(start: Start, tmp_path: Path) -> None:
    running = start(["fast-0", "fast-1", "fast-2"], "one")
    running.wait(lambda: len(running.stored()) == 3)
    first = running.metric("wallwatch_config_last_reload_success_timestamp_seconds")
    configure(tmp_path, ["fast-0", "fast-3"], ("one", "two"))
    running.reload()
    running.wait(lambda: len(running.stored()) == 6)
    counted = 'wallwatch_measurements_total{outcome="ok",technique="",vantage="%s"}'
    running.wait(lambda: running.metric(counted % "two") == 2)
    pairs = [*((f"fast-{n}", "one") for n in range(4)), ("fast-0", "two"), ("fast-3", "two")]
    assert running.stored() == Counter((url(name), vantage) for name, vantage in pairs)
    text, page = running.get("/metrics"), running.get("/")
    assert "fast-1" not in text and "fast-1" not in page
    assert url("fast-3") in text and url("fast-3") in page and "two" in page
    assert running.metric(counted % "one") == 4
    assert running.metric("wallwatch_config_last_reload_successful") == 1
    last = running.metric("wallwatch_config_last_reload_success_timestamp_seconds")
    assert first is not None and last is not None and 0 < first < last
    assert "probe_success 1.0" in running.get(f"/probe?target={url('fast-3')}&vantage=two&module=web")

    configure(tmp_path, ["fast-0", "fast-3"], ("two",))
    running.reload()
    running.wait(lambda: 'vantage="one"' not in running.get("/metrics"))
    assert running.metric(f'wallwatch_target_outcome_code{{target="{url("fast-0")}",vantage="two"}}') == 1
    assert json.loads(running.get("/api/v1/matrix"))["vantages"] == ["two", "one"]  # the second has data only
    assert "probe_success 1.0" in running.get(f"/probe?target={url('fast-3')}")  # the only vantage
    assert running.end() == 0
    assert sum(running.stored().values()) == 6
    assert running.said("the configuration was read again: 2 targets, 1 vantages") == 1
    assert running.said("Traceback") == 0


def test_a_bad_configuration_changes_nothing(start: Start, tmp_path: Path) -> None:
    running = start(["fast-0"])
    running.wait(lambda: len(running.stored()) == 1)

    def refused(*faults: str) -> None:
        before = running.said("was not applied")
        running.reload()
        running.wait(lambda: running.said("was not applied") == before + 1)
        for fault in faults:
            assert running.said(fault) == 1, (fault, running.lines)
        assert running.metric("wallwatch_config_last_reload_successful") == 0
        assert running.metric(f'wallwatch_target_outcome_code{{target="{url("fast-0")}",vantage="one"}}') == 1
        assert "fast-1" not in running.get("/metrics") + running.get("/")

    configure(tmp_path, ["fast-1"], ("one", "two"), extra='[metrics]\nper_target_limit = -1\n[judge]\nwords = "x"\n')
    refused("metrics.per_target_limit: must be", "judge.words: unknown key")
    configure(tmp_path, ["fast-1"], ("two",))
    (tmp_path / "targets.csv").write_text(HEADER + "no url at all,NEWS,,,,\n")
    (tmp_path / "controls.csv").unlink()
    refused("targets.csv:2", "controls.csv")
    configure(tmp_path, ["fast-1"])
    shutil.move(tmp_path / "root.pem", tmp_path / "kept.pem")
    refused("probe.ca_file")
    shutil.move(tmp_path / "kept.pem", tmp_path / "root.pem")
    configure(tmp_path, ["fast-1"])
    (tmp_path / "config.toml").write_text("[service\n")
    refused("config.toml: Expected")
    configure(tmp_path, ["fast-1"])
    text = (tmp_path / "config.toml").read_text()
    text = text.replace('"127.0.0.1:0"', '"127.0.0.1:1"').replace("[schedule]", 'database = "x.db"\n[schedule]')
    (tmp_path / "config.toml").write_text(text)
    refused("service.listen: cannot change", "service.database: cannot change")
    configure(tmp_path, ["fast-0", "fast-1"])
    running.reload()
    running.wait(lambda: running.metric("wallwatch_config_last_reload_successful") == 1)
    running.wait(lambda: len(running.stored()) == 2)
    assert running.end() == 0
    assert set(running.stored().values()) == {1}
    assert running.said("Traceback") == 0
    assert not (tmp_path / "x.db").exists()


def test_of_many_signals_the_last_word_counts_and_no_slot_is_measured_twice(start: Start, tmp_path: Path) -> None:
    running = start(["fast-0", "slow-0", "slow-1"], concurrency=2)
    for turn in range(12):
        configure(tmp_path, ["fast-0", "slow-0", "slow-1", f"fast-{turn % 4 + 1}"], concurrency=turn % 3 + 1)
        running.reload()
        time.sleep(0.05)
    configure(tmp_path, ["fast-0", "slow-0", "slow-1", "fast-5"])
    running.reload()
    running.wait(lambda: (url("fast-5"), "one") in running.stored())
    wanted = {(url(name), "one") for name in ("fast-0", "slow-0", "slow-1")}
    running.wait(lambda: wanted <= set(running.stored()))
    assert url("fast-4") not in running.get("/")
    assert running.end() == 0
    assert set(running.stored().values()) == {1}
    assert running.said("Traceback") == 0


def test_what_is_under_way_is_finished_by_the_old_settings_and_stored(start: Start, tmp_path: Path) -> None:
    running = start(["slow-0", "slow-1"], "one", timeout="5s")
    running.wait_for_a_round()
    assert not running.stored()
    configure(tmp_path, ["slow-1", "fast-0"], ("one",), timeout="300ms")  # by which slow-1 would fail
    running.reload()
    running.wait(lambda: len(running.stored()) == 3)
    assert set(running.stored().values()) == {1}
    outcome = f'wallwatch_target_outcome_code{{target="{url("slow-1")}",vantage="one"}}'
    running.wait(lambda: running.metric(outcome) == 1)
    assert url("slow-0") not in running.get("/metrics")
    assert running.end() == 0
    assert set(running.stored().values()) == {1}


def test_a_shorter_period_takes_effect(start: Start, tmp_path: Path) -> None:
    running = start(["fast-0"])
    running.wait(lambda: len(running.stored()) == 1)
    configure(tmp_path, ["fast-0"], every="1s")
    running.reload()
    running.wait(lambda: running.stored()[url("fast-0"), "one"] >= 3)
    assert running.end() == 0


def test_sigterm_finishes_and_stores_what_is_under_way_and_begins_nothing(start: Start) -> None:
    names = [f"slow-{n}" for n in range(SLOW_SITES)]
    running = start(names, concurrency=2)
    running.wait_for_a_round()
    asked = time.monotonic()
    assert running.end() == 0
    assert time.monotonic() - asked < 3 * SLOW  # not the six rounds that all would take
    assert 2 <= sum(running.stored().values()) <= 4
    assert running.said("Traceback") == 0


def test_sigterm_ends_in_time_where_a_target_hangs(start: Start) -> None:
    running = start(["silent"], timeout="400ms")
    running.wait_for_a_round()
    assert running.end(15) == 0
    assert sum(running.stored().values()) == 1


def test_sighup_while_it_ends_is_ignored(start: Start, tmp_path: Path) -> None:
    running = start(["slow-0"])
    running.wait_for_a_round()
    running.process.terminate()
    configure(tmp_path, ["fast-0"])
    running.reload()
    assert running.ended() == 0
    assert running.said("read again") == 0
    assert set(running.stored()) == {(url("slow-0"), "one")}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once(start: Start, tmp_path: Path, number: signal.Signals, code: int) -> None:
    running = start(["slower", "slow-0"], concurrency=2, timeout="10s")
    running.wait_for_a_round()
    running.process.send_signal(number)
    time.sleep(0.1)
    running.process.send_signal(number)  # the same request, sent to the process and to its group
    time.sleep(1.1)
    assert running.process.poll() is None
    asked = time.monotonic()
    running.process.send_signal(number)
    assert running.ended() == code
    assert time.monotonic() - asked < 1.0
    assert running.said("ended at once") == 1
    assert running.said("Traceback") == 0
    with sqlite3.connect(tmp_path / "wallwatch.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_the_demo_ignores_sighup(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitor.cli", "demo", "--listen", "127.0.0.1:0"]
    running = Running(tmp_path, command)
    running.wait(lambda: running.said("SIMULATED"))
    time.sleep(0.5)
    running.reload()
    time.sleep(0.5)
    assert "wallwatch_config_last_reload_successful 1.0" in _demo(running)
    running.process.kill()
    running.ended()
    assert running.process.stderr is not None
    running.process.stderr.close()


def _demo(running: Running) -> str:
    found = re.search(r"http://[\d.]+:\d+", "".join(running.lines))
    assert found is not None
    with urllib.request.urlopen(found.group() + "/metrics", timeout=10) as response:
        return str(response.read().decode())


def test_the_command_itself_reloads(tmp_path: Path) -> None:
    """The real one, in a network namespace without a way out."""
    isolate = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow network namespaces")
    configure(tmp_path, ["fast-0"])
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('ca_file = "root.pem"\n', ""))
    script = 'ip link set lo up; exec "$@"'
    running = Running(tmp_path, [*isolate, "sh", "-c", script, "sh", sys.executable, "-m", "monitor.cli", "run"])
    running.wait(lambda: running.said("serving on"))
    running.wait(lambda: len(running.stored()) == 1)
    (tmp_path / "targets.csv").write_text("nonsense")
    running.reload()
    running.wait(lambda: running.said("was not applied"))
    (tmp_path / "targets.csv").write_text(HEADER + f"{url('fast-1')},NEWS,,2026-01-01,,\n")
    running.reload()
    running.wait(lambda: (url("fast-1"), "one") in running.stored())
    assert running.said("the configuration was read again: 1 targets, 1 vantages") == 1
    assert running.end() == 0
    assert running.said("Traceback") == 0
    assert running.process.stderr is not None
    running.process.stderr.close()

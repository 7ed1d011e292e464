"""A real Alertmanager with the shipped configuration, and a real receiver: what is delivered and what is held back."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.publish.test_prometheus import free_port
from tests.publish.tools import tool

from .boards import DEPLOY
from .running import get, started, until

Alert = dict[str, str]


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; `got` has (path, status, alert's name, vantage, target) of each."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: set[tuple[str, str, str, str, str]] = set()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            labels = alert["labels"]
            row = (self.path, alert["status"], labels["alertname"], labels.get("vantage", ""), labels.get("target", ""))
            self.server.got.add(row)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def manager(tmp_path: Path, receiver: Receiver) -> Iterator[str]:
    program = tool("prometheus-alertmanager", package="prometheus-alertmanager")
    text = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()
    for old, new in (
        ("127.0.0.1:9095", f"127.0.0.1:{receiver.server_port}"),
        ("group_wait: 1m", "group_wait: 1s"), ("group_interval: 5m", "group_interval: 1s"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "alertmanager.yml").write_text(text)
    listen = f"127.0.0.1:{free_port()}"
    flags = (
        f"--config.file={tmp_path / 'alertmanager.yml'}", f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={listen}", "--cluster.listen-address=",
    )  # fmt: skip
    with started([program, *flags], tmp_path / "alertmanager.log"):
        until(lambda: get(f"http://{listen}/api/v2/status")["config"], seconds=30)
        yield f"http://{listen}/api/v2/alerts"


def alert(name: str, severity: str, vantage: str, target: str = "", *, instance: str = "w:8080") -> Alert:
    """The labels as the rules give them."""
    labels = {"alertname": name, "severity": severity, "job": "wallwatch", "instance": instance, "vantage": vantage}
    return {**labels, "target": target} if target else labels


def post(manager: str, alerts: list[Alert], *, over: bool = False) -> None:
    """Tell Alertmanager that these are firing, or that they are over."""
    now = datetime.now(UTC)  # what began longer ago than group_wait is sent at once, before inhibition has seen it
    ends = now + (timedelta() if over else timedelta(hours=1))
    starts = now - (timedelta(minutes=1) if over else timedelta())
    body = [{"labels": a, "startsAt": starts.isoformat(), "endsAt": ends.isoformat()} for a in alerts]
    request = urllib.request.Request(
        manager, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


@pytest.mark.timeout(60)
def test_a_dark_vantage_holds_back_the_alerts_about_its_targets(manager: str, receiver: Receiver) -> None:
    dark = {**alert("VantageDark", "page", "cn"), "sign": "self_test"}
    post(manager, [
        dark, alert("TargetBlocked", "page", "cn", "t1"), alert("TargetUnblocked", "ticket", "cn", "t2"),
        alert("TechniqueChanged", "ticket", "cn", "t3"), alert("ProbesStale", "ticket", "cn"),
        alert("TargetBlocked", "page", "de", "t1"), alert("TargetBlocked", "page", "cn", "t1", instance="other:8080"),
        alert("JobsMissed", "ticket", "cn"),
    ])  # fmt: skip
    expected = {
        ("/page", "firing", "VantageDark", "cn", ""), ("/page", "firing", "TargetBlocked", "de", "t1"),
        ("/page", "firing", "TargetBlocked", "cn", "t1"),  # of the other service
        ("/ticket", "firing", "JobsMissed", "cn", ""),
    }  # fmt: skip
    until(lambda: expected <= receiver.got, seconds=20)
    time.sleep(3)
    assert receiver.got == expected
    post(manager, [dark], over=True)
    late = {("/ticket", "firing", "TargetUnblocked", "cn", "t2"), ("/ticket", "firing", "ProbesStale", "cn", "")}
    until(lambda: {("/page", "resolved", "VantageDark", "cn", ""), *late} <= receiver.got, seconds=20)


@pytest.mark.timeout(60)
def test_every_alert_that_doubts_a_vantage_holds_back_what_it_says(manager: str, receiver: Receiver) -> None:
    doubts = ("VantageQuarantined", "VantageMoved", "VantageDown", "AgentSilent")
    post(manager, [
        *(alert(name, "ticket", name) for name in doubts), *(alert("TargetBlocked", "page", name, "t") for name in doubts),
        alert("TargetBlocked", "page", "de", "t"),
    ])  # fmt: skip
    expected = {
        *(("/ticket", "firing", name, name, "") for name in doubts),
        ("/page", "firing", "TargetBlocked", "de", "t"),
    }
    until(lambda: expected <= receiver.got, seconds=20)
    time.sleep(3)
    assert receiver.got == expected


@pytest.mark.timeout(60)
def test_many_that_change_at_once_are_one_piece_of_news(manager: str, receiver: Receiver) -> None:
    def changed(vantage: str, kind: str, protocol: str) -> Alert:
        severity = "page" if kind == "blocked" else "ticket"
        return {**alert("VantageChanged", severity, vantage), "kind": kind, "protocol": protocol}

    post(manager, [
        changed("cn", "blocked", "https"), alert("TargetBlocked", "page", "cn", "https://a.example/"),
        alert("TargetBlocked", "page", "cn", "http://a.example/"),  # of another protocol
        alert("TargetUnblocked", "ticket", "cn", "https://b.example/"),  # the contrary
        alert("TargetBlocked", "page", "de", "https://a.example/"),
        changed("ir", "unblocked", "any"), changed("ir", "unblocked", "http"),
        alert("TargetUnblocked", "ticket", "ir", "http://a.example/"),
    ])  # fmt: skip
    expected = {
        ("/page", "firing", "VantageChanged", "cn", ""),
        ("/page", "firing", "TargetBlocked", "cn", "http://a.example/"),
        ("/ticket", "firing", "TargetUnblocked", "cn", "https://b.example/"),
        ("/page", "firing", "TargetBlocked", "de", "https://a.example/"),
        ("/ticket", "firing", "VantageChanged", "ir", ""),
    }
    until(lambda: expected <= receiver.got, seconds=20)
    time.sleep(3)
    assert receiver.got == expected


@pytest.mark.timeout(60)
def test_a_flapping_target_is_told_once_and_no_news_is_resolved(manager: str, receiver: Receiver) -> None:
    steady = alert("TargetBlocked", "page", "ir", "t2")
    post(manager, [
        alert("TargetFlapping", "ticket", "ir", "t1"), alert("TargetBlocked", "page", "ir", "t1"), steady,
    ])  # fmt: skip
    expected = {("/ticket", "firing", "TargetFlapping", "ir", "t1"), ("/page", "firing", "TargetBlocked", "ir", "t2")}
    until(lambda: expected <= receiver.got, seconds=20)
    post(manager, [steady], over=True)
    time.sleep(3)
    assert receiver.got == expected

"""What stands on the host: systemd units, nginx before helper and pages, a backup of a database in use."""

import os
import re
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.cli import _parser
from monitor.store import Store
from tests.pki import TestAuthority
from tests.publish.test_prometheus import free_port
from tests.publish.tools import tool

from .boards import DEPLOY
from .running import WALLWATCH, started, until

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/wallwatch/.venv/bin/wallwatch"


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with a program that exists here."""
    text = request.param.read_text()
    assert PROGRAM in text
    made: Path = tmp_path / request.param.name
    made.write_text(text.replace(PROGRAM, sys.executable))
    return made


def test_systemd_takes_the_units_and_finds_them_hardened(unit: Path) -> None:
    program = tool("systemd-analyze", package="systemd")
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False)
    said = "\n".join(line for line in done.stderr.splitlines() if unit.name in line)
    assert done.returncode == 0 and not said, done.stderr
    done = subprocess.run([program, "security", "--offline=yes", unit], capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= 2.0


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_command_in_the_unit_exists(path: Path) -> None:
    [line] = re.findall(rf"^ExecStart={PROGRAM} (.*)$", path.read_text(), re.MULTILINE)
    _parser().parse_args(line.split())


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[dict[str, str], ssl.SSLContext]]:
    """nginx with both shipped files before a real helper: file name → URL, and what trusts its certificate."""
    program, authority = tool("nginx", package="nginx-light"), TestAuthority(tmp_path)
    pem, helper = authority.issue("localhost"), f"127.0.0.1:{free_port()}"
    (tmp_path / "wallwatch.htpasswd").write_text("reader:" + _openssl("letmein"))
    urls, servers = {}, ""
    for name in ("helper", "service"):
        port = free_port()
        urls[name] = f"https://localhost:{port}/generate_204"
        text = (DEPLOY / "nginx" / f"{name}.conf").read_text()
        text = re.sub(r"/etc/letsencrypt/\S+\.pem", str(pem), text).replace("443", f"127.0.0.1:{port}")
        text = re.sub(r"127\.0\.0\.1:808[01];", f"{helper};", text)
        servers += text.replace("/etc/nginx/wallwatch.htpasswd", str(tmp_path / "wallwatch.htpasswd"))
    paths = " ".join(f"{w}_temp_path {tmp_path};" for w in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = tmp_path / "nginx.conf"
    user = "user root; " if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}daemon off; pid {tmp_path / 'nginx.pid'}; error_log {tmp_path / 'error.log'}; events {{}}\n"
        f"http {{ access_log off; {paths}\n{servers} }}\n"
    )
    assert subprocess.run([program, "-t", "-c", config], capture_output=True, check=False).returncode == 0
    with (
        started([*WALLWATCH, "helper", "--listen", helper], tmp_path / "helper.log"),
        started([program, "-c", config], tmp_path / "nginx.log"),
    ):
        until(lambda: urllib.request.urlopen(f"http://{helper}/generate_204", timeout=5).close() or 1, seconds=20)
        yield urls, ssl.create_default_context(cafile=str(authority.root))


def _openssl(password: str) -> str:
    """As deploy/nginx/service.conf says how to make the file."""
    made = subprocess.run(
        [tool("openssl", package="openssl"), "passwd", "-6", password], capture_output=True, text=True, check=True
    )
    return made.stdout


def _status(url: str, trust: ssl.SSLContext, password: str = "") -> int:
    request = urllib.request.Request(url)
    if password:
        request.add_header("Authorization", "Basic " + b64encode(f"reader:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10, context=trust) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_nginx_adds_tls_to_the_helper_and_a_password_to_the_pages(
    proxied: tuple[dict[str, str], ssl.SSLContext],
) -> None:
    urls, trust = proxied
    until(lambda: _status(urls["helper"], trust), seconds=20)
    assert _status(urls["helper"], trust) == 204
    assert _status(urls["service"], trust) == 401
    assert _status(urls["service"], trust, "wrong") == 401
    assert _status(urls["service"], trust, "letmein") == 204


def test_a_backup_of_a_database_in_use_is_whole(tmp_path: Path) -> None:
    """As docs/deployment.md says, while the demo writes."""
    database, copy = tmp_path / "wallwatch.db", tmp_path / "copy.db"
    demo = [*WALLWATCH, "demo", "--listen", "127.0.0.1:0", "--database", str(database)]
    log = tmp_path / "demo.log"
    with started(demo, log):
        until(lambda: log.read_text().count(" stored ") >= 5, seconds=40)
        reported = re.findall(r" stored (\S+)\n", log.read_text())
        subprocess.run([tool("sqlite3", package="sqlite3"), database, f".backup '{copy}'"], check=True)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept = {uid for (uid,) in connection.execute("SELECT uid FROM measurement")}
    assert set(reported) <= kept
    assert len(list(Store.open(copy, read_only=True, simulated=True).iter_rows())) == len(kept)

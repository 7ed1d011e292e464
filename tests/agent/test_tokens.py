"""Tokens: made, kept as hashes, compared; `enrol` and `revoke` while a service runs."""

import hmac
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.agent import tokens
from monitor.agent.tokens import hash_of, holder_of, new_token, token_in
from monitor.store import Store, Token

from .service import written

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def kept(*given: str) -> list[Token]:
    return [Token(vantage=f"v{n}", sha256=hash_of(token), created=WHEN) for n, token in enumerate(given)]


def test_tokens_are_long_and_never_the_same() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert {len(token) for token in made} == {43}


def test_the_holder_is_found_wherever_it_is_kept() -> None:
    given = [new_token() for _ in range(3)]
    for number, token in enumerate(given):
        assert holder_of(token, kept(*given)) == kept(*given)[number]


@pytest.mark.parametrize("token", ["", "x", "x" * 10_000, "ü\udcff", "a" * 43])
def test_a_wrong_token_has_no_holder(token: str) -> None:
    assert holder_of(token, kept(new_token(), new_token())) is None


def test_every_kept_hash_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(ours: str, theirs: str) -> bool:
        compared.append(ours)
        return hmac.compare_digest(ours, theirs)

    monkeypatch.setattr(tokens, "hmac", type("hmac", (), {"compare_digest": staticmethod(compare)}))
    given = [new_token() for _ in range(5)]
    for token in (given[0], given[4], new_token()):
        compared.clear()
        holder_of(token, kept(*given))
        assert compared == [k.sha256 for k in kept(*given)]


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("", ""), ("abc", "")],
)
def test_the_header_holds_a_bearer_token(header: str, token: str) -> None:
    assert token_in(header) == token


def wallwatch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", *arguments, "--config", str(folder / "config.toml")]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


def tokens_of(folder: Path) -> list[tuple[str, str, bool]]:
    with closing(sqlite3.connect(folder / "wallwatch.db")) as connection:
        rows = connection.execute("SELECT vantage, sha256, revoked IS NOT NULL FROM agent_token ORDER BY created")
        return [(vantage, sha256, bool(revoked)) for vantage, sha256, revoked in rows]


def test_enrolling_and_revoking_beside_a_running_service(tmp_path: Path) -> None:
    written(tmp_path)
    store = Store.open(tmp_path / "wallwatch.db")  # as `run` holds it
    first = wallwatch(tmp_path, "enrol", "inside")
    assert (first.returncode, len(first.stdout.strip())) == (0, 43), first.stderr
    assert first.stdout.strip() not in first.stderr
    second = wallwatch(tmp_path, "enrol", "inside")
    assert "the token before this one is revoked" in second.stderr
    old, new = first.stdout.strip(), second.stdout.strip()
    assert tokens_of(tmp_path) == [("inside", hash_of(old), True), ("inside", hash_of(new), False)]
    content = b"".join(p.read_bytes() for p in tmp_path.glob("wallwatch.db*"))
    assert old.encode() not in content and new.encode() not in content
    assert wallwatch(tmp_path, "revoke", "inside").returncode == 0
    assert [revoked for _vantage, _sha256, revoked in tokens_of(tmp_path)] == [True, True]
    again = wallwatch(tmp_path, "revoke", "inside")
    assert (again.returncode, again.stdout) == (2, "")
    assert "no token of 'inside'" in again.stderr
    store._close()


@pytest.mark.parametrize("name", ["here", "nobody"])
def test_only_an_agents_vantage_is_enrolled(tmp_path: Path, name: str) -> None:
    written(tmp_path)
    found = wallwatch(tmp_path, "enrol", name)
    assert (found.returncode, found.stdout) == (2, "")
    assert f"no vantage of kind agent is called {name!r}; agents are: inside, beside" in found.stderr
    assert not (tmp_path / "wallwatch.db").exists()


def test_a_service_does_not_measure_from_an_agents_vantage(tmp_path: Path) -> None:
    written(tmp_path)
    found = wallwatch(tmp_path, "measure", "https://example.com/", "--vantage", "inside")
    assert found.returncode == 2
    assert "no vantage of this machine's is called 'inside'; there are here" in found.stderr


def test_an_agent_is_no_control(tmp_path: Path) -> None:
    written(tmp_path, control='vantage = "inside"')
    found = wallwatch(tmp_path, "enrol", "inside")
    assert found.returncode == 2
    assert "control.vantage: an agent" in found.stderr

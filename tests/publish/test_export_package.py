"""An exported folder: whole or not there, the same bytes for the same data, and everything in it is true."""

import csv
import io
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.judge.verdict import OUTCOMES
from monitor.publish.export import Package, PackageError, readme, write
from monitor.store import Selection, StoreError
from monitor.store.snapshot import snapshot

from . import sample
from .stored import FINGERPRINTS, TARGETS, contents, measured, packed, stored

FILES = {
    "events.csv", "targets.csv", "vantages.csv", "codebook.csv", "CODEBOOK.md", "CITATION.cff", "LICENSE.md",
    "README.md", "SHA256SUMS",
}  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("store") / "real.db")


def table(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / name).read_bytes().decode(), newline=""), strict=True))


@pytest.mark.parametrize("style", ["csv", "jsonl"])
def test_the_sums_are_those_that_sha256sum_finds(database: Path, tmp_path: Path, style: str) -> None:
    folder = packed(database, tmp_path / "out", style)
    assert set(contents(folder)) == FILES | {f"measurements.{style}"}
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    named = [line.split(":")[0] for line in checked.stdout.splitlines()]
    assert named == sorted(set(contents(folder)) - {"SHA256SUMS"})
    (folder / "targets.csv").write_bytes(b"changed")
    assert subprocess.run(["sha256sum", "-c", "--status", "SHA256SUMS"], cwd=folder, check=False).returncode == 1


@pytest.mark.parametrize("style", ["csv", "jsonl"])
def test_the_same_data_give_the_same_bytes(
    database: Path, tmp_path: Path, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents(packed(database, tmp_path / "first", style))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert contents(packed(database, tmp_path / "again", style)) == first
    copied = Path(shutil.copy(database, tmp_path / "copy.db"))
    assert contents(packed(copied, tmp_path / "copied", style)) == first
    for seed in (1, 2):
        other = stored(tmp_path / f"other{seed}.db", shuffled=seed)
        assert contents(packed(other, tmp_path / f"shuffled{seed}", style)) == first


def test_tables_agree_with_each_other(database: Path, tmp_path: Path) -> None:
    folder = packed(database, tmp_path / "out")
    rows = table(folder, "measurements.csv")
    assert len(rows) == 40
    assert [(r["time"], r["uid"]) for r in rows] == sorted((r["time"], r["uid"]) for r in rows)
    assert {r["simulated"] for r in rows} == {"false"}
    assert {r["asn"] for r in rows if r["vantage"] == "away"} == {""}
    for name, key in (("targets.csv", "target"), ("vantages.csv", "vantage")):
        for line in table(folder, name):
            mine = [r for r in rows if r[key] == line[key]]
            assert (line["first"], line["last"], line["n"]) == (mine[0]["time"], mine[-1]["time"], str(len(mine)))
    for line in table(folder, "vantages.csv"):
        assert (line["kind"], line["direction"]) == ("direct", "inside-out")
        assert sum(int(line[outcome]) for outcome in OUTCOMES) == int(line["n"])
    uids = {r["uid"] for r in rows}
    events = table(folder, "events.csv")
    assert [(e["target"], e["kind"]) for e in events] == [(t, k) for k in ("blocked", "unblocked") for t in TARGETS]
    assert all(set(e["witness"].split()) <= uids and e["after"] < e["before"] < e["detected_at"] for e in events)


def test_an_event_is_found_by_evidence_before_the_period(database: Path, tmp_path: Path) -> None:
    """The block begins at minute 2 and is known at minute 3: who asks from minute 3 on must get it whole."""
    whole = table(packed(database, tmp_path / "whole"), "events.csv")
    since = sample.BEGAN + timedelta(minutes=3)
    late = packed(database, tmp_path / "late", since=since)
    assert table(late, "events.csv") == whole
    assert min(r["time"] for r in table(late, "measurements.csv")) >= "2026-01-31T12:03:00"
    later = packed(database, tmp_path / "later", since=since + timedelta(minutes=1))
    assert [e["kind"] for e in table(later, "events.csv")] == ["unblocked", "unblocked"]
    early = packed(database, tmp_path / "early", until=since)
    assert table(early, "events.csv") == []
    assert "since (included) | 2026-01-31T12:03:00.123457Z" in (late / "README.md").read_text()


def test_one_target_at_one_vantage(database: Path, tmp_path: Path) -> None:
    folder = packed(database, tmp_path / "out", target=TARGETS[1], vantage="home")
    assert {(r["target"], r["vantage"]) for r in table(folder, "measurements.csv")} == {(TARGETS[1], "home")}
    assert len(table(folder, "targets.csv")) == len(table(folder, "vantages.csv")) == 1


def test_an_empty_period_is_no_fault(database: Path, tmp_path: Path) -> None:
    folder = packed(database, tmp_path / "out", since=sample.NOW + timedelta(days=1))
    assert [table(folder, n) for n in ("measurements.csv", "events.csv", "targets.csv", "vantages.csv")] == [[]] * 4
    assert "date-released" not in cff(folder)


# CITATION.cff


def cff(folder: Path) -> dict[str, Any]:
    """The file as YAML 1.2's strings, checked against what the format's schema asks for."""
    found: dict[str, Any] = yaml.load((folder / "CITATION.cff").read_text(), Loader=yaml.BaseLoader)
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert set(found) <= {"cff-version", "message", "title", "type", "authors", "abstract", "version", "date-released",
                          "license"}  # fmt: skip
    assert found["cff-version"] == "1.2.0" and found["type"] == "dataset"
    assert all(set(author) == {"name"} and author["name"] for author in found["authors"])
    assert found.get("license") in (None, *readme.LICENCES)
    return found


def test_nobody_is_named_and_nothing_is_licensed_unasked(database: Path, tmp_path: Path) -> None:
    folder = packed(database, tmp_path / "out")
    found = cff(folder)
    assert found["authors"] == [{"name": "anonymous"}]
    assert "license" not in found
    assert found["date-released"] == found["version"] == "2026-01-31"
    assert "No licence was chosen" in (folder / "LICENSE.md").read_text()


def test_author_and_licence_are_the_operators(database: Path, tmp_path: Path) -> None:
    name = 'A "quoted" name: #1\n- 六四'
    folder = packed(database, tmp_path / "out", author=name, licence="CC0-1.0")
    assert (cff(folder)["authors"], cff(folder)["license"]) == ([{"name": name}], "CC0-1.0")
    text = (folder / "LICENSE.md").read_text()
    assert "creativecommons.org/publicdomain/zero/1.0/" in text and "No licence" not in text


def test_simulated_data_say_so_everywhere(tmp_path: Path) -> None:
    made = stored(tmp_path / "made.db", simulated=True)
    folder, lines = packed(made, tmp_path / "csv"), packed(made, tmp_path / "jsonl", "jsonl")
    assert {r["simulated"] for r in table(folder, "measurements.csv")} == {"true"}
    assert all(b'"simulated":true' in line for line in (lines / "measurements.jsonl").read_bytes().splitlines())
    for place in (folder, lines):
        assert (place / "README.md").read_text().startswith("# SIMULATED ")
        assert cff(place)["title"].startswith("SIMULATED ")


# Whole or not there


def test_nothing_is_overwritten(database: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("full", "file"):
        with pytest.raises(PackageError, match="nothing is overwritten"):
            packed(database, tmp_path / name)
    with pytest.raises(PackageError, match="there is no folder"):
        packed(database, tmp_path / "no" / "where")
    packed(database, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and len(contents(tmp_path / "empty")) == 10
    assert contents(tmp_path / "full") == {"mine": b"kept"}
    assert not list(tmp_path.glob(".*"))


def test_what_is_interrupted_leaves_nothing(database: Path, tmp_path: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        assert [path.name for path in tmp_path.iterdir()] == [next(tmp_path.glob(".out.*.partial")).name]
        raise KeyboardInterrupt

    package = Package(format="csv", selection=Selection(), version="0")
    with pytest.raises(KeyboardInterrupt), snapshot(database) as state:
        write(tmp_path / "out", package, state, fingerprints=FINGERPRINTS, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_somebody_who_comes_first_keeps_the_folder(database: Path, tmp_path: Path) -> None:
    def intrude(_done: int, _total: int) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("kept")

    package = Package(format="csv", selection=Selection(), version="0")
    with pytest.raises(PackageError, match="out: Directory not empty"), snapshot(database) as state:
        write(tmp_path / "out", package, state, fingerprints=FINGERPRINTS, progress=intrude)
    assert contents(tmp_path / "out") == {"theirs": b"kept"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_all_tables_show_one_state_while_a_service_writes(tmp_path: Path) -> None:
    found = measured()
    database = stored(tmp_path / "live.db", found[:20])

    def more(_done: int, _total: int) -> None:
        stored(database, found[20:])

    package = Package(format="csv", selection=Selection(), version="0")
    with snapshot(database) as state:
        write(tmp_path / "out", package, state, fingerprints=FINGERPRINTS, progress=more)
    assert len(table(tmp_path / "out", "measurements.csv")) == 20
    assert sum(int(r["n"]) for r in table(tmp_path / "out", "vantages.csv")) == 20
    assert len(table(packed(database, tmp_path / "after"), "measurements.csv")) == 40


def test_files_are_as_readable_as_others(database: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = packed(database, tmp_path / "out")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100])
def test_what_is_no_database(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"bad\.db"), snapshot(tmp_path / "bad.db"):
        pass


def test_a_snapshot_tells_simulated_from_real(database: Path) -> None:
    with snapshot(database) as state:
        assert state.simulated is False
        with pytest.raises(StoreError, match="no measurement nobody"):
            state.measurement("nobody")

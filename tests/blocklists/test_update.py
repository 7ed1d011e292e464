"""Replacing a list: only by a good one, at once or not at all, and what is remembered of it."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from blocklists import ListError, load, load_fingerprints
from blocklists.fingerprints import HEADER as FINGERPRINTS
from blocklists.targets import HEADER as TARGETS
from blocklists.update import Version, compare, remembered, replace

URL = "https://lists.example/cn.csv"


def targets(*names: str) -> bytes:
    rows = [f"https://{name}.example/,NEWS,News media,2020-01-01,them," for name in names]
    return "\n".join([TARGETS, *rows]).encode() + b"\n"


def many(count: int, *, bad: int = 0) -> bytes:
    return targets(*map(str, range(count))) + b"".join(b"no-url,NEWS,x,2020-01-01,them,\n" for _ in range(bad))


def refusal(path: Path, data: bytes, kind: str | None = None) -> str:
    with pytest.raises(ListError) as error:
        compare(path, data, kind)
    return error.value.faults[0].reason


def test_what_changes_is_counted_in_rows(tmp_path: Path) -> None:
    path = tmp_path / "cn.csv"
    first = compare(path, targets("a", "b", "c"))
    assert (first.before, first.after, first.added, first.removed, first.same) == (0, 3, 3, 0, False)
    path.write_bytes(targets("a", "b", "c"))
    second = compare(path, targets("a", "c", "d", "e"))
    assert (second.before, second.after, second.added, second.removed) == (3, 4, 2, 1)
    assert compare(path, path.read_bytes()).same


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the header must be exactly"),
        (b"<!doctype html>\n<p>Not here", "the header must be exactly"),
        (TARGETS.encode() + b"\n", "the new list has no rows"),
        (targets("a", "b", "c", "d"), "the new list has 4 rows in place of 10"),
        (FINGERPRINTS.encode() + b"\na,nat,,dns,full,192.0.2.1,5,IR,me,,\n", "the header must be exactly url,"),
        (many(10)[:-40], "has 1 columns instead of 6"),
        (targets("a") + b'"https://b.example/,NEWS,broken quotation', "no CSV: unexpected end of data"),
        (many(30, bad=2), "invalid URL 'no-url'"),
        (b"\xff" + many(10), "is not UTF-8"),
        (many(10) + b"\x00", "contains a NUL byte"),
    ],
)
def test_what_is_no_good_list_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "cn.csv"
    path.write_bytes(many(10))
    assert refusal(path, data).startswith(reason)
    assert path.read_bytes() == many(10)


def test_half_of_the_rows_is_enough_and_a_deleted_list_takes_any_number(tmp_path: Path) -> None:
    path = tmp_path / "cn.csv"
    path.write_bytes(many(10))
    assert compare(path, many(5)).removed == 5
    path.unlink()
    assert compare(path, many(1)).after == 1


def test_a_first_list_must_be_of_the_wanted_kind(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    prints = FINGERPRINTS.encode() + b"\na,nat,,dns,full,192.0.2.1,5,IR,me,,\n"
    assert compare(path, prints).after == compare(path, prints, FINGERPRINTS).after == 1
    assert refusal(path, prints, TARGETS).startswith("the header must be exactly url,")


def test_one_slip_of_theirs_does_not_stop_us(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cn.csv"
    good_enough = many(38, bad=2)
    change = compare(path, good_enough)
    assert (change.after, [fault.line for fault in change.skipped]) == (38, [40, 41])
    path.write_bytes(good_enough)
    assert len(load(path, downloaded=True)) == 38
    [record] = [r for r in caplog.records if r.name == "wallwatch.lists"]
    assert record.getMessage().startswith(f"{path}: 2 rows left out, the first: line 40: invalid URL 'no-url': ")
    with pytest.raises(ListError):
        load(path)
    path.write_bytes(many(37, bad=2))
    with pytest.raises(ListError) as refused:
        load(path, downloaded=True)
    assert len(refused.value.faults) == 2


def test_only_the_downloaded_file_is_treated_kindly(tmp_path: Path) -> None:
    good = [f"n{n},nat,,body,contains,blocked {n},5,IR,them,,\n" for n in range(30)]
    theirs, ours = tmp_path / "theirs.csv", tmp_path / "ours.csv"
    for path in (theirs, ours):
        path.write_text(FINGERPRINTS + "\n" + "".join(good) + "bad,new-scope,,body,contains,x,5,IR,them,,\n")
    assert len(load_fingerprints([theirs], downloaded={theirs})) == 30
    with pytest.raises(ListError) as refused:
        load_fingerprints([theirs, ours], downloaded={theirs})
    assert [fault.file for fault in refused.value.faults] == [str(ours)]


def test_a_list_that_ends_in_a_broken_quotation_is_never_treated_kindly(tmp_path: Path) -> None:
    path = tmp_path / "cn.csv"
    path.write_bytes(many(100) + b'"https://b.example/,NEWS')
    with pytest.raises(ListError):
        load(path, downloaded=True)


def test_a_version_is_remembered_until_the_list_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "cn.csv"
    assert remembered(path, URL) is None
    replace(path, many(3), Version(url=URL, etag='"abc"', last_modified="Mon, 02 Mar 2026 10:00:00 GMT"))
    known = remembered(path, URL)
    assert known is not None
    assert (known.etag, known.sha256) == ('"abc"', hashlib.sha256(many(3)).hexdigest())
    assert remembered(path, URL + "?other") is None
    path.write_bytes(many(3) + b"\n")
    assert remembered(path, URL) is None
    path.write_bytes(many(3))
    (tmp_path / ".cn.csv.etag").write_bytes(b"\xff{")
    assert remembered(path, URL) is None


def test_mode_and_link_are_kept(tmp_path: Path) -> None:
    place, link = tmp_path / "real.csv", tmp_path / "cn.csv"
    place.write_bytes(many(3))
    place.chmod(0o640)
    link.symlink_to(place)
    replace(link, many(4), Version(url=URL))
    assert link.is_symlink()
    assert place.read_bytes() == many(4)
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert remembered(link, URL) is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == [".real.csv.etag", "cn.csv", "real.csv"]


def test_a_folder_that_is_not_there_or_a_folder_in_its_place_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        replace(tmp_path / "no" / "cn.csv", many(3), Version(url=URL))
    (tmp_path / "cn.csv").mkdir()
    with pytest.raises(OSError):
        replace(tmp_path / "cn.csv", many(3), Version(url=URL))
    assert [p.name for p in tmp_path.iterdir()] == ["cn.csv"]


_REWRITE = """
import sys
from pathlib import Path
from blocklists.update import Version, replace
path, pieces = Path(sys.argv[1]), [bytes([letter]) * 3_000_000 for letter in b"ab"]
print("begun", flush=True)
while True:
    for piece in pieces:
        replace(path, piece, Version(url="https://x.example/"))
"""


@pytest.mark.parametrize("after", [0.05, 0.11, 0.17])
def test_killed_at_any_moment_it_leaves_a_whole_list(tmp_path: Path, after: float) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"o" * 3_000_000)
    with subprocess.Popen([sys.executable, "-c", _REWRITE, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after)
        os.kill(process.pid, signal.SIGKILL)
    content = path.read_bytes()
    assert len(content) == 3_000_000
    assert len(set(content)) == 1

"""`wallwatch lists update` against a real server over TLS: what comes, what does not, and what is kept."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from blocklists.fingerprints import HEADER as FINGERPRINTS
from blocklists.targets import HEADER as TARGETS
from monitor.cli import main
from monitor.command.downloading import DownloadError, download
from probes.certificate import Authorities
from tests.pki import TestAuthority

from .list_server import ListServer, serving


def targets(count: int, *, bad: int = 0) -> bytes:
    rows = [f"https://site{n}.example/,NEWS,News media,2020-01-01,them,\n" for n in range(count)]
    return (TARGETS + "\n" + "".join(rows) + "no-url,NEWS,x,2020-01-01,them,\n" * bad).encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def running(authority: TestAuthority) -> Iterator[ListServer]:
    with serving(authority, authority.issue("127.0.0.1", "localhost")) as server:
        yield server


@pytest.fixture
def server(running: ListServer) -> ListServer:
    running.contents, running.redirects, running.asked = {"good.csv": targets(30)}, {}, []
    return running


@pytest.fixture
def home(tmp_path: Path, authority: TestAuthority, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roots.pem").write_bytes(authority.root.read_bytes())
    (tmp_path / "lists").mkdir()
    return tmp_path


def config(home: Path, lists: dict[str, str], more: str = "") -> None:
    rows = "".join(f'"{name}" = "{url}"\n' for name, url in lists.items())
    (home / "config.toml").write_text(f'[probe]\nca_file = "roots.pem"\ntimeout = "2s"\n{more}[lists]\n{rows}')


def update(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], list[str]]:
    code = main(["lists", "update"])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "\x1b" not in out + err
    return code, out.splitlines(), err.splitlines()


def test_a_list_is_downloaded_then_unchanged_then_changed(
    home: Path, server: ListServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "lists" / "cn.csv"
    config(home, {"lists/cn.csv": server.url("good.csv")})
    assert update(capsys) == (0, [f"{path}: updated, 0 → 30 rows, 30 added, 0 removed"], [])
    assert path.read_bytes() == targets(30)
    assert update(capsys) == (0, [f"{path}: unchanged"], [])
    server.contents["good.csv"] = targets(33, bad=1)
    code, [line], err = update(capsys)
    assert (code, err) == (0, [])
    assert line.startswith(
        f"{path}: updated, 30 → 33 rows, 3 added, 0 removed; 1 unusable rows left out, the first: line 35: invalid URL"
    )
    assert [status for _name, _etag, status in server.asked] == ["200", "304", "200"]
    assert [bool(etag) for _name, etag, _status in server.asked] == [False, True, True]
    assert sorted(p.name for p in path.parent.iterdir()) == [".cn.csv.etag", "cn.csv"]


def test_a_list_that_was_edited_or_deleted_is_downloaded_again(
    home: Path, server: ListServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "lists" / "cn.csv"
    config(home, {"lists/cn.csv": server.url("good.csv")})
    update(capsys)
    path.write_bytes(targets(29))
    assert update(capsys)[1] == [f"{path}: updated, 29 → 30 rows, 1 added, 0 removed"]
    path.unlink()
    assert update(capsys)[1] == [f"{path}: updated, 0 → 30 rows, 30 added, 0 removed"]
    (path.parent / ".cn.csv.etag").unlink()
    assert update(capsys)[1] == [f"{path}: unchanged"]
    assert {etag for _name, etag, _status in server.asked} == {""}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("error500", "answers status 500"),
        ("missing.csv", "answers status 404"),
        ("always304", "answers status 304"),
        ("html", "is a web page, no list"),
        ("compressed", "comes compressed, which was not asked for"),
        ("nowhere", "answers status 301 without saying where to go"),
        ("cut", "cannot be had: "),
        ("large", "is larger than 20 MB"),
        ("empty.csv", "is refused, the old list is kept: line 1: the header must be exactly"),
        ("small.csv", "is refused, the old list is kept: line 0: the new list has 3 rows in place of 30"),
        ("prints.csv", "is refused, the old list is kept: line 1: the header must be exactly"),
        ("bad.csv", "is refused, the old list is kept: line 32: invalid URL 'no-url'"),
        ("to-http", "is redirected to http://127.0.0.1/good.csv, and only https is allowed"),
        ("to-file", "is redirected to file:///etc/passwd, and only https is allowed"),
        ("for-ever", "is redirected more than 5 times"),
    ],
)
def test_on_any_fault_the_old_list_is_kept_and_the_others_are_updated(
    home: Path, server: ListServer, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    prints = f"{FINGERPRINTS}\na,nat,,dns,full,192.0.2.1,5,IR,me,,\n".encode()
    server.contents |= {"small.csv": targets(3), "prints.csv": prints, "empty.csv": b"", "bad.csv": targets(30, bad=5)}
    server.redirects |= {
        "to-http": "http://127.0.0.1/good.csv",
        "to-file": "file:///etc/passwd",
        "for-ever": "/for-ever",
    }
    old, other = home / "lists" / "old.csv", home / "lists" / "other.csv"
    old.write_bytes(targets(30))
    config(home, {"lists/old.csv": server.url(name), "lists/other.csv": server.url("good.csv")})
    code, out, err = update(capsys)
    assert code == 2
    assert out == [f"{other}: updated, 0 → 30 rows, 30 added, 0 removed"]
    [line] = err
    assert line.startswith(f"wallwatch: {old}: {server.url(name)} {reason}")
    assert len(line) < 700
    assert "the old list is kept" in line
    assert old.read_bytes() == targets(30)
    assert sorted(p.name for p in old.parent.iterdir()) == [".other.csv.etag", "old.csv", "other.csv"]


def test_a_redirect_over_https_is_followed(home: Path, server: ListServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.redirects |= {"old-name": "moved", "moved": f"https://localhost:{server.port}/good.csv"}
    config(home, {"lists/cn.csv": server.url("old-name")})
    assert update(capsys)[0] == 0
    assert [name for name, _etag, _status in server.asked] == ["old-name", "moved", "good.csv"]
    assert update(capsys)[1] == [f"{home}/lists/cn.csv: unchanged"]


@pytest.mark.parametrize("kind", ["stranger", "expired", "name"])
def test_a_server_that_nobody_vouches_for_is_not_believed(
    home: Path, authority: TestAuthority, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    pem = {
        "stranger": lambda: authority.self_signed("127.0.0.1"),
        "expired": lambda: authority.expired("127.0.0.1"),
        "name": lambda: authority.issue("other.example"),
    }[kind]()
    with serving(authority, pem) as server:
        server.contents["good.csv"] = targets(30)
        config(home, {"lists/cn.csv": server.url("good.csv")})
        code, out, [line] = update(capsys)
    assert (code, out, server.asked) == (2, [], [])
    assert "cannot be had" in line
    assert "certificate verify failed" in line
    assert not list((home / "lists").iterdir())


def test_a_server_that_is_not_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(home, {"lists/cn.csv": "https://127.0.0.1:9/cn.csv"})
    code, out, [line] = update(capsys)
    assert (code, out) == (2, [])
    assert "https://127.0.0.1:9/cn.csv cannot be had: Cannot connect" in line


def test_a_list_must_be_of_the_kind_that_the_configuration_wants(
    home: Path, server: ListServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.contents["prints.csv"] = f"{FINGERPRINTS}\na,nat,,dns,full,192.0.2.1,5,IR,me,,\n".encode()
    more = '[service]\ntargets = ["lists/a.csv"]\n[judge]\nfingerprints = ["lists/b.csv"]\n'
    config(home, {"lists/a.csv": server.url("prints.csv"), "lists/b.csv": server.url("good.csv")}, more)
    code, out, err = update(capsys)
    assert (code, out) == (2, [])
    assert "the header must be exactly url," in err[0]
    assert "the header must be exactly name," in err[1]
    config(home, {"lists/a.csv": server.url("good.csv"), "lists/b.csv": server.url("prints.csv")}, more)
    assert update(capsys)[0] == 0


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a folder that refuses writing")
def test_a_place_that_cannot_be_written(home: Path, server: ListServer, capsys: pytest.CaptureFixture[str]) -> None:
    config(home, {"/proc/self/cn.csv": server.url("good.csv"), "missing/cn.csv": server.url("good.csv")})
    code, out, err = update(capsys)
    assert (code, out) == (2, [])
    assert [line.rsplit(": ", 2)[1] for line in err] == ["cannot be written"] * 2


def test_a_server_that_drips_is_given_up(server: ListServer, authority: TestAuthority) -> None:
    asyncio.run(_drip(server, authority))


async def _drip(server: ListServer, authority: TestAuthority) -> None:
    connector = aiohttp.TCPConnector(ssl=Authorities(authority.root).context())
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
        started = time.monotonic()
        with pytest.raises(DownloadError, match=r"did not come whole within 0\.5 seconds"):
            await download(client, server.url("slow"), known=None, deadline=0.5)
        assert time.monotonic() - started < 2
    await asyncio.sleep(0.1)  # the aborted connection is closed in the loop's next turns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[lists]\n"a.csv" = "http://lists.example/a.csv"', "only https is allowed"),
        ('[lists]\n"a.csv" = "http://127.0.0.1/a.csv"', "only https is allowed"),
        ('[lists]\n"a.csv" = "ftp://lists.example/a.csv"', "lists.'a.csv'"),
        ('[lists]\n"a.csv" = 3', "must be a string"),
        ('[lists]\n"a.csv" = ["https://lists.example/a.csv"]', "must be a string"),
        ('[lists]\n".." = "https://lists.example/a.csv"', "is no name of a file"),
        ("lists = 3", "lists: must be a table of FILE = URL"),
        ("[lists]", "lists: names no list"),
        ("", "lists: names no list"),
    ],
)
def test_a_bad_configuration_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    (home / "config.toml").write_text(text)
    code, out, [line] = update(capsys)
    assert (code, out) == (2, [])
    assert line.startswith(("wallwatch: config.toml: ", f"wallwatch: {home}"))
    assert reason in line


def test_update_takes_no_files_and_check_needs_some(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(home, {"lists/cn.csv": "https://127.0.0.1:9/cn.csv"})
    for arguments, reason in ((["update", "a.csv"], "takes no files"), (["check"], "which files?")):
        assert main(["lists", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert reason in err
        assert err.count("\n") == 1

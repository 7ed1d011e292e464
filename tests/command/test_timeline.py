"""`wallwatch timeline`: real series of 258 days as a file, and a store against its own export."""

import asyncio
import csv
import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.judge.verdict import Verdict
from monitor.publish.record import as_json
from monitor.store import Store
from probes.measurement import rfc3339
from tests.store.sample import BLOCKED, DOWN, OK, TARGET, measurement, whole

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "field" / "data" / "gfw-sni-daily-even.json"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COLUMNS = ("time", "target", "vantage", "outcome", "technique", "uid", "site", "category", "country", "asn", "score",
           "cause", "rules", "rules_version", "duration_s")  # fmt: skip
UNKNOWN = Verdict(outcome="insufficient", cause="ambiguous", rules_version=1)
INJECTED = Verdict(outcome="impaired", technique="dns.injection.other", rules_version=1)
VERDICTS = (OK, BLOCKED, DOWN, UNKNOWN, INJECTED)
OTHER = 'phrase:六四, "64" \'=1'
Change = tuple[str, datetime, datetime, datetime]  # kind, after, before, detected_at


def wallwatch(*arguments: str, folder: Path, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", "timeline", *arguments],
        input=stdin, capture_output=True, env=ENVIRONMENT, cwd=folder, check=False,
    )  # fmt: skip


# Real series


def changes(digits: str, days: list[datetime]) -> Iterator[Change]:
    """What two days in a row of the contrary say, counted apart from the product's code."""
    state, last = digits[0], 0
    for index in range(1, len(digits)):
        if digits[index] == state:
            last = index
        elif digits[index - 1] == digits[index]:
            yield "blocked" if digits[index] == "1" else "unblocked", days[last], days[index - 1], days[index]
            state, last = digits[index], index


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real series are not here ({REAL.name})")
def test_every_real_onset_and_end_is_found_once_in_the_right_interval(tmp_path: Path) -> None:
    data = json.loads(REAL.read_text())
    days = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in data["days"]]
    series = [(group, name, digits) for group, named in data["series"].items() for name, digits in named.items()]
    lines = [
        [rfc3339(day), name, f"outside-{group}", *(("blocked", "tls.reset.sni") if digit == "1" else ("ok", ""))]
        for group, name, digits in series
        for day, digit in zip(days, digits, strict=True)
    ]
    random.Random(1).shuffle(lines)
    with (tmp_path / "days.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS[:5], *lines])
    done = wallwatch("--input", "days.csv", "--format", "json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")

    found: dict[tuple[str, str], list[Change]] = {}
    for event in map(json.loads, done.stdout.splitlines()):
        times = [datetime.fromisoformat(event[name]) for name in ("after", "before", "detected_at")]
        found.setdefault((event["vantage"], event["target"]), []).append((event["kind"], *times))
    for group, name, digits in series:
        assert found.get((f"outside-{group}", name), []) == list(changes(digits, days)), name
    for group, kind, change in (("on", "blocked", "01"), ("on_in_gap", "blocked", "01"), ("off", "unblocked", "10")):
        for name, digits in data["series"][group].items():
            [event] = found[f"outside-{group}", name]
            index = digits.index(change)
            assert event[:3] == (kind, days[index], days[index + 1]), name
    flat = [key for key in found if key[0] in ("outside-blip", "outside-brief")]
    assert flat == [] and len(data["series"]["blip"]) > 10
    assert sum(one != other for digits in data["series"]["blip"].values() for one, other in pairwise(digits)) > 0


# The store and its export


async def filled(path: Path, *, simulated: bool = False) -> None:
    fate = random.Random(5)
    async with Store.open(path, simulated=simulated) as store:
        for number in fate.sample(range(240), 240):
            target, vantage = (TARGET, OTHER)[number % 2], ("home", "away")[number // 2 % 2]
            one = measurement(number, target=target, vantage=vantage, minutes=number // 4 * 0.3, simulated=simulated)
            await store.save(one, fate.choice(VERDICTS), defer=number % 3 == 0)
        await store.save(measurement(999, target="https://down.example/", simulated=simulated), DOWN)
        await store.rebuild()


def exported(path: Path, *, simulated: bool = False) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in Store.open(path, simulated=simulated, read_only=True).iter_rows():
        writer.writerow([rfc3339(row.time), row.target, row.vantage, row.outcome, row.technique, row.uid, row.site,
                         row.category, row.country, row.asn, row.score, row.cause, " ".join(row.rules),
                         row.rules_version, row.duration])  # fmt: skip
    return text.getvalue().encode()


@pytest.fixture(name="home")
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[service]\ndatabase = "a.db"\n')
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["timeline", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [(), ("--target", TARGET), ("--vantage", "away"), ("--target", OTHER, "--vantage", "home"), ("--target", "nobody"),
     ("--since", "2026-01-31T12:08:00Z"), ("--until", "2026-01-31T12:08:00Z"), ("--states",),
     ("--since", "2026-01-31T12:05:00Z", "--until", "2026-01-31T12:10:00Z"), ("--until", "2026-01-31")],
)  # fmt: skip
def test_an_export_read_back_says_the_same_as_the_store(
    home: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    asyncio.run(filled(home / "a.db"))
    (home / "a.csv").write_bytes(exported(home / "a.db"))
    for style in ("text", "json", "csv"):
        own = printed(capsys, *options, "--format", style)
        assert printed(capsys, *options, "--format", style, "--input", "a.csv") == own
    if not options:
        assert own.count("\n") > 20


def test_stored_events_are_the_timeline(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(filled(home / "a.db"))

    async def stored() -> list[tuple[str, ...]]:
        store = Store.open(home / "a.db", read_only=True)
        events = await store.events()
        await store.close()
        return sorted((e.target, e.vantage, rfc3339(e.detected_at), e.kind, *e.witness) for e in events)

    lines = [json.loads(line) for line in printed(capsys, "--format", "json").splitlines()]
    assert [(e["target"], e["vantage"], e["detected_at"], e["kind"], *e["witness"]) for e in lines] == asyncio.run(stored())  # fmt: skip
    assert list(lines[0]) == ["target", "vantage", "kind", "after", "before", "detected_at", "technique", "confidence",
                              "measurements", "witness"]  # fmt: skip
    keys = [(e["target"], e["vantage"], e["detected_at"]) for e in lines]
    assert keys == sorted(keys) and len(keys) > 20


def test_since_chooses_events_but_what_came_before_is_evidence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(filled(home / "a.db"))
    every = printed(capsys, "--format", "json").splitlines()
    moments = sorted(json.loads(line)["detected_at"] for line in every)
    since, until = moments[5], moments[-5]
    chosen = [line for line in every if since <= json.loads(line)["detected_at"] < until]
    assert printed(capsys, "--format", "json", "--since", since, "--until", until).splitlines() == chosen
    assert 5 < len(chosen) < len(every) - 5


def test_while_a_service_writes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        async with Store.open(home / "a.db") as store:
            for number, verdict in enumerate((OK, OK, BLOCKED, BLOCKED)):
                await store.save(measurement(number), verdict)
            done = await asyncio.to_thread(wallwatch, "--format", "json", folder=home)
            assert (done.returncode, done.stdout.count(b'"kind":"blocked"')) == (0, 1)
            await store.save(measurement(9), OK)

    asyncio.run(play())
    text = printed(capsys)
    assert "blocked in (2026-01-31 12:01:00 UTC, 2026-01-31 12:02:00 UTC]" in text
    assert "contrary  ok at 2026-01-31 12:09:00 UTC" in text


def test_a_simulated_store_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(filled(home / "a.db", simulated=True))
    assert main(["timeline"]) == 0
    assert capsys.readouterr().out.startswith("*** SIMULATED")
    assert main(["timeline", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("target,vantage,kind,") and "SIMULATED" in err
    (home / "x.jsonl").write_bytes(as_json(measurement(1, simulated=True), OK, version="0"))
    assert main(["timeline", "--input", "x.jsonl"]) == 0
    assert capsys.readouterr().out.startswith("*** SIMULATED")


# Files


def test_plain_packed_and_piped_are_the_same_without_any_configuration(tmp_path: Path) -> None:
    documents = [
        as_json(one, verdict, version="0").rstrip(b"\n")
        for one, verdict in ((measurement(0, minutes=-9), OK), (whole("m1"), BLOCKED), (measurement(7), BLOCKED))
    ]
    flat = b'{"time":"2026-01-31T12:30:00Z","target":"https://example.com/","vantage":"home","outcome":"ok","technique":null}'
    data = b"\n".join([*documents, documents[0], flat]) + b"\n"
    (tmp_path / "x.jsonl").write_bytes(data)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(data))
    plain, packed, piped = (
        wallwatch("--input", name, folder=tmp_path, stdin=data) for name in ("x.jsonl", "x.jsonl.gz", "-")
    )
    assert (plain.returncode, plain.stderr) == (0, b"")
    assert plain.stdout == packed.stdout == piped.stdout
    assert b"measured  4 times" in plain.stdout and b"blocked in (2026-01-31 11:51:00 UTC, " in plain.stdout
    assert not list(tmp_path.glob("*.db*"))


def test_what_is_wrong_is_told_and_the_rest_is_computed(tmp_path: Path) -> None:
    rows = [f"2026-01-0{day},https://a.example/,home,{outcome},{way},m{day}" for day, outcome, way in
            ((1, "ok", ""), (2, "ok", ""), (3, "blocked", "tcp.timeout"), (4, "blocked", "tcp.timeout"))]  # fmt: skip
    bad = ["yesterday,a,v,ok,,m7", rows[0].replace("ok", "fine"), rows[3].replace("blocked", "ok"), "\0", 'a,"b']
    (tmp_path / "x.csv").write_text("\n".join(["time,target,vantage,outcome,technique,uid", *rows, *bad]))
    done = wallwatch("--input", "x.csv", "--format", "json", folder=tmp_path)
    assert done.returncode == 2
    [event] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["kind"], event["witness"]) == ("blocked", ["m2", "m3", "m4"])
    told = done.stderr.decode().splitlines()
    assert [line.split(": ")[1] for line in told] == [f"x.csv:{number}" for number in range(6, 11)]
    assert [line.split(": ")[2] for line in told[:3]] == ["time", "outcome", "uid"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input", "missing.csv"), "missing.csv: No such file"),
        (("--input", "."), ".: Is a directory"),
        (("--input", "cut.gz"), "cut.gz:1: the file breaks off: "),
        (("--input", "text.gz"), "text.gz:1: the file breaks off: Not a gzipped file"),
        (("--input", "empty.csv"), "empty.csv:1: the file is empty"),
        (("--since", "yesterday"), "--since: must be a time such as"),
        (("--until", "2026-02-30"), "--until: must be a time such as"),
        (("--since", "2026-01-02", "--until", "2026-01-01"), "--since: must be earlier than --until"),
        ((), "a.db: there is no database"),
        (("--config", "none.toml"), "none.toml"),
    ],
)
def test_bad_input(home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str) -> None:
    (home / "cut.gz").write_bytes(gzip.compress(random.Random(1).randbytes(5000))[:400])
    (home / "text.gz").write_bytes(b"time,target")
    (home / "empty.csv").write_bytes(b"")
    assert main(["timeline", "--format", "json", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and said in err
    assert not (home / "a.db").exists()


def test_a_hundred_thousand_rows_stay_small(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with (tmp_path / "x.csv").open("w") as file:
        file.write("time,target,vantage,outcome,technique,uid\n")
        for number in range(100_000):
            time = rfc3339(start + timedelta(minutes=number))
            file.write(f"{time},https://t{number % 50}.example/,home,ok,,m{number}\n")
    code = (
        "import re, sys; from monitor.cli import main; main(sys.argv[1:]);"
        " print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "timeline", "--input", "x.csv", "--format", "csv"],
        capture_output=True, env=ENVIRONMENT, cwd=tmp_path, check=True, text=True,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1
    assert int(done.stderr.split()[-1]) < 200_000, "KiB"

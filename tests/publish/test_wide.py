"""Row 25 from the measurements to the pages: all of TCP/443 reset for 74 minutes is one event, and one for its end."""

import asyncio
import json
import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from blocklists import target_of
from monitor.cli import main
from probes.measurement import VantageFacts, rfc3339

from . import sample
from .serving import Pair, Served, serving
from .stored import contents, packed

HTTPS = tuple(f"https://s{n:02}.example/" for n in range(16))
HTTP = tuple(f"http://p{n}.example/" for n in range(4))
TARGETS = (*HTTPS, *HTTP)
AWAY = VantageFacts(name="away", country="DE")
EVERY, JITTER = 15.0, 5.0  # minutes
BEGAN, ENDED = 60.0, 134.0  # minutes after sample.BEGAN
ALONE = HTTPS[3]  # at the other vantage it alone is reset in that time


def night() -> list[Pair]:
    """Three hours at two vantages, in order of time. Each is judged as what it is; only the names are many."""
    made: list[tuple[float, Pair]] = []
    judged = {is_reset: sample.resets() if is_reset else sample.calm() for is_reset in (False, True)}
    for vantage in (sample.VANTAGE, AWAY):
        for number, name in enumerate(TARGETS):
            for turn in range(12):
                minute = turn * EVERY + number / len(TARGETS) * JITTER
                is_hit = name in HTTPS if vantage is sample.VANTAGE else name == ALONE
                measurement, verdict = judged[is_hit and BEGAN <= minute < ENDED]
                measurement = msgspec.structs.replace(
                    measurement, uid=f"{vantage.name}-{number:02}-{turn:02}", target=name, vantage=vantage,
                    time=sample.BEGAN + timedelta(minutes=minute),
                )  # fmt: skip
                made.append((minute, (measurement, verdict)))
    return [pair for _minute, pair in sorted(made, key=lambda one: one[0])]


def after(minutes: float) -> datetime:
    return sample.BEGAN + timedelta(minutes=minutes)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def at_home(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["vantage"] == "home"]


async def looked_at(running: Served) -> None:
    began, ended = at_home((await running.json("/api/v1/events"))["events"])
    assert [(e["target"], e["kind"], e["among"]) for e in (began, ended)] == [
        ("https://*", "blocked", 16), ("https://*", "unblocked", 16),
    ]  # fmt: skip
    assert tuple(began["targets"]) == tuple(ended["targets"]) == HTTPS and began["technique"] == "tls.reset"
    for event, moment in ((began, BEGAN), (ended, ENDED)):
        assert event["after"] < rfc3339(after(moment)) <= event["before"] < event["detected_at"]
    [other, end] = (await running.json("/api/v1/events?vantage=away"))["events"]
    assert (other["target"], end["target"], "targets" in other) == (ALONE, ALONE, False)

    matrix = words((await running.get("/"))[1])
    assert "Changed at once unblocked 16 of 16 https targets at home, after" in matrix
    onset = "after 2026-01-31 12:48:45 UTC and not later than 2026-01-31 13:00:00 UTC: tls.reset"
    assert f"blocked 16 of 16 https targets at home, {onset}" in matrix
    assert "14:15:00 UTC: until then tls.reset" in matrix
    assert matrix.count("targets at home") == 2 and "targets at away" not in matrix

    page = words((await running.get(f"/targets?target={ALONE}"))[1])
    assert page.count("16 of 16 https targets at once") == 2
    assert "blocked between 2026-01-31 12:45" in page and ", at once with others: 16 of 16 https targets" in page
    plain = words((await running.get(f"/targets?target={HTTP[0]}"))[1])
    assert "at once" not in plain and "None was confirmed." in plain
    every = await running.store.changes(share=75)
    for event in every:
        at = event.detected_at
        for target in (None, HTTPS[-1], ALONE):
            chosen = [e for e in every if target is None or target == e.target or target in e.targets]
            assert await running.store.changes(share=75, target=target, since=at) == [
                e for e in chosen if e.detected_at >= at
            ]  # fmt: skip
            assert await running.store.changes(share=75, target=target, until=at) == [
                e for e in chosen if e.detected_at < at
            ]  # fmt: skip
    document = await running.json(f"/api/v1/targets?target={HTTPS[0]}")
    assert [event["target"] for event in document["events"]] == ["https://*", "https://*"]


@pytest.mark.parametrize("late", [False, True], ids=["as they come", "home comes last"])
def test_one_event_of_the_protocol_instead_of_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Also where the measurements come out of order, from an agent that was cut off; and in what a stranger computes."""
    pairs = night()
    if late:
        pairs = [*(p for p in pairs if p[0].vantage is AWAY), *reversed([p for p in pairs if p[0].vantage is not AWAY])]

    async def serve() -> None:
        targets = tuple(map(target_of, TARGETS))
        async with serving(tmp_path, pairs, targets=targets, vantages=(sample.VANTAGE, AWAY)) as running:
            await looked_at(running)

    asyncio.run(serve())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[service]\ndatabase = "x.db"\n')
    own = timeline(capsys)
    assert [(event["target"], event["kind"]) for event in at_home(own)] == [
        ("https://*", "blocked"), ("https://*", "unblocked"),
    ]  # fmt: skip
    assert len(own) == 4
    table = contents(packed(tmp_path / "x.db", tmp_path / "out"))
    assert table["events.csv"].count(b",home,") == 32  # the table has each of them
    (tmp_path / "m.csv").write_bytes(table["measurements.csv"])
    assert timeline(capsys, "--input", "m.csv") == own
    assert [e["target"] for e in timeline(capsys, "--target", ALONE)] == ["https://*"] * 2 + [ALONE] * 2
    main(["timeline", "--target", ALONE])
    said = " ".join(capsys.readouterr().out.split())
    assert "16 of 16 https targets" in said and "told above under https://*" in said


def timeline(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["timeline", "--format", "json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

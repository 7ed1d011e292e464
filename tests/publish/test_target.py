"""The target page and its JSON over real HTTP: bands, events, what others documented, hostile names and periods."""

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec
import pytest

from monitor.judge.verdict import Verdict
from probes.measurement import Measurement, VantageFacts

from . import sample
from .serving import Pair, Served, served
from .test_server import Tags

NAME = "https://example.com/"
PAGE = "/targets?" + urlencode({"target": NAME})
API = "/api/v1" + PAGE
BLOCKED = Verdict(outcome="blocked", technique="tls.reset.sni", rules_version=1, score=0.9, reason="Reset.")
UNSURE = Verdict(outcome="insufficient", cause="offline", rules_version=1)
DOWN = Verdict(outcome="down", cause="dead", rules_version=1)


def at(hours: float, verdict: Verdict, *, vantage: str = "home", name: str = NAME) -> Pair:
    """A measurement so many hours before sample.BEGAN."""
    made = Measurement(
        uid=f"{vantage}{hours:08.2f}", time=sample.BEGAN - timedelta(hours=hours), target=name, url=name,
        site="example.com", category="NEWS", vantage=VantageFacts(name=vantage, country="CN"),
    )  # fmt: skip
    return made, verdict


def turned() -> list[Pair]:
    """Open for two days, then blocked; a gap of a day in the open time; the other vantage only ever blocked."""
    hours = [hour for hour in range(96, 0, -1) if not 72 <= hour < 84]
    home = [at(hour, sample.OK if hour > 48 else BLOCKED) for hour in hours]
    return home + [at(hour, UNSURE if hour > 90 else BLOCKED, vantage="second") for hour in hours]


def test_the_page_shows_bands_events_and_the_present_state(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        status, text, _headers = await running.get(PAGE)
        assert status == 200 and len(text) < 200_000
        assert text.count('class="band"') == 2
        assert re.findall(r'<g class="(\w+)"', text.split('class="key"')[0]).count("insufficient") == 1
        assert "blocked since a time between 2026-01-29 11:00 and 2026-01-29 12:00" in text
        assert "already blocked when it could first be told, on 2026-01-27 18:00" in text
        assert 'href="/measurements/home00047.00"' in text  # the last witness
        assert text.count('">unblocked<') == 0 and "tls.reset.sni" in text
        assert 'href="/targets?target=https%3A%2F%2Fexample.com%2F&amp;vantage=home"' in text
        assert "not measured by Wallwatch" in text

    served(tmp_path, turned(), use)


def test_the_json_says_the_same_and_has_no_slot_for_a_gap(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        document = await running.json(API)
        assert (document["target"], document["site"], document["step_seconds"]) == (NAME, "example.com", 7200)
        home, second = document["vantages"]
        assert (home["vantage"], home["state"], home["technique"]) == ("home", "blocked", "tls.reset.sni")
        assert home["counts"] == {"ok": 36, "blocked": 48}
        kinds = [slot["state"] for slot in home["slots"]]
        assert set(kinds) == {"open", "blocked"} and kinds == sorted(kinds, reverse=True)
        ends = {slot["end"] for slot in home["slots"]}
        gaps = [slot for slot in home["slots"] if slot["start"] not in ends]
        assert len(gaps) == 3  # the beginning, after the gap, and after the change
        assert {slot["state"] for slot in second["slots"]} == {"insufficient", "blocked"}
        [event] = document["events"]
        assert (event["kind"], event["vantage"]) == ("blocked", "home")
        assert document["documented"] and not document["documented"][0]["measured_by_wallwatch"]
        assert "simulated" not in document

    served(tmp_path, turned(), use)


def test_days_come_from_the_daily_counts_and_hours_from_the_measurements(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        by_day = await running.json(API + "&since=2025-12-01")
        by_hour = await running.json(API + "&since=2026-01-25")
        assert (by_day["step_seconds"], by_hour["step_seconds"]) == (86400, 7200)
        for one, other in zip(by_day["vantages"], by_hour["vantages"], strict=True):
            assert one["counts"] == other["counts"] and sum(one["counts"].values()) == 84
        narrow = await running.json(API + "&since=2026-01-28T15:00:00Z&until=2026-01-28T17:00:00Z")
        assert narrow["vantages"][0]["counts"] == {"ok": 2}
        nothing = await running.json(API + "&since=2025-12-01&until=2025-12-02")
        assert nothing["vantages"][0]["slots"] == [] and nothing["events"] == []
        assert nothing["vantages"][0]["state"] == "blocked"  # the present state, whatever is looked at

    served(tmp_path, turned(), use)


def test_a_target_that_was_only_down_is_not_open(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        text = (await running.get(PAGE))[1]
        bands = text.split('class="key"')[0]
        assert 'class="down"' in bands and 'class="open"' not in bands and 'class="blocked"' not in bands
        assert "unknown: no measurement was evidence" in text

    served(tmp_path, [at(hour, DOWN) for hour in range(20, 0, -1)], use)


def test_a_configured_target_without_data_says_so(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        status, text, _headers = await running.get("/targets?target=https://quiet.example/")
        assert status == 200 and "never measured" in text and 'class="band"' not in text
        document = await running.json("/api/v1/targets?target=https://quiet.example/")
        assert document["vantages"] == []

    served(tmp_path, [], use)


def test_a_target_that_left_the_list_still_has_its_history(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        status, text, _headers = await running.get("/targets?target=https://x.com/")
        assert status == 200
        assert "computed from GFW Report" in text and "after 2024-03-05, by 2024-10-09" in text
        assert 'class="reported"' not in text  # nothing of it lies in the last 30 days
        text = (await running.get("/targets?target=https://x.com/&since=2024-01-01"))[1]
        assert text.count('class="reported"') == 1 and text.count("Not measured by Wallwatch: ") == 3

    served(tmp_path, [at(hour, sample.OK, name="https://x.com/") for hour in (3, 2, 1)], use)


@pytest.mark.parametrize("path", ["/targets", "/api/v1/targets"])
@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "target must be given"), ("?target=", 400, "target must be given"),
        ("?target=https://unknown.example/", 404, "no such target"), ("?target=%00%1b[2J", 404, "no such target"),
        ("?target=" + quote("<script>alert(1)</script>"), 404, "no such target"),
        (f"?target={NAME}&since=yesterday", 400, "since: must be a time"),
        (f"?target={NAME}&until=1", 400, "until: must be a time"),
        (f"?target={NAME}&since=2026-01-02&until=2026-01-01", 400, "since must be earlier than until"),
        (f"?target={NAME}&since=1990-01-01&until=2199-01-01", 400, "at most 40 years apart"),
        (f"?target={NAME}&since=0001-01-01", 400, "between 1990 and 2200"),
        (f"?target={NAME}&until=9999-12-31T23:59:59-23:59", 400, "until: must"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(tmp_path: Path, path: str, query: str, status: int, reason: str) -> None:
    async def use(running: Served) -> None:
        found, text, _headers = await running.get(path + query)
        assert (found, reason in text, "<script>" in text) == (status, True, False), text

    served(tmp_path, [at(1, sample.OK)], use)


def test_the_json_refuses_a_parameter_that_it_does_not_know(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        assert "since, target, until" in (await running.json(API + "&vantage=home", 400))["error"]

    served(tmp_path, turned()[:3], use)


def test_a_hostile_name_and_technique_are_text(tmp_path: Path) -> None:
    name = f"https://example.com/{sample.HOSTILE[:300]}"
    bad = msgspec.structs.replace(BLOCKED, technique='"><script>x</script>\x1b[2J')
    pairs = [at(hour, bad, name=name, vantage='<b>"v') for hour in (3, 2, 1)]

    async def use(running: Served) -> None:
        status, text, _headers = await running.get("/targets?" + urlencode({"target": name}))
        assert status == 200 and "alert(" in text and 'class="band"' in text
        tags = Tags(text)
        assert not tags.tags & {"script", "img", "iframe", "object", "style", "form", "base", "foreignobject", "image"}
        assert not {a for a in tags.attributes if a.startswith("on")} | (tags.attributes & {"style"})
        assert all(link.startswith("/") and not link.startswith("//") for link in tags.links)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e]", text)

    served(tmp_path, pairs, use)


def test_the_matrix_and_the_pair_page_lead_here(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        link = 'href="/targets?target=https%3A%2F%2Fexample.com%2F"'
        assert link in (await running.get("/"))[1]
        pair = (await running.get(PAGE + "&vantage=home"))[1]
        assert link in pair and pair.count('class="band"') == 1 and "tls.reset.sni" in pair
        assert (await running.get(PAGE + "&vantage="))[0] == 400
        assert (await running.get(PAGE + "&vantage=nowhere"))[0] == 404

    served(tmp_path, turned(), use)


def test_many_flickering_vantages_still_fit_on_a_page(tmp_path: Path) -> None:
    pairs = [
        at(hour * 24, BLOCKED if (hour + n) % 5 == 0 else sample.OK, vantage=f"v{n}")
        for n in range(12)
        for hour in range(360, 0, -1)
    ]

    async def use(running: Served) -> None:
        status, text, _headers = await running.get(PAGE + "&since=2025-01-31")
        assert status == 200 and text.count('class="band"') == 12
        assert len(text) < 200_000, len(text)

    served(tmp_path, pairs, use)

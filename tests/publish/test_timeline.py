"""Series computed from points, exported rows read back, and what is printed of them."""

import csv
import io
import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from monitor.judge.detect import Point, detect
from monitor.publish import exported, timeline_table, timeline_text
from monitor.publish.exported import Row
from monitor.publish.lines import LONGEST, Fault
from monitor.publish.timeline import Pile, Series, series, timeline
from monitor.publish.when import time_of

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = {".": "ok", "X": "blocked", "x": "likely_blocked", "i": "impaired", "d": "down", "?": "insufficient"}
HEADER = "time,target,vantage,outcome,technique,uid"
ROW = "2026-01-01T00:00:00Z,https://a.example/,home,blocked,tls.reset,m1"


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def points(letters: str) -> list[Point]:
    """One letter a day; a space is a day without a measurement."""
    return [
        Point(day(n), WORDS[letter], "tls.reset" if letter in "Xxi" else None, f"m{n}")
        for n, letter in enumerate(letters)
        if letter != " "
    ]


def of(letters: str) -> Series:
    return series(points(letters), target="https://a.example/", vantage="home")


def read(text: str | bytes) -> tuple[list[Row], list[str]]:
    """Good rows, and what is said of the rest."""
    found = list(exported.rows(io.BytesIO(text.encode() if isinstance(text, str) else text)))
    return [item[1] for item in found if not isinstance(item, Fault)], [str(f) for f in found if isinstance(f, Fault)]


def faults(*lines: str) -> list[str]:
    return read("\n".join((HEADER, *lines)))[1]


# Series


@pytest.mark.parametrize("letters", ["..XX..", "XX", ".", "X.X.", "..?dXX", "iiXX..ii", "d?", "XXX...x"])
def test_events_and_state_are_those_of_the_judge(letters: str) -> None:
    found = of(letters)
    events, state = detect(points(letters), target="https://a.example/", vantage="home")
    assert list(found.events) == events
    assert (found.state, found.technique, found.before) == (state.state, state.technique, state.since)
    assert list(found.contrary) == state.pending


def test_a_state_that_never_changed_has_no_dated_onset() -> None:
    found = of("?XXX")
    assert (found.state, found.after, found.before, found.confirmed) == ("blocked", None, day(1), True)
    assert (found.first, found.last, found.last_evidence) == (day(0), day(3), day(3))
    changed = of("..XX")
    assert (changed.after, changed.before) == (day(1), day(2))


@pytest.mark.parametrize(("letters", "confirmed"), [("X", False), ("X?d", False), ("X.", False), ("XX", True), ("X.X", True), ("X..", True)])  # fmt: skip
def test_one_measurement_confirms_nothing(letters: str, confirmed: bool) -> None:
    assert of(letters).confirmed is confirmed


def test_what_was_no_evidence_is_counted_and_is_a_gap() -> None:
    found = of("..?dd .X?")
    assert found.counts == {"insufficient": 2, "ok": 3, "down": 2, "impaired": 0, "likely_blocked": 0, "blocked": 1}
    assert (found.measurements, found.evidence) == (8, 4)
    assert found.longest_gap == timedelta(days=5).total_seconds()
    assert (found.last, found.last_evidence) == (day(8), day(7))
    nothing = of("d?")
    assert (nothing.state, nothing.before, nothing.last_evidence, nothing.longest_gap) == ("", None, None, None)


def test_another_technique_does_not_move_the_beginning() -> None:
    changed = [*points("..XX"), *(Point(day(n), "blocked", "dns.injection.other", f"m{n}") for n in (4, 5))]
    found = series(changed, target="t", vantage="v")
    assert [event.kind for event in found.events] == ["blocked", "technique_changed"]
    assert (found.after, found.before, found.technique) == (day(1), day(2), "dns.injection.other")


# Order and duplicates


def rows(letters: str, target: str = "a", vantage: str = "v") -> list[Row]:
    return [
        Row(target, vantage, p.time, p.outcome, p.technique or "", f"{target}{vantage}{p.uid}", False)
        for p in points(letters)
    ]


def piled(given: Iterable[Row]) -> list[Series]:
    pile = Pile()
    for row in given:
        pile.add(row)
    return list(timeline(pile.points()))


def test_neither_order_nor_duplicates_matter() -> None:
    given = [*rows("..XX..XX"), *rows("XX..", "b"), *rows("..ii", "a", "w"), *rows("..XX", "六四")]
    same_time = [Row("a", "v", day(n), outcome, "", "", False) for n in (2, 3) for outcome in ("ok", "down", "blocked")]
    expected = piled([*given, *same_time])
    assert [(s.target, s.vantage) for s in expected] == [("a", "v"), ("a", "w"), ("b", "v"), ("六四", "v")]
    chance = random.Random(3)
    for _ in range(20):
        mixed = [*given, *same_time, *chance.choices(given, k=10)]
        chance.shuffle(mixed)
        assert piled(mixed) == expected


def test_one_uid_with_two_contents_is_refused() -> None:
    pile = Pile()
    one, other = rows("."), rows("X")
    assert pile.add(one[0]) is True and pile.add(rows(".")[0]) is True
    assert pile.add(other[0]) is False
    assert len(list(pile.points())) == 1


# Exported rows


def test_columns_come_in_any_order_among_others() -> None:
    text = 'x,outcome,uid,"technique",time,vantage,target\r\n1,blocked,m1,tls.reset,2026-01-01,home,"a, b ""c"""\r\n'
    for start in ("", "\ufeff"):
        found, said = read(start + text)
        assert said == []
        assert found == [Row('a, b "c"', "home", START, "blocked", "tls.reset", "m1", False)]


def test_a_technique_without_interference_is_none() -> None:
    [row] = read(f"{HEADER}\n2026-01-01,a,v,ok,tls.reset,m1")[0]
    assert row.technique == ""


@pytest.mark.parametrize(
    "time", ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01 00:00:00+00:00",
             "2026-01-01T08:00:00.000000+08:00", "2026-01-01T00:00:00", "2025-12-31T19:00:00-05:00"],
)  # fmt: skip
def test_times_are_taken_in_utc(time: str) -> None:
    assert time_of(time) == START and time_of(time).tzinfo is UTC


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-13-01", "2026-02-30", "1767225600", "01/02/2026", "2026-W01-1", "20260101",
             "2026-01-01T25:00:00Z", "0001-01-01T00:00:00+14:00", "２０２６-01-01", "2026-01-01T00:00:00Z; rm"],
)  # fmt: skip
def test_what_is_no_time(time: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as"):
        time_of(time)
    [said] = faults(ROW.replace("2026-01-01T00:00:00Z", time))
    assert said.startswith("2: time: ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (ROW.replace("blocked", "censored"), "2: outcome: 'censored' is none of insufficient, ok"),
        (ROW.replace("blocked", ""), "2: outcome: '' is none of"),
        (ROW.replace("blocked", "OK\x1b[2J"), "2: outcome: 'OK\\\\x1b[2J' is none of"),
        (ROW.replace("https://a.example/", ""), "2: target: is empty"),
        (ROW.replace("home", ""), "2: vantage: is empty"),
        (ROW.replace("home", "ho\0me"), "2: holds a NUL character"),
        (ROW + ",more", "2: 7 cells where the header has 6"),
        (ROW.rsplit(",", 1)[0], "2: 5 cells where the header has 6"),
        (ROW.replace("home", '"home'), "2: a quoted cell is not closed on its line"),
        (ROW.replace("home", '"ho"me'), "2: no CSV: "),
        (ROW + "x" * 70_000, "2: longer than 65536 bytes"),
    ],
)
def test_a_bad_line_costs_only_itself(line: str, said: str) -> None:
    good, [fault] = read("\n".join((HEADER, line, "", ROW)))
    assert fault.startswith(said)
    assert [row.uid for row in good] == ["m1"]


def test_bytes_that_are_no_utf8() -> None:
    good, said = read(f"{HEADER}\n".encode() + b"2026-01-01,\xff,home,ok,,m0\n" + ROW.encode())
    assert said == ["2: not UTF-8 at byte 12"] and len(good) == 1


def test_a_header_that_cannot_be_used() -> None:
    assert read("time,target,vantage\n1,2,3") == ([], ["1: outcome: the column is missing", "1: technique: the column is missing"])  # fmt: skip
    assert read(f"{HEADER},time\n{ROW},x") == ([], ["1: time: the column is there twice"])
    assert read("") == ([], ["1: the file is empty"])
    assert read(b"\xff\xfet\0i\0m\0e\0")[1] == ["1: not UTF-8 at byte 1"]


def test_a_line_without_end_is_passed_over() -> None:
    good, said = read(f"{HEADER}\n{'x' * (LONGEST + 5)}\n{ROW}\n")
    assert said == [f"2: longer than {LONGEST} bytes"] and len(good) == 1


def test_json_lines_flat_and_whole() -> None:
    flat = {"time": "2026-01-01", "target": "a", "vantage": "v", "outcome": "ok", "technique": None, "more": [1]}
    whole = {
        "uid": "m1", "time": "2026-01-02T00:00:00Z", "target": "a", "vantage": {"name": "v", "kind": "direct"},
        "verdict": {"outcome": "blocked", "technique": "tls.reset", "score": 1}, "facts": {"x": 1}, "simulated": True,
    }  # fmt: skip
    found, said = read(f"\ufeff{json.dumps(flat)}\n\n{json.dumps(whole)}\n")
    assert said == []
    assert found == [
        Row("a", "v", START, "ok", "", "", False),
        Row("a", "v", day(1), "blocked", "tls.reset", "m1", True),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time": None}, "time: "), ({"time": 5}, "time: "), ({"time": ""}, "time: is missing"),
        ({"target": ""}, "target: is missing"), ({"vantage": {"kind": "direct"}}, "vantage: is missing"),
        ({"vantage": 3}, "vantage: "), ({"outcome": None}, "outcome: is missing"), ({"outcome": "no"}, "outcome: "),
        ({"verdict": {"outcome": 3}}, "verdict.outcome: "), ({"target": "a\0"}, "target: holds a NUL"),
    ],
)  # fmt: skip
def test_bad_documents(change: dict[str, object], said: str) -> None:
    flat = {"time": "2026-01-01", "target": "a", "vantage": "v", "outcome": "ok", "technique": None}
    good, [fault] = read(f"{json.dumps(flat)}\n{json.dumps({**flat, **change})}\n{json.dumps(flat)}")
    assert fault.startswith(f"2: {said}")
    assert len(good) == 2


def test_lines_that_are_no_json() -> None:
    good, said = read('{"time": \n{}\n[1]\n{"a":\xff}\n' + "{" * 100_000)
    assert good == [] and len(said) == 5
    assert said[1] == "2: time: is missing"
    assert all(fault.startswith(f"{n}: no JSON") or n in (2, 3) for n, fault in enumerate(said, 1))


# What is printed


def printed(*found: Series, simulated: bool = False, events: bool = True) -> str:
    return "".join(timeline_text.text(found, simulated=simulated, events=events))


def test_the_text_says_how_well_each_thing_is_known() -> None:
    said = printed(of("..XX?"))
    assert "state     blocked by tls.reset\n" in said
    assert "since     (2026-01-02 00:00:00 UTC, 2026-01-03 00:00:00 UTC]\n" in said
    assert "event     blocked in (2026-01-02 00:00:00 UTC, 2026-01-03 00:00:00 UTC]\n" in said
    assert "witness   m1\n" in said and "known 2026-01-04 00:00:00 UTC by 2 measurements in a row" in said
    assert "2 blocked, 2 ok, 1 insufficient; 1 of 5 no evidence; longest time without evidence 24 h" in said
    assert "last evidence 2026-01-04 00:00:00 UTC" in said.replace("\n              ", " ")
    assert "SIMULATED" not in said and "no evidence: they neither confirm nor interrupt" in said


def test_the_text_never_dates_an_onset_that_it_does_not_know() -> None:
    said = printed(of("XX"))
    assert "since     not known: already blocked when first measured, 2026-01-01 00:00:00 UTC\n" in said
    assert "event" not in said.split("(A, B]")[0]
    assert "when first measured with evidence, 2026-01-02" in printed(of("?XX"))
    assert "unconfirmed" in printed(of("X")) and "unconfirmed" not in said
    assert "unknown: nothing measured is evidence" in printed(of("d?"))
    assert "contrary  blocked by tls.reset at 2026-01-03 00:00:00 UTC; a change needs 2 in a row" in printed(of("..X"))


def test_the_text_says_simulated_and_can_leave_events_out() -> None:
    said = printed(of("..XX"), simulated=True, events=False)
    assert said.startswith("*** SIMULATED") and "witness" not in said and "since" in said
    assert printed() == "no measurements\n"


def test_nothing_in_a_name_reaches_the_terminal() -> None:
    hostile = "https://a/\x1b[2J\u202e\n"
    found = series([Point(day(n), "ok" if n < 2 else "blocked", hostile, hostile) for n in range(4)], target=hostile, vantage=hostile)  # fmt: skip
    said = printed(found)
    assert not {"\x1b", "\u202e"} & set(said) and len(found.events) == 1
    assert all(len(line) <= 120 for line in said.splitlines())


def test_csv_is_the_same_events_and_keeps_names_as_they_are() -> None:
    found = series(points("..XX.."), target='=HYPERLINK("x"),\n', vantage="home")
    read_back = list(csv.DictReader(io.StringIO("".join(timeline_table.events_csv(found.events)), newline="")))
    documents = list(timeline_table.event_documents(found.events))
    assert [row["target"] for row in read_back] == ['=HYPERLINK("x"),\n'] * 2
    assert [row["witness"].split() for row in read_back] == [document["witness"] for document in documents]
    assert [tuple(row) for row in read_back] == [timeline_table.EVENT] * 2
    of_many = ("targets", "among")  # a single event has neither
    assert [(*document, *of_many) for document in documents] == [timeline_table.EVENT] * 2
    assert {row[name] for row in read_back for name in of_many} == {""}
    assert "".join(timeline_table.events_csv([])) == ",".join(timeline_table.EVENT) + "\n"


def test_states_for_machines() -> None:
    [line] = timeline_table.as_json([timeline_table.state_document(of("XX?"))])
    document = json.loads(line)
    assert tuple(document) == timeline_table.STATE
    assert (document["state"], document["since_after"], document["since_before"]) == ("blocked", None, "2026-01-01T00:00:00.000000Z")  # fmt: skip
    assert document["outcomes"]["insufficient"] == 1 and document["longest_gap_s"] == 86400.0
    [row, none] = csv.DictReader(io.StringIO("".join(timeline_table.states_csv([of("XX?"), of("d")]))))
    assert (row["state"], row["blocked"], row["insufficient"], row["since_after"]) == ("blocked", "2", "1", "")
    assert (none["state"], none["confirmed"], none["last_evidence"], none["down"]) == ("", "false", "", "1")


@pytest.mark.parametrize(("seconds", "said"), [(0.5, "0.5 s"), (90, "90 s"), (7199, "120 min"), (86400, "24 h"), (18_700_000, "216 d")])  # fmt: skip
def test_spans(seconds: float, said: str) -> None:
    assert timeline_text.span(seconds) == said

"""Cells and the codebook: any value survives, every column is described, and docs/codebook.md says the same.

`python -m tests.publish.test_export_tables --write` writes docs/codebook.md.
"""

import csv
import io
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists import CATEGORIES
from monitor.judge.detect import Event
from monitor.judge.rules import RULES
from monitor.judge.techniques import TECHNIQUES
from monitor.judge.verdict import DOWN_CAUSES, INSUFFICIENT_CAUSES, OUTCOMES
from monitor.publish.export import cells, codebook, words
from monitor.publish.export.columns import DOCUMENTS, TABLES, header
from monitor.publish.record import document
from monitor.store import Selection
from monitor.store.snapshot import snapshot

from . import sample
from .stored import ROOT, packed, stored

PAGE = ROOT / "docs" / "codebook.md"
HOSTILE = [
    '=cmd|" /C calc"!A0', "+1", "-1", "@SUM(A1)", "a,b", 'say "no"', "two\nlines", "two\r\nlines", "bare\rreturn",
    "nul\0nul", " spaces ", "", "六四\u2028\u202e", "\x1b[2J", "'", "a;b\tc", "\ufeff",
]  # fmt: skip


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def test_hostile_texts_survive() -> None:
    assert read(cells.line(HOSTILE) + cells.line(["next"])) == [HOSTILE, ["next"]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2))
def test_any_text_survives(texts: list[str]) -> None:
    assert read(cells.line(texts)) == [texts]


def test_values_are_written_in_one_way() -> None:
    shanghai = datetime(2026, 1, 31, 20, 0, 0, 5, tzinfo=timezone(timedelta(hours=8)))
    values = (None, True, False, shanghai, 0.1 + 0.2, 1e-7, 12.0, 1e15, 0, ("a", "b"), ())
    assert cells.line(values) == b",true,false,2026-01-31T12:00:00.000005Z,0.3,0,12,1000000000000000,0,a b,\n"


def test_a_hostile_target_survives_the_whole_way(tmp_path: Path) -> None:
    """SQLite's text ends at no NUL; every other text that a list could hold comes back as it was."""
    made = [sample.calm(f"u{n:03}", name=text, minutes=n) for n, text in enumerate(HOSTILE) if text]
    folder = packed(stored(tmp_path / "hostile.db", made), tmp_path / "out")
    rows = read((folder / "measurements.csv").read_bytes())
    assert [row[1] for row in rows[1:]] == [m.target for m, _verdict in made]
    assert {len(row) for row in rows} == {len(header("measurements.csv"))}
    assert sorted(row[0] for row in read((folder / "targets.csv").read_bytes())[1:]) == sorted(filter(None, HOSTILE))


# The codebook


def test_the_contracts_columns_come_first() -> None:
    asked = ("time,target,vantage,outcome,technique,uid,site,category,country,asn,score,cause,rules,rules_version,"
             "duration_s")  # fmt: skip
    assert ",".join(header("measurements.csv")).startswith(asked + ",")
    of_many = ("targets", "among")  # what `timeline` makes of many events: the table has each of them
    assert (*header("events.csv"), *of_many) == Event.__struct_fields__


@pytest.mark.parametrize("style", ["csv", "jsonl"])
def test_the_codebook_covers_every_column_and_nothing_else(tmp_path: Path, style: str) -> None:
    folder = packed(stored(tmp_path / "s.db"), tmp_path / "out", style)
    described = {
        name: tuple(row[1] for row in read((folder / "codebook.csv").read_bytes())[1:] if row[0] == name)
        for name in TABLES
    }
    there = {name: tuple(read((folder / name).read_bytes())[0]) for name in TABLES
             if name.endswith(".csv") and (folder / name).exists()}  # fmt: skip
    assert {name: columns for name, columns in described.items() if name in there} == there
    page = (folder / "CODEBOOK.md").read_text()
    for name, columns in described.items():
        assert (f"\n## {name}\n" in page) is (folder / name).exists() is bool(columns)
        assert all(f"\n| `{column}` |" in page for column in columns)


def test_every_column_says_what_it_is() -> None:
    for name, columns in TABLES.items():
        assert len({column.name for column in columns}) == len(columns)
        for column in columns:
            assert column.meaning and column.source, (name, column.name)
            assert column.type in ("text", "time", "integer", "number", "boolean", "list", "object")
            assert not any(";" in meaning or "\n" in meaning for meaning in column.values.values()), column.name
            files = [word for word in column.source.split() if word.startswith("docs/")]
            assert all((ROOT / file).is_file() for file in files)


def test_the_words_are_those_of_the_code() -> None:
    assert set(words.OUTCOMES) == set(OUTCOMES)
    assert tuple(words.TECHNIQUES) == TECHNIQUES
    assert tuple(words.CAUSES) == (*DOWN_CAUSES, *INSUFFICIENT_CAUSES)
    values = {column.name: column.values for column in TABLES["measurements.csv"]}
    assert set(values["rules"]) == {rule.id for rule in RULES}
    assert values["category"] == CATEGORIES


def test_cells_hold_only_what_the_codebook_allows(tmp_path: Path) -> None:
    folder = packed(stored(tmp_path / "s.db"), tmp_path / "out")
    for name in ("measurements.csv", "events.csv", "targets.csv", "vantages.csv"):
        for row in read((folder / name).read_bytes())[1:]:
            for column, cell in zip(TABLES[name], row, strict=True):
                assert cell or column.null, (name, column.name)
                found = cell.split() if column.type == "list" else [cell] if cell else []
                assert not column.values or set(found) <= set(column.values), (name, column.name, cell)
                if column.type in ("integer", "number") and cell:
                    assert float(cell) >= 0
                if column.type == "time" and cell:
                    assert datetime.fromisoformat(cell).tzinfo == UTC and cell.endswith("Z")


def test_the_keys_of_a_document_are_described() -> None:
    made, verdict = sample.calm()
    assert {*document(made, verdict, version="0"), "redacted", "simulated"} == {column.name for column in DOCUMENTS}


def test_all_techniques_are_in_the_table(tmp_path: Path) -> None:
    made, verdict = sample.resets()
    both = msgspec.structs.replace(verdict, techniques=("dns.injection.other", "tls.reset"))
    database = stored(tmp_path / "s.db", [(made, both)])
    [row] = list(csv.DictReader((packed(database, tmp_path / "out") / "measurements.csv").read_text().splitlines()))
    assert (row["technique"], row["techniques"]) == ("tls.reset", "dns.injection.other tls.reset")
    with snapshot(database) as state:
        assert state.count(Selection(vantage="elsewhere")) == 0


def page() -> str:
    """docs/codebook.md."""
    return codebook.page(tuple(TABLES)).replace(
        "# Codebook\n",
        "# Codebook\n\nWhat the columns of an [export](commands.md#wallwatch-export) hold. Each package has the part "
        "of this page that it needs, as `CODEBOOK.md` and, for programs, as `codebook.csv`.\n",
        1,
    )


def test_the_page_in_the_docs_says_the_same() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.publish.test_export_tables --write`"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.publish.test_export_tables --write")
    PAGE.write_text(page(), encoding="utf-8")

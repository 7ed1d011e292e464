"""Patterns of known resets: what ships, what matches and nearly does, and every fault of a list with its line."""

from pathlib import Path
from typing import Any

import pytest

from blocklists import ListError, check
from blocklists.resets import HEADER, SHIPPED, load_resets, match, shipped
from probes.packets import Packet

GOOD = "a-name,CN,RA,3,1,0x00A3-0xFE5F,,both,a source,2025-01,notes"
TYPE_I: dict[str, Any] = {"flags": "R", "ip_id": 0, "df": False}
TYPE_II: dict[str, Any] = {"flags": "RA", "ip_id": 0x0A03, "df": True}
TYPE_III: dict[str, Any] = {"flags": "RA", "ip_id": 0x9920, "df": False}
HENAN: dict[str, Any] = {"flags": "RA", "ip_id": 1, "df": False, "payload": "01020304050607080900", "length": 10}


def reset(*, inbound: bool = True, ttl: int = 100, **fields: Any) -> Packet:
    return Packet(at=0.1, inbound=inbound, ttl=ttl, window=79, **fields)


def names(*packets: Packet) -> list[str]:
    return [pattern.name for pattern in match(packets)]


def test_what_ships_is_sound() -> None:
    assert check(SHIPPED) == []
    assert [row.name for row in shipped()] == ["gfw-type-1", "gfw-type-2", "gfw-type-3", "henan"]
    assert all(row.source and row.date and row.country == "CN" for row in shipped())


@pytest.mark.parametrize("ttl", [39, 58, 248])
def test_each_kind_is_found_whatever_its_ttl(ttl: int) -> None:
    assert names(reset(ttl=ttl, **TYPE_I)) == ["gfw-type-1"]
    assert names(*[reset(ttl=ttl, **TYPE_II)] * 3) == ["gfw-type-2"]
    assert names(reset(ttl=ttl, **TYPE_III)) == ["gfw-type-3"]
    assert names(reset(ttl=ttl, **HENAN)) == ["henan"]


def test_several_kinds_may_come_together() -> None:
    assert names(reset(**TYPE_II), reset(**TYPE_I), reset(**TYPE_II), reset(**TYPE_II)) == ["gfw-type-1", "gfw-type-2"]


@pytest.mark.parametrize(
    "packets",
    [
        [],
        [reset(**TYPE_II)],
        [reset(**TYPE_II)] * 2,  # one was lost: not told apart
        [reset(**TYPE_II)] * 4,
        [reset(ttl=ttl, **TYPE_II) for ttl in (100, 100, 101)],
        [reset(**(TYPE_II | {"ip_id": number})) for number in (0x0A03, 0x0A04, 0x0A05)],
        [reset(**(TYPE_II | {"ip_id": 0x00A2}))] * 3,
        [reset(**(TYPE_II | {"df": False}))] * 3,
        [reset(**(TYPE_I | {"df": True}))],  # Linux' own
        [reset(**(TYPE_I | {"ip_id": None}))],  # IPv6
        [reset(**(TYPE_I | {"flags": "RA"}))],
        [reset(**TYPE_I)] * 2,
        [reset(**(TYPE_III | {"ip_id": 0x9915}))],
        [reset(**(TYPE_III | {"ip_id": 0x9934}))],
        [reset(**(TYPE_III | {"length": 10}))],
        [reset(**(HENAN | {"payload": "0102030405060708090000", "length": 11}))],
        [reset(**(HENAN | {"length": 40}))],
        [reset(**(HENAN | {"payload": "", "length": 0}))],
        [reset(inbound=False, **TYPE_I)],
    ],
)
def test_near_misses(packets: list[Packet]) -> None:
    assert names(*packets) == []


def test_the_docstring_says_that_it_is_never_the_only_evidence() -> None:
    from blocklists import resets

    assert "never the only evidence" in (resets.__doc__ or "")


def written(folder: Path, *lines: str) -> Path:
    path = folder / "resets.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return path


def test_a_good_row(tmp_path: Path) -> None:
    [pattern] = load_resets(written(tmp_path, GOOD))
    assert (pattern.flags, pattern.count, pattern.df, pattern.ip_id) == ("RA", 3, True, ((0xA3, 0xFE5F),))
    [several] = load_resets(written(tmp_path, GOOD.replace("0x00A3-0xFE5F", "0x0000 0x0100-0x0200")))
    assert several.ip_id == ((0, 0), (0x100, 0x200))
    [anyone] = load_resets(written(tmp_path, GOOD.replace("0x00A3-0xFE5F", "")))
    assert match([reset(**TYPE_II)] * 3, [anyone]) == (anyone,)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("a-name", "", "name '' is no name"),
        ("a-name", "=cmd|x", "is no name in lower case"),
        ("CN", "China", "country 'China' is no country code of two letters"),
        ("RA", "RST", "flags 'RST' is none of R, RA"),
        ("RA", "RA ", "flags 'RA ' is none of"),
        (",3,", ",0,", "count '0' is no number from 1 to 9"),
        (",3,", ",٣,", "is no number from 1 to 9"),
        (",1,", ",yes,", "df 'yes' is none of 0, 1"),
        ("0x00A3-0xFE5F", "163", "ip_id '163' is no 0xHHHH or range"),
        ("0x00A3-0xFE5F", "0x9933-0x9916", "ip_id '0x9933-0x9916' is no 0xHHHH or range"),
        (",,", ",0x01,", "payload '0x01' is no payload"),
        (",,", "," + "ab" * 33 + ",", "is no payload of at most 32 bytes"),
        ("both", "all", "to 'all' is none of both, client, server"),
        ("a source", " ", "the source is empty"),
        ("2025-01", "May", "date 'May' is no YYYY"),
        (",notes", "", "has 10 columns instead of 11"),
    ],
)
def test_each_bad_row_is_one_clear_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = written(tmp_path, GOOD.replace("a-name", "first"), GOOD.replace(old, new, 1))
    with pytest.raises(ListError) as refused:
        load_resets(path)
    [fault] = refused.value.faults
    assert (fault.file, fault.line) == (str(path), 3)
    assert reason in fault.reason
    assert check(path) == [fault]


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"resets.csv:3: the name 'a-name' is that of line 2$"):
        load_resets(written(tmp_path, GOOD, GOOD))

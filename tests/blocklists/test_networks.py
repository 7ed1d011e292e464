"""Whose an address is, by tables in every form that is read."""

import time
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest

from blocklists import ListError
from blocklists.networks import HEADER, Network, Networks, load_networks

from .mmdb_file import mmdb

OWN = f"""{HEADER}
36.110.0.0,36.110.255.255,CN,4134,Chinanet
45.33.0.0,45.33.255.255,DE,AS9009,"M247, Europe"
198.51.100.0,198.51.100.255,,,
240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CN,4134,Chinanet
"""
BARE = """36.110.0.0,36.110.255.255,4134,Chinanet
45.33.0.0,45.33.255.255,9009,"M247, Europe"
240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,4134,Chinanet
"""
IPTOASN = """1.0.0.0\t1.0.0.255\t0\tNone\tNot routed
36.110.0.0\t36.110.255.255\t4134\tCN\tCHINANET "backbone
240e::\t240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff\t4134\tCN\tCHINANET
"""


def table(folder: Path, text: str, name: str = "networks.csv") -> Networks:
    (folder / name).write_text(text, encoding="utf-8")
    return load_networks(folder / name)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ListError) as error:
        table(folder, text)
    return [f"{fault.line}: {fault.reason}" for fault in error.value.faults]


def test_our_own_form(tmp_path: Path) -> None:
    found = table(tmp_path, OWN)
    chinanet = Network(country="CN", asn=4134, name="Chinanet")
    for address in ("36.110.0.0", "36.110.255.255", "240e::1", "::ffff:36.110.1.1", "240e::1%eth0"):
        assert found.lookup(address) == chinanet, address
    assert found.lookup("45.33.9.9") == Network(country="DE", asn=9009, name="M247, Europe")
    assert found.lookup("198.51.100.7") == Network()


@pytest.mark.parametrize("address", ["36.109.255.255", "36.111.0.0", "0.0.0.0", "2001:db8::1", "240f::", "", "x", "1.2.3", "a\0b", "::ffff:1.1.1.1"])  # fmt: skip
def test_what_no_row_holds(tmp_path: Path, address: str) -> None:
    assert table(tmp_path, OWN).lookup(address) is None


def test_without_a_header_there_are_no_countries(tmp_path: Path) -> None:
    found = table(tmp_path, BARE)
    assert found.lookup("45.33.9.9") == Network(asn=9009, name="M247, Europe")
    assert found.lookup("240e::2") == Network(asn=4134, name="Chinanet")


def test_iptoasn(tmp_path: Path) -> None:
    found = table(tmp_path, IPTOASN, "ip2asn-combined.tsv")
    assert found.lookup("36.110.9.9") == Network(country="CN", asn=4134, name='CHINANET "backbone')
    assert found.lookup("1.0.0.9") == Network()


def test_names_cannot_break_a_line_or_a_page(tmp_path: Path) -> None:
    found = table(tmp_path, f'{HEADER}\n10.0.0.0,10.0.0.255,XX,1,"a\x1b[31m\nb{"x" * 500}"\n').lookup("10.0.0.1")
    assert found is not None
    assert found.name.startswith("a [31m bx")
    assert len(found.name) <= 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["0: holds no network"]),
        (f"{HEADER}\n", ["0: holds no network"]),
        (f"{HEADER}\n1.0.0.0,1.0.0.9,XX,1\n", ["2: has 4 columns instead of 5; with five the header must be " + HEADER]),
        ("start,end,asn,name\n", ["1: 'start' to 'end' is no range of IP addresses"]),
        ("1.0.0.0,2001::,1,a\n", ["1: '1.0.0.0' to '2001::' is no range of IP addresses"]),
        ("1.0.0.9,1.0.0.0,1,a\n", ["1: the range 1.0.0.9 to 1.0.0.0 ends before it begins"]),
        ("1.0.0.0,1.0.0.9,1,a\n1.0.0.9,1.0.0.20,1,a\n", ["2: 1.0.0.9 is not above the range before: rows must ascend and not overlap"]),
        ("1.0.0.0,1.0.0.9,one,a\n", ["1: asn: 'one' is no AS number"]),
        ("1.0.0.0,1.0.0.9,4294967296,a\n", ["1: asn: '4294967296' is no AS number"]),
        (f"{HEADER}\n1.0.0.0,1.0.0.9,China,1,a\n", ["2: country: 'China' is not two capital letters (ISO 3166)"]),
        ('1.0.0.0,1.0.0.9,1,"a\n', ["1: no CSV: unexpected end of data"]),
    ],
)  # fmt: skip
def test_faults_are_told_by_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(tmp_path, text) == expected


def test_a_file_of_another_kind_does_not_flood_the_log(tmp_path: Path) -> None:
    assert len(faults(tmp_path, "a,b,c,d\n" * 5000)) == 20


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"1.0.0.0,1.0.0.9,1,\xe9\n")
    (tmp_path / "broken.mmdb").write_bytes(b"no such format")
    for name, reason in (
        ("none.csv", "cannot be read: No such file or directory"),
        ("latin.csv", "is not UTF-8"),
        ("none.mmdb", "cannot be read: No such file or directory"),
        ("broken.mmdb", "is no MMDB file"),
    ):
        with pytest.raises(ListError, match=reason):
            load_networks(tmp_path / name)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"autonomous_system_number": 4134, "autonomous_system_organization": "Chinanet"}, Network(asn=4134, name="Chinanet")),
        ({"country": {"iso_code": "CN"}}, Network(country="CN")),
        ({"country_code": "CN"}, Network(country="CN")),
        ({"country": "CN", "asn": "AS4134", "as_name": "Chinanet"}, Network(country="CN", asn=4134, name="Chinanet")),
        ({"country": "China", "asn": "AS4134"}, None),
        ({"odd": "fields"}, Network()),
    ],
)  # fmt: skip
def test_an_mmdb_file_whoever_made_it(tmp_path: Path, record: dict[str, object], expected: Network | None) -> None:
    path = tmp_path / "networks.mmdb"
    path.write_bytes(mmdb({ip_network("36.110.0.0/16"): record, ip_network("240e::/20"): record}))
    found = load_networks(path)
    assert found.lookup("36.110.9.9") == expected
    assert found.lookup("240e::1") == expected
    for address in ("36.111.0.1", "2001:db8::1", "x", ""):
        assert found.lookup(address) is None


def test_a_whole_table_loads_quickly(tmp_path: Path) -> None:
    """400,000 rows in under 2 s of processor time on the machine it was made on; a busy one gets more."""
    path, number = tmp_path / "whole.csv", 0x01000000
    with path.open("w") as file:
        for row in range(350_000):
            file.write(f"{IPv4Address(number)},{IPv4Address(number + 255)},{row % 70_000 + 1},Network {row % 70_000}\n")
            number += 512
        for row in range(50_000):
            start = (0x2001 << 112) + (row << 96)
            file.write(f"{IPv6Address(start)},{IPv6Address(start + (1 << 95))},{row + 1},Network {row}\n")
    began = time.process_time()
    found = load_networks(path)
    assert time.process_time() - began < 5
    assert found.lookup("1.0.2.1") == Network(asn=2, name="Network 1")
    assert found.lookup("1.0.1.1") is None

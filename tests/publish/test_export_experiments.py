"""Experiments and packets as they are exported: nothing that leads to the vantage, and the same verdict."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import msgspec
import pytest

from monitor.judge.analyze import analyze
from monitor.publish.export import capture
from monitor.publish.export.documents import line
from monitor.publish.export.redact import redact
from monitor.publish.record import read_json
from probes.experiment import AnyOperation, Experiment
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement

from . import sample, tried
from .stored import FINGERPRINTS, packed, stored
from .test_export_package import table
from .test_export_redact import OWN, OWN_6, check, dirty, is_clean

CAPTURED = "192.0.2.1"
CHECKSUM = b"\x12\x34"


def routers(made: Measurement) -> list[str]:
    return [t.router for e in made.experiments for t in e.tries if t.router]


def captured(made: Measurement, *found: bytes, missing: int = 0) -> Measurement:
    return msgspec.structs.replace(made, pcap=tried.capture(*found, missing=missing))


def published(made: Measurement) -> bytes:
    """The packets that are exported of a measurement, without the file's header."""
    return check(made, FINGERPRINTS).measurement.pcap[24:]


def test_the_verdict_stays_and_everything_is_still_there() -> None:
    made, verdict = tried.tried()
    found = check(made, FINGERPRINTS, verdict)
    assert found.kinds == ("hash", "resolver", "router")
    assert [(e.kind, e.place, len(e.tries)) for e in found.measurement.experiments] == [
        (e.kind, e.place, len(e.tries)) for e in made.experiments
    ]
    assert found.measurement.flows == made.flows and found.measurement.pcap == tried.PCAP
    assert {tried.LISTENER, tried.SILENT} <= {t.address for e in found.measurement.experiments for t in e.tries}


def test_the_first_routers_are_told_by_their_class() -> None:
    """Two hops and every private network lead to the vantage; what comes after may be the censor's."""
    made, _verdict = tried.tried()
    found = check(made, FINGERPRINTS).measurement
    assert routers(made) == list(tried.HOPS)
    assert routers(found) == ["private-1", "global-2", "shared-3", "202.97.12.9"]
    text = line(made, analyze(made, FINGERPRINTS), fingerprints=FINGERPRINTS, version="0")
    assert not any(address.encode() in text for address in tried.HOPS[:3])


def test_a_router_that_is_the_nameserver_has_one_name() -> None:
    made, _verdict = tried.tried()
    own = [
        msgspec.structs.replace(op, server=f"{tried.HOPS[0]} 53") if getattr(op, "resolver", "") == "system" else op
        for op in made.operations
    ]
    found = check(msgspec.structs.replace(made, operations=tuple(own)), FINGERPRINTS).measurement
    assert {getattr(op, "server", "") for op in found.operations} == {"", "private-1 53"}


def test_a_reason_that_names_a_near_router_names_its_stand_in() -> None:
    made, verdict = tried.tried()
    told = msgspec.structs.replace(verdict, reason=f"reset at {tried.HOPS[2]}, not at {tried.HOPS[3]}")
    assert redact(made, told, FINGERPRINTS).verdict.reason == "reset at shared-3, not at 202.97.12.9"


def test_the_nameservers_of_experiments_are_redacted_too() -> None:
    made, _verdict = tried.tried()
    own = msgspec.structs.replace(sample.lookup(75.0), server="10.9.8.7 53")
    search = msgspec.structs.replace(tried.experiments()[8], tries=(tried.attempt("六四", 75.0, [own]),))
    found = check(msgspec.structs.replace(made, experiments=(search,)), FINGERPRINTS).measurement
    assert getattr(found.experiments[0].tries[0].operations[0], "server", "").startswith("private-")


def replaced(experiments: tuple[Experiment, ...], change: object) -> tuple[Experiment, ...]:
    """The experiments with every operation changed."""
    return tuple(
        msgspec.structs.replace(e, tries=tuple(
            msgspec.structs.replace(t, operations=tuple(change(op) for op in t.operations)) for t in e.tries  # type: ignore[operator]
        )) for e in experiments
    )  # fmt: skip


def test_what_pages_print_in_experiments_is_replaced() -> None:
    def soiled(op: AnyOperation) -> AnyOperation:
        if not isinstance(op, HTTPRoundTrip):
            return op
        return msgspec.structs.replace(
            op, title=f"Hello {OWN}", location=f"http://x.example/?{OWN_6}", headers=(("Set-Cookie", f"a={OWN}"),)
        )

    made, verdict = tried.tried()
    made = dirty(msgspec.structs.replace(made, experiments=replaced(made.experiments, soiled)))
    assert is_clean(made, verdict, FINGERPRINTS)
    assert {"address", "cookie"} <= set(check(made, FINGERPRINTS).kinds)


@pytest.mark.parametrize("same", [True, False])
def test_pages_that_are_not_published_stay_alike_or_apart(same: bool) -> None:
    """A listener's page under every name but one is evidence; its bytes are not in the record."""
    pages = [tried.http(name, 3.0 + n, port=20000 + n, body=b"neutral" if same or name != tried.NAME else b"blocked")
             for n in range(3) for name in (tried.CONTROL, tried.NAME)]  # fmt: skip
    host = Experiment(kind="host", place="neutral", started=3.0, tries=tuple(pages))
    made, _verdict = tried.tried(name="http://example.com/")
    verdict = check(msgspec.structs.replace(made, experiments=(host,)), FINGERPRINTS).verdict
    assert ("http.blockpage" in verdict.techniques) is not same


# Packets


def test_packets_of_recorded_steps_stay_as_they_are() -> None:
    made, _verdict = tried.tried()
    there = tried.tcp_segment(sample.ADDRESS, CAPTURED, b"\x16\x03\x01 hello")
    here = tried.tcp_segment(CAPTURED, tried.LISTENER)
    assert check(captured(made, there, here), FINGERPRINTS).measurement.pcap == tried.capture(there, here)


def test_packets_of_anybody_else_are_left_out() -> None:
    made, _verdict = tried.tried()
    mine = tried.tcp_segment(sample.ADDRESS, CAPTURED)
    near = tried.tcp_segment(tried.HOPS[1], CAPTURED, protocol=1)
    far = tried.tcp_segment(tried.HOPS[3], CAPTURED, protocol=1)
    for other in (OWN, "192.168.1.5", "8.8.4.4"):
        strange = tried.tcp_segment(other, CAPTURED)
        found = check(captured(made, strange, near, mine, far, b"", b"\x45" * 9), FINGERPRINTS)
        assert found.measurement.pcap.count(mine) == 1 and found.measurement.pcap.count(far) == 1
        assert strange[12:16] not in found.measurement.pcap and near[12:16] not in found.measurement.pcap
        assert "packets" in found.kinds


def test_addresses_and_cookies_are_crossed_out_and_the_checksum_tells_nothing() -> None:
    made, _verdict = tried.tried()
    payload = f"HTTP/1.1 403\r\nX-Client: {OWN}\r\nset-cookie: id=s3cret\r\n\r\n{OWN_6}".encode()
    whole = tried.tcp_segment(sample.ADDRESS, CAPTURED, payload)
    found = published(captured(made, whole))
    assert len(found) == 16 + len(whole)
    assert OWN.encode() not in found and b"s3cret" not in found and OWN_6.encode() not in found
    assert b"X-Client: xxxxxxxxxx\r\n" in found
    assert CHECKSUM not in found[16 + 20 :] and found[16 + 36 : 16 + 38] == b"\xff\xff"


def test_the_checksum_over_bytes_that_were_cut_tells_nothing() -> None:
    made, _verdict = tried.tried()
    found = published(captured(made, tried.tcp_segment(sample.ADDRESS, CAPTURED, b"GET"), missing=9))
    assert found[16 + 36 : 16 + 38] == b"\xff\xff" and found.endswith(b"GET")
    assert struct.unpack_from("<II", found, 8) == (43, 52)


@pytest.mark.parametrize("file", [b"", b"x", b"\xd4\xc3\xb2\xa1" + bytes(20) + b"address", sample.HOSTILE.encode()])
def test_what_is_no_capture_of_ours_is_left_out(file: bytes) -> None:
    assert capture.redact(file, known=lambda _address: True, mask=str) == b""


def test_a_damaged_file_ends_where_it_is_damaged() -> None:
    whole = tried.capture(tried.tcp_segment(sample.ADDRESS, CAPTURED), tried.tcp_segment(sample.ADDRESS, CAPTURED))
    first = tried.capture(tried.tcp_segment(sample.ADDRESS, CAPTURED))
    for end in range(len(first), len(whole)):
        assert capture.redact(whole[:end], known=lambda _address: True, mask=str) == first


# The package


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = [tried.tried("a-1"), sample.calm("b-2", minutes=1), tried.tried("../c", minutes=2)]
    fine, _verdict = tried.tried("d-4", minutes=3)
    return stored(tmp_path_factory.mktemp("store") / "tried.db", [*made, (fine, sample.OK)])


def test_captures_are_files_beside_the_documents(database: Path, tmp_path: Path) -> None:
    folder = packed(database, tmp_path / "out", "jsonl")
    names = sorted(path.name for path in (folder / "pcap").iterdir())
    assert len(names) == 2 and names[1] == "a-1.pcap" and len(names[0]) == 37
    assert (folder / "pcap" / "a-1.pcap").read_bytes() == tried.PCAP
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and "pcap/a-1.pcap: OK" in checked.stdout, checked.stdout
    assert "| `pcap/` | " in (folder / "README.md").read_text()
    documents = [json.loads(row) for row in (folder / "measurements.jsonl").read_bytes().splitlines()]
    assert [bool(document["facts"].get("pcap")) for document in documents] == [True, False, True, False]
    for document in documents[:3]:
        assert analyze(read_json(document), FINGERPRINTS).outcome == document["verdict"]["outcome"]


def test_the_tables_have_neither_packets_nor_other_columns(database: Path, tmp_path: Path) -> None:
    folder = packed(database, tmp_path / "out")
    assert not (folder / "pcap").exists() and "pcap" not in (folder / "README.md").read_text()
    assert len(table(folder, "measurements.csv")) == 4


def test_an_exported_capture_opens_in_tshark(database: Path, tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    file = packed(database, tmp_path / "out", "jsonl") / "pcap" / "a-1.pcap"
    fields = ["-T", "fields", "-e", "ip.src", "-e", "tcp.flags.reset"]
    shown = subprocess.run([tshark, "-n", "-r", file, *fields], capture_output=True, text=True, check=True).stdout
    assert [row.split()[0] for row in shown.splitlines()] == [sample.ADDRESS] * 2
    assert [row.split()[1] for row in shown.splitlines()] in (["0", "1"], ["False", "True"])

"""Capturing between real hosts in namespaces, with true and forged resets: see `capture_story`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from blocklists.resets import match
from probes import resets
from probes.packets import Flow

from .capture_story import NOBODY, PORT, SCENES, Told
from .test_capture import ROOT, read_by_tshark
from .wire import CLIENT, CLIENT6, SERVER, SERVER6

ALL = [*SCENES, "bound", "forwarded"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    alone = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount", "--net"]
    isolate = ["unshare", *alone]
    build = [*isolate, "ip", "link", "add", "br0", "type", "bridge"]
    if shutil.which("ip") is None or subprocess.run(build, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow network namespaces with bridges")
    command = [*isolate, sys.executable, "-W", "error", "-m", "tests.probes.capture_story", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def told(story: Path, name: str) -> Told:
    return msgspec.json.decode((story / f"{name}.json").read_bytes(), type=Told)


def only(story: Path, name: str) -> Flow:
    [flow] = told(story, name).flows
    return flow


@pytest.mark.parametrize("name", ["answered", "bound", "crowded"])
def test_both_directions_and_each_packet_once_though_two_interfaces_show_it(story: Path, name: str) -> None:
    flow = only(story, name)
    assert [p.flags for p in flow.packets if not p.inbound][:3] == ["S", "A", "PA"]
    assert [p.flags for p in flow.packets if p.inbound][:3] == ["SA", "A", "PA"]
    assert len({(p.inbound, p.flags, p.sequence, p.acknowledged, p.ip_id) for p in flow.packets}) == len(flow.packets)
    assert {p.ttl for p in flow.packets if p.inbound} == {63}  # one router between
    assert flow.port == PORT
    trip = resets.round_trip(flow)
    assert trip is not None
    assert 0 < trip < 0.02


def test_a_servers_own_reset_is_like_its_other_packets(story: Path) -> None:
    flow = only(story, "reset")
    assert told(story, "reset").error == "ConnectionResetError"
    assert resets.server_ttls(flow) == (63,)
    assert resets.ttl_differences(flow) == (0,)
    assert resets.spoken_after_reset(flow) == ()
    later, trip = resets.after_last_data(flow), resets.round_trip(flow)
    assert later is not None and trip is not None
    assert later > 0.05 > trip
    assert match(flow.resets) == ()


def test_forged_resets_differ_and_the_server_goes_on(story: Path) -> None:
    flow = only(story, "forged")
    assert told(story, "forged").error == "ConnectionResetError"
    assert [(p.flags, p.ttl, p.ip_id, p.df, p.window) for p in flow.resets] == [
        *[("RA", 200, 0x0A03, True, 79)] * 3, ("R", 100, 0, False, 64),
    ]  # fmt: skip
    assert resets.ttl_differences(flow) == (137, 137, 137, 37)
    [late] = resets.spoken_after_reset(flow)
    assert (late.ttl, late.length > 500) == (63, True)
    soon = resets.after_last_data(flow)
    assert soon is not None
    assert soon < 0.02
    assert [pattern.name for pattern in match(flow.resets)] == ["gfw-type-1", "gfw-type-2"]


def test_the_same_over_ipv6(story: Path) -> None:
    flow = only(story, "forged6")
    assert flow.address == SERVER6
    assert [(p.flags, p.ttl, p.ip_id) for p in flow.resets] == [("R", 250, None)]
    assert resets.ttl_differences(flow) == (187,)
    assert len(resets.spoken_after_reset(flow)) == 1
    assert match(flow.resets) == ()


def test_a_reset_to_a_syn(story: Path) -> None:
    flow = only(story, "refused")
    assert [(p.flags, p.inbound) for p in flow.packets] == [("S", False), ("RA", True)]
    assert resets.ttl_differences(flow) == (None,)
    assert resets.round_trip(flow) is None
    assert match(flow.resets) == ()


@pytest.mark.parametrize(
    ("name", "text", "router"),
    [
        ("expired", "Time-to-live exceeded", "10.7.1.1"),
        ("expired6", "Time Exceeded", "fd00:7:1::1"),
        ("unreachable", "Destination unreachable (Host unreachable)", "10.7.1.1"),
    ],
)
def test_errors_of_routers_are_in_the_file(story: Path, tmp_path: Path, name: str, text: str, router: str) -> None:
    said = read_by_tshark(tmp_path, (story / f"{name}.pcap").read_bytes()).splitlines()
    assert len(said) == 2
    assert "[SYN]" in said[0]
    assert text in said[1] and router in said[1]
    assert [p.flags for p in only(story, name).packets] == ["S"]
    assert only(story, name).address in (SERVER, SERVER6, NOBODY)


def test_a_flood_of_forged_packets_hides_no_connection(story: Path) -> None:
    flow = told(story, "flooded").flows[-1]
    assert [p.flags for p in flow.packets][:4] == ["S", "SA", "A", "PA"]
    assert len(flow.resets) == 1
    counts = told(story, "flooded").counts
    assert counts["kept"] < 64 + 20
    assert counts["room"] > 900


@pytest.mark.parametrize("name", ["elsewhere", "forwarded"])
def test_what_is_not_ours_is_not_kept(story: Path, name: str) -> None:
    assert told(story, name).flows == ()
    assert len((story / f"{name}.pcap").read_bytes()) == 24
    assert told(story, name).counts == ({"foreign": 10} if name == "forwarded" else {})


def test_datagrams_are_in_the_file_only(story: Path, tmp_path: Path) -> None:
    assert told(story, "resolver").flows == ()
    assert told(story, "resolver").counts == {"kept": 2}
    assert len(read_by_tshark(tmp_path, (story / "resolver.pcap").read_bytes()).splitlines()) == 2


@pytest.mark.parametrize("name", ALL)
def test_no_file_tells_who_measured_or_is_malformed(story: Path, tmp_path: Path, name: str) -> None:
    data = (story / f"{name}.pcap").read_bytes()
    checks = ("-o", "ip.check_checksum:TRUE")
    said = read_by_tshark(tmp_path, data, "-V", *checks)
    for address in (CLIENT, CLIENT6):
        assert address not in said
        assert address.encode() not in data
    assert bytes([10, 7, 1, 2]) not in data
    assert "alformed" not in said
    assert "Header checksum status: Bad" not in said
    assert (
        "[Header checksum status: Good]" in said
        or name in ("elsewhere", "forwarded")
        or name.endswith("6")
        or name == "crowded"
    )


def test_checksums_of_the_wire_are_right_in_the_file(story: Path, tmp_path: Path) -> None:
    """The forger's own, over both addresses: they were computed before the packet was sent."""
    checks = ("-o", "tcp.check_checksum:TRUE", "-Y", "ip.ttl == 200 || ip.ttl == 100 || ipv6.hlim == 250")
    for name, count in (("forged", 4), ("forged6", 1)):
        said = read_by_tshark(tmp_path, (story / f"{name}.pcap").read_bytes(), "-V", *checks)
        assert said.count("[Checksum Status: Good]") == count, said

"""Verdicts through a real SOCKS5 server and a real HTTP proxy, with a simulated Internet and its censor behind them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from probes.capability import ADDRESSES, CLOSE_REASONS, PACKETS, QUIC, SYSTEM_DNS, UDP
from tests.network.kernel import unshare
from tests.probes.proxies import missing

from .proxied import Told
from .proxied_scenarios import BOTH, SCENARIOS, Proxied

ROOT = Path(__file__).resolve().parents[2]
CASES = [(kind, scenario) for scenario in SCENARIOS for kind in scenario.kinds]
Played = Mapping[str, Mapping[str, Told]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """How every scenario came out, by kind and name; both kinds play at the same time."""
    if missing():
        pytest.skip(f"{missing()} missing")
    if subprocess.run([*unshare(), "true"], capture_output=True).returncode:
        pytest.skip("the kernel refuses namespaces")
    running = {kind: _begin(kind, tmp_path_factory.mktemp(kind)) for kind in BOTH}
    try:
        yield {kind: _told(process) for kind, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def _begin(kind: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [*unshare(), sys.executable, "-m", "tests.collect.proxied", kind, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _told(process: subprocess.Popen[bytes]) -> dict[str, Told]:
    told, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors.decode()[-2000:]
    return {line.name: line for line in msgspec.json.Decoder(Told).decode_lines(told)}


@pytest.mark.timeout(180)  # the first one waits for all
@pytest.mark.parametrize(("kind", "scenario"), CASES, ids=lambda v: v if isinstance(v, str) else v.name)
def test_a_verdict(kind: str, scenario: Proxied, played: Played) -> None:
    told = played[kind][scenario.name]
    assert (told.outcome, told.technique, told.cause) == (scenario.outcome, scenario.technique, scenario.cause), told
    assert not scenario.rule or scenario.rule in told.rules, told
    assert scenario.said in told.reason, told.reason


@pytest.mark.parametrize("kind", BOTH)
def test_what_was_not_measured_is_said_and_not_recorded(kind: str, played: Played) -> None:
    for told in played[kind].values():
        assert set(told.blind) == {SYSTEM_DNS, UDP, QUIC, CLOSE_REASONS, PACKETS, ADDRESSES}
        assert "Not measured from here: the answers of its own resolver" in told.reason
        assert {engine for engine, _failure in told.lookups} <= {"doh"}
    cut = played[kind]["reset on the name"]
    assert ("injection", "not possible through a proxy") in cut.left_out


@pytest.mark.parametrize("kind", BOTH)
def test_an_encrypted_resolver_is_asked_by_its_name(kind: str, played: Played) -> None:
    assert ("doh", None) in played[kind]["a page over TLS"].lookups


@pytest.mark.parametrize("kind", BOTH)
def test_the_plain_client_has_the_name_and_the_controls_addresses_are_dialled_too(kind: str, played: Played) -> None:
    contacts = played[kind]["a page over TLS"].contacts
    assert {address for address, _attempt, _failure in contacts} == {"site.example", "93.184.215.34"}

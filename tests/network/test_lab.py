"""The lab itself: is it as real as it says, and does it leave nothing behind?"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from . import plan
from .conftest import Answers, need_a_lab
from .kernel import unshare
from .packet import ACK, RST
from .rules import FORGED, FORGED_SIX
from .run import ROOT, lab_run

TRUE = ["93.184.215.34"]
pytestmark = pytest.mark.timeout(300)


def seen(answers: Answers, name: str) -> dict[str, Any]:
    found = answers.of(name).seen
    assert found is not None
    return found


def test_hops(answers: Answers) -> None:
    assert seen(answers, "hops") == {"1": plan.LEAVES[0], "2": plan.BORDER[0], "3": True, "counts": {}}


def test_forged_answers(answers: Answers) -> None:
    looked = seen(answers, "forged_answers")
    resolver = looked["resolver"]
    assert [a["records"] for a in resolver[:-1]] == [[a] for a in FORGED[:3]]
    assert resolver[-1]["records"] == TRUE  # it comes late, and comes
    assert [a["edns"] for a in resolver] == [-1, -1, -1, 0]
    assert len({a["ttl"] for a in resolver}) >= 3
    assert [a["records"] for a in looked["six"][:2]] == [[a] for a in FORGED_SIX]
    assert len(looked["silent"]) == 3  # it runs no resolver
    assert [len(looked[other]) for other in ("other", "silent other")] == [1, 0]


@pytest.mark.parametrize("kind", ["I", "II", "III", "henan"])
def test_resets(kind: str, answers: Answers) -> None:
    looked = seen(answers, f"resets_{kind}")
    assert looked["first"] == "ConnectionResetError"
    assert looked["again"] == ("TLSv1.3" if kind == "henan" else "ConnectionResetError")  # residual
    assert looked["elsewhere"] == "TLSv1.3"
    resets = [p for p in looked["packets"] if p["flags"] & RST]
    own = [p for p in looked["packets"] if not p["flags"] & RST]
    if kind == "I":
        assert [(p["flags"], p["id"], p["df"]) for p in resets] == [(RST, 0, False)]
    elif kind == "II":
        assert [(p["flags"], p["df"]) for p in resets] == [(RST | ACK, True)] * 3
        assert len({p["id"] for p in resets}) == 3
    elif kind == "III":
        assert [(p["flags"], p["df"]) for p in resets] == [(RST | ACK, False)]
        assert 0x9916 <= resets[0]["id"] <= 0x9933
        assert resets[0]["ttl"] == 247  # 248 at the border, one router further
    else:
        assert [(p["flags"], p["id"], p["df"], p["payload"]) for p in resets] == [
            (RST | ACK, 1, False, "01020304050607080900")
        ]
    assert {p["ttl"] for p in own} == {62}
    assert resets[0]["ttl"] != 62
    assert looked["packets"].index(own[-1]) > looked["packets"].index(resets[-1])  # the server goes on


def test_residual(answers: Answers) -> None:
    looked = seen(answers, "residual")
    assert [looked[k] for k in ("hit", "soon", "late")] == ["ConnectionResetError", "ConnectionResetError", "TLSv1.3"]


def test_quic_name(answers: Answers) -> None:
    looked = seen(answers, "quic_name")
    assert [looked[k] for k in ("before", "name", "after")] == ["passed", "timeout", "timeout"]
    assert looked["counts"]["quic"] == 1
    assert looked["counts"]["drop quic"] >= 2


def test_throttling(answers: Answers) -> None:
    looked = seen(answers, "throttling")
    assert 60_000 < looked["name"] < 180_000
    assert looked["other"] > 10 * looked["name"]
    assert looked["counts"]["throttled"] > 5


def test_phrases(answers: Answers) -> None:
    looked = seen(answers, "phrases")
    assert looked["utf8"] == looked["gb18030"] == looked["host"] == "ConnectionResetError"
    assert looked["cookie only"].startswith("HTTP/1.1 ")
    assert looked["clean"].startswith("HTTP/1.1 ")


def test_wrong_certificate(answers: Answers) -> None:
    looked = seen(answers, "wrong_certificate")
    assert (looked["name"], looked["other"]) == ("SSLCertVerificationError", "TLSv1.3")


def test_split_hello(answers: Answers) -> None:
    assert seen(answers, "split_hello")["split"] == "ConnectionResetError"


def test_line_and_zone(answers: Answers) -> None:
    looked = seen(answers, "line_and_zone")
    assert 500_000 < looked["rate"] < 1_300_000
    assert (looked["broken"], looked["unchecked"]) == (2, 0)
    assert looked["beyond"] == "TimeoutError"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Killed in the middle, it takes its processes, its mounts and its namespaces with it."""
    need_a_lab()
    mark = f"lab-mark-{os.getpid()}"
    lab = subprocess.Popen(
        [*unshare(), sys.executable, "-c", _OPEN, mark], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert lab.stdout is not None
    assert lab.stdout.readline() == b"open\n"
    assert len(_processes(mark)) >= 3
    before = Path("/etc/resolv.conf").read_text()
    assert plan.SYSTEM not in before
    lab.send_signal(signal.SIGKILL)
    lab.wait()
    lab.stdout.close()
    until = time.monotonic() + 5
    while _processes(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _processes(mark)
    assert not Path("/run/lab").exists()


_OPEN = """
import os, sys, time
os.environ["LAB_MARK"] = sys.argv[1]
from tests.network.lab import Lab
with Lab(helpers=("A",)):
    print("open", flush=True)
    time.sleep(60)
"""


def _processes(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


def test_a_fault_in_the_lab_is_told() -> None:
    need_a_lab()
    (answer,) = list(lab_run(looks=["no such look"]))
    assert "KeyError" in answer.fault

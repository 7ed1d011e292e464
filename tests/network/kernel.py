"""Whether this machine can have a lab, and the command that gives it a kernel's view of its own."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def missing() -> str:
    """The programs that the lab needs and that are not here, though they could be installed."""
    lacking = [p for p in ("unshare", "ip", "tc", "nginx", "unbound") if shutil.which(p, path=PATH) is None]
    return f"{', '.join(lacking)} missing" if lacking else ""


def why_not() -> str:
    """What keeps this machine from having a lab; empty where nothing does."""
    if missing():
        return missing()
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun missing"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        tried = subprocess.run([*unshare(), "true"], capture_output=True, text=True, timeout=10)
        return "" if tried.returncode == 0 else f"the kernel refuses namespaces: {tried.stderr.strip()}"
    return "unshare does not run"


def unshare() -> list[str]:
    """The command that gives what follows a network, mounts and processes of its own."""
    kinds = "-nmp" if os.geteuid() == 0 else "-Urnmp"
    return [shutil.which("unshare", path=PATH) or "unshare", kinds, "--fork", "--kill-child"]

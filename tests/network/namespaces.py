"""Network namespaces: made, entered by a thread or a process, and joined by pairs of interfaces."""

import ctypes
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWNET, _CLONE_NEWNS, _CLONE_FS = 0x40000000, 0x00020000, 0x00000200
_MS_BIND = 4096
_libc = ctypes.CDLL(None, use_errno=True)
_RUN = Path("/run/netns")
_FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
_QUIET = {
    "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/accept_local": "1", "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/all/accept_dad": "0", "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0", "net/ipv6/conf/default/router_solicitations": "0",
    "net/ipv4/icmp_ratelimit": "0", "net/ipv4/icmp_msgs_per_sec": "100000", "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/ip_nonlocal_bind": "1", "net/ipv6/ip_nonlocal_bind": "1",  # an address of a whole prefix
    "net/ipv4/tcp_no_metrics_save": "1", "net/ipv4/ping_group_range": "0 0",
}  # fmt: skip


def enter(name: str) -> None:
    """Move the calling thread into the namespace; threads and processes that it starts are born there."""
    with (_RUN / name).open() as file:
        _check(_libc.setns(file.fileno(), _CLONE_NEWNET), f"setns {name}")


def own_resolv_conf(path: Path) -> None:
    """Give the calling thread, and those that it starts, a resolv.conf of their own."""
    _check(_libc.unshare(_CLONE_FS | _CLONE_NEWNS), "unshare")
    bind(path, Path("/etc/resolv.conf"))


def bind(source: Path, place: Path) -> None:
    """Mount a file over another, in this mount namespace."""
    _check(_libc.mount(os.fsencode(source), os.fsencode(place), None, _MS_BIND, None), f"mount over {place}")


def make(name: str, *commands: str, forwards: bool = False) -> None:
    """A namespace with loopback up, then `ip` commands in it."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    run(name, ["link set lo up", *commands])
    tune(name, {**_QUIET, **(dict.fromkeys(_FORWARDING, "1") if forwards else {})})


def remove(name: str) -> None:
    """Remove it; the interfaces in it go with it, and so do their other ends."""
    subprocess.run(["ip", "netns", "del", name], check=False)


def run(name: str, commands: Iterable[str]) -> None:
    """`ip` commands in a namespace, those that begin with -6 last. Raises RuntimeError with what ip said."""
    given = list(commands)
    for family in ([], ["-6"]):
        some = [c.removeprefix("-6 ") for c in given if c.startswith("-6 ") == bool(family)]
        if not some:
            continue
        text = "\n".join(some)
        done = subprocess.run(["ip", "-n", name, *family, "-batch", "-"], input=text, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{name}: {text}\n{done.stderr}")


def tune(name: str, settings: dict[str, str]) -> None:
    """Write sysctls of a namespace; those that this kernel lacks are left out."""
    script = "\n".join(f"echo {value} > /proc/sys/{key} 2>/dev/null" for key, value in settings.items())
    subprocess.run(["ip", "netns", "exec", name, "sh", "-c", script], check=False, stderr=subprocess.DEVNULL)


def join(one: str, other: str) -> None:
    """Two namespaces by a pair of interfaces, each called as the namespace at its far end."""
    run(one, [f"link add {other} type veth peer name {one} netns {other}", f"link set {other} up"])
    run(other, [f"link set {one} up"])


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")

"""Real proxies on free ports of loopback, as processes of their own that see only the hosts that a test gives them."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
SOCKS5, HTTP = "microsocks", "tinyproxy"
_RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"  # nobody is there: names come from hosts alone


def free_port() -> int:
    """A port of loopback at which nobody listens at present."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def missing() -> str:
    """The programs that are not installed."""
    return ", ".join(p for p in (SOCKS5, HTTP, "unshare") if shutil.which(p, path=PATH) is None)


class RunningProxy:
    """A proxy's URL, and its process."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url, self._process = url, process

    async def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def proxy(
    program: str, folder: Path, *, hosts: Mapping[str, str] | None = None, user: str = "", password: str = ""
) -> AsyncIterator[RunningProxy]:
    """A proxy for which each name of `hosts` has one address, and no other name exists. Skips where none can be."""
    if missing():
        pytest.skip(f"{missing()} missing")
    port = free_port()
    command = (_socks5 if program == SOCKS5 else _http)(folder, port, user, password)
    scheme = "socks5" if program == SOCKS5 else "http"
    process = await asyncio.create_subprocess_exec(
        *_apart(folder, hosts or {}), *command, env={"PATH": PATH},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    running = RunningProxy(f"{scheme}://{f'{user}:{password}@' if user else ''}127.0.0.1:{port}", process)
    try:
        await _listening(port, process)
        yield running
    finally:
        await running.stop()


def _apart(folder: Path, hosts: Mapping[str, str]) -> list[str]:
    """What gives a process files of its own in the place of /etc/hosts and /etc/resolv.conf."""
    (folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))
    (folder / "resolv.conf").write_text(_RESOLV_CONF)
    script = f'mount --bind {folder}/hosts /etc/hosts && mount --bind {folder}/resolv.conf /etc/resolv.conf && exec "$@"'
    return ["unshare", "-m" if os.geteuid() == 0 else "-Urm", "sh", "-c", script, "sh"]


def _socks5(_folder: Path, port: int, user: str, password: str) -> list[str]:
    return [SOCKS5, "-i", "127.0.0.1", "-p", str(port), *(["-u", user, "-P", password] if user else [])]


def _http(folder: Path, port: int, user: str, password: str) -> list[str]:
    path = folder / "tinyproxy.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 100", "DisableViaHeader Yes"]
    path.write_text("\n".join([*lines, *([f"BasicAuth {user} {password}"] if user else []), ""]))
    return [HTTP, "-d", "-c", str(path)]


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(200):
        if process.returncode is not None:
            pytest.skip("the kernel refuses a proxy with files of its own")
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise AssertionError("the proxy does not listen")

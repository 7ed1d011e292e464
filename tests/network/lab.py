"""The lab: built once a run inside namespaces of its own, and gone with the process that built it.

`Lab` must be opened inside `unshare`, see `kernel` and `run`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.pki import TestAuthority

from . import dns_zone, namespaces, plan, sites, web
from .digging import dig, route
from .kernel import PATH
from .link import Client
from .rules import Rule
from .seat import Seat
from .told import UP, Told

_MOUNTED = Path("/run")
_CONTROLS = "url,category_code,category_description,date_added,source,notes\n"


class Lab:
    """The whole network from `__enter__` to `__exit__`: routers, links, servers, helpers."""

    def __init__(self, *, helpers: Sequence[str] = tuple(plan.HELPERS)) -> None:
        os.environ["PATH"] = PATH
        self.folder = _MOUNTED / "lab"
        self.root = self.folder / "root.pem"
        self.helpers = tuple(helpers)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._clients = 0
        self._lock = threading.Lock()
        self.link: Told
        self.servers: Told
        self.authority: TestAuthority

    def __enter__(self) -> Self:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", str(_MOUNTED)], check=True)
        self.folder.mkdir()
        (self.folder / "resolv.conf").write_text(f"nameserver {plan.SYSTEM}\noptions timeout:1 attempts:2\n")
        namespaces.bind(self.folder / "resolv.conf", Path("/etc/resolv.conf"))
        dig()
        self.link = Told("link", "r1:r2:box", "ctl-b:r2")
        self._write()
        self.servers = Told("odd", str(self.folder))
        self.link.ready()
        route()
        self._start("sites", "unbound", "-d", "-c", f"{self.folder}/unbound.conf")
        for name in ("sites", "crowd"):
            own = f"{self.folder}/{name}"
            self._start(name, "nginx", "-p", str(self.folder), "-c", f"{own}.conf", "-e", f"{own}.log")
        self.servers.ready()
        for name in self.helpers:
            command = (sys.executable, "-m", "monitor.cli", "helper", "--config", f"{self.folder}/helper-{name}.toml")
            self._start(plan.HELPERS[name].name, *command)
        self._watch_helper()
        self._wait_for_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self._processes:
            process.terminate()
        self.link.close()
        self.servers.close()
        for process in (*self._processes, self.link.process, self.servers.process):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def client(self, how: Client) -> Seat:
        """A new client behind r1, with its own addresses, whose packets are treated so."""
        with self._lock:
            self._clients += 1
            number = self._clients
        return Seat(self.folder, self.link, self.servers, number, how)

    def _write(self) -> None:
        """Certificates, and the configuration of every server."""
        pki = self.folder / "pki"
        pki.mkdir()
        self.authority = authority = TestAuthority(pki)
        shutil.copy(authority.root, self.root)
        own = {s.name: str(web.certificate(s, authority)) for s in sites.SITES if s.by != "nginx" or s.h3}
        own["dns.example"] = str(authority.issue("dns.example", plan.ENCRYPTED))
        (self.folder / "certificates.json").write_text(json.dumps(own))
        (self.folder / "unbound.conf").write_text(dns_zone.configuration(self.folder))
        (self.folder / "sites.conf").write_text(web.sites_configuration(self.folder, authority))
        (self.folder / "crowd.conf").write_text(web.crowd_configuration(self.folder, authority))
        rows = [f"https://{name}/,CTRL,Control content,2026-01-01,lab," for name in sites.CONTROLS]
        (self.folder / "controls.csv").write_text(_CONTROLS + "\n".join(rows) + "\n")
        for name, house in plan.HELPERS.items():
            (self.folder / f"helper-{name}.toml").write_text(
                f'[probe]\nca_file = "root.pem"\n[helper]\nlisten = "0.0.0.0:{plan.HELPER_PORT}"\n'
                f'public = "{house.address}"\nsilent = "{plan.SILENT}"\n'
                'neutral = ["0.0.0.0:443", "0.0.0.0:80", "0.0.0.0:20000-20015"]\nsink = ["0.0.0.0:20100-20119"]\n'
            )

    def _start(self, namespace: str, *command: str) -> None:
        with (self.folder / f"{namespace}-{Path(command[0]).name}.out").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", namespace, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )

    def _watch_helper(self) -> None:
        house = plan.HELPERS[plan.CENSORED]
        self.link.tell(do="watch", client=[house.address, house.six], how=Client())

    def censor_helper(self, rules: Sequence[Rule]) -> None:
        """Rules for the helper that has a censor of its own, beside those it has."""
        self.link.tell(do="add", client=[plan.HELPERS[plan.CENSORED].address], rules=list(rules))

    def _wait_for_all(self) -> None:
        """Until every server answers, as a client sees it."""
        with self.client(Client(delay=0.0)) as seat:
            places = [("93.184.215.34", 443), ("142.250.1.1", 443), (plan.SYSTEM, 53), (plan.ENCRYPTED, 443)]
            places += [(plan.HELPERS[name].address, plan.HELPER_PORT) for name in self.helpers]
            try:
                seat.run(lambda: _all_answer(places))
            except RuntimeError as error:
                logs = [p for end in ("out", "log") for p in sorted(self.folder.glob(f"*.{end}"))]
                said = "\n".join(f"{p.name}: {p.read_text()[-2000:]}" for p in logs if p.stat().st_size)
                raise RuntimeError(f"{error}\n{said}") from None


def _all_answer(places: Sequence[tuple[str, int]]) -> None:
    until = time.monotonic() + UP
    for place in places:
        while True:
            try:
                socket.create_connection(place, 1).close()
                break
            except OSError as error:
                if time.monotonic() > until:
                    raise RuntimeError(f"{place} does not answer: {error}") from None
                time.sleep(0.05)

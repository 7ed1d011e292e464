"""Every kind of vantage at once, in the lab: one real service, two tunnels, two proxies, two agents, four remote methods.

All processes are the real ones: `wallwatch run`, `wallwatch agent`, `wallwatch helper`, microsocks, tinyproxy. Those
vantages called `cut` cross the link with a censor, those called `clear` without. The remote ones measure across the
same link: what lies behind it is the network that they look into.
"""

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import plan, rules
from .lab import Lab
from .link import Client
from .looks import look
from .seat import Seat

_OTHERS = (rules.gfw_dns("pair.example"), rules.block_page("both.example"), rules.blackhole("93.184.219.11"))
CENSOR = (rules.sni_reset("site.example", residual=20), rules.host_reset("plain.example", residual=20), *_OTHERS)
FORGETFUL = (rules.sni_reset("site.example", residual=0), rules.host_reset("plain.example", residual=0), *_OTHERS)
TARGETS = (
    "https://site.example/", "http://plain.example/", "https://pair.example/", "http://both.example/",
    "https://ech.example/", "https://six.example/", "https://dead.example/",
)  # fmt: skip
METHODS = ("injection", "resolvers", "servers", "sink")
AGENTS = ("agent-cut", "agent-clear")
PORT, SOCKS, WEB = 8443, 1080, 8888
PATIENCE = 200.0  # seconds until every vantage has measured every target
_HEADER = "url,category_code,category_description,date_added,source,notes\n"
PLACES = {
    "injection": f"{plan.SILENT},,dns,CN,\n{plan.NOWHERE},,dns,CN,\n",
    "resolvers": f"{plan.PUBLIC},,dns,CN,\n{plan.SYSTEM},,dns,CN,\n",
    "servers": "".join(f"93.184.{n},,https,CN,\n"
                       for n in ("216.1", "216.3", "219.3", "219.5", "217.8", "218.1", "218.2", "218.4", "219.9"))
    + "".join(f"93.184.{n},,http,CN,\n" for n in ("219.6", "217.8", "219.8", "218.7", "215.42", "219.9")),
    "sink": "".join(f"{plan.HELPERS['C'].address},{port},{kind},CN,\n"
                    for kind, first in (("https", 20100), ("http", 20110)) for port in range(first, first + 10)),
}  # fmt: skip


@look()
def fleet(lab: Lab, seat: Seat) -> dict[str, Any]:
    """The newest verdict of every vantage on every target, what the vantages say of themselves, and their agents."""
    folder = lab.folder / "fleet"
    folder.mkdir()
    with ExitStack() as open_:
        cut, clear, far = (lab.client(Client(rules=list(r))) for r in (CENSOR, (), FORGETFUL))
        for other, interface in ((cut, "wg0"), (clear, "wg1"), (far, "wg2")):
            open_.enter_context(other.beside(seat, interface))
        proxies = [open_.enter_context(lab.client(Client(rules=list(CENSOR)))) for _ in range(2)]
        open_.enter_context(_at(proxies[0], folder, "microsocks", "-p", str(SOCKS)))
        open_.enter_context(_at(proxies[1], folder, "tinyproxy", "-d", "-c", str(_tinyproxy(folder))))
        _configure(lab, seat, folder, [p.address for p in proxies])
        tokens = {name: _wallwatch(folder, "service", "enrol", name) for name in AGENTS}
        open_.enter_context(_at(seat, folder, sys.executable, "-m", "monitor.cli", "run", *_config(folder, "service")))
        for name, how in zip(AGENTS, (CENSOR, ()), strict=True):
            inside = open_.enter_context(lab.client(Client(rules=list(how))))
            _configure_agent(lab, folder, name, seat.address, tokens[name])
            open_.enter_context(_at(inside, folder, sys.executable, "-m", "monitor.cli", "agent", *_config(folder, name)))
        try:
            return _wait(Service(lab, seat.address))
        except Exception as error:
            raise RuntimeError(f"{error}\n{_logs(folder)}") from error


class Service:
    """The service as its readers see it."""

    def __init__(self, lab: Lab, address: str) -> None:
        self._base, self._context = f"https://{address}:{PORT}", ssl.create_default_context(cafile=str(lab.root))

    def get(self, path: str) -> Any:
        """A JSON document."""
        with urllib.request.urlopen(self._base + path, timeout=10, context=self._context) as answer:
            return json.load(answer)


def _wait(service: Service) -> dict[str, Any]:
    """Until all is measured; then all that was found."""
    vantages = {"tunnel-cut", "tunnel-clear", "socks", "web", *AGENTS, *(f"remote-{m}" for m in METHODS)}
    until, found = time.monotonic() + PATIENCE, dict[str, Any]()
    while len(found) < len(vantages) * len(TARGETS):
        if time.monotonic() > until:
            missing = {f"{v} {t}" for v in vantages for t in TARGETS} - found.keys()
            raise RuntimeError(f"never measured: {sorted(missing)}")
        time.sleep(1.0)
        try:
            cells = service.get("/api/v1/matrix")
        except OSError:
            continue
        found = {f"{c['vantage']} {c['target']}": c for c in _cells(cells)}
    verdicts = {name: service.get(f"/api/v1/measurements/{cell['uid']}")["verdict"] for name, cell in found.items()}
    return {"verdicts": verdicts, "vantages": service.get("/api/v1/vantages")}


def _cells(matrix: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (cell for cell in matrix["cells"] if cell["uid"])


def _configure(lab: Lab, seat: Seat, folder: Path, proxies: list[str]) -> None:
    """The service's configuration with every kind of vantage."""
    certificate = lab.authority.issue("service.example", seat.address)
    (folder / "targets.csv").write_text(
        _HEADER + "".join(f"{url},NEWS,News Media,2026-01-01,lab,\n" for url in TARGETS)
    )
    for method in METHODS:
        (folder / f"{method}.csv").write_text("address,port,protocol,country,asn\n" + PLACES[method])
    resolvers = json.dumps(["system", f"udp://{plan.PUBLIC}", plan.DOH])
    vantages = [
        f'name = "tunnel-cut"\ninterface = "wg0"\nresolvers = {resolvers}',
        f'name = "tunnel-clear"\ninterface = "wg1"\nresolvers = {resolvers}',
        f'name = "socks"\nkind = "socks5"\nproxy = "socks5://{proxies[0]}:{SOCKS}"',
        f'name = "web"\nkind = "http"\nproxy = "http://{proxies[1]}:{WEB}"',
        *(f'name = "{name}"\nkind = "agent"\n' for name in AGENTS),
        *(
            f'name = "remote-{m}"\nkind = "remote"\ninterface = "wg2"\nmethod = "{m}"\nplaces = "{m}.csv"\n'
            'contact = "https://lab.example/about"'
            for m in METHODS
        ),
    ]
    (folder / "service.toml").write_text(
        f'[service]\nlisten = "0.0.0.0:{PORT}"\ntargets = ["targets.csv"]\n'
        f'certificate = "{certificate}"\nkey = "{certificate}"\n'
        '[schedule]\nevery = "30m"\njitter = "1s"\n'
        f'[probe]\nca_file = "{lab.root}"\ntimeout = "2s"\n'
        f'[control]\nhelpers = ["{plan.helper_url("A")}", "{plan.helper_url("C")}"]\n'
        f'open = "{lab.folder / "controls.csv"}"\n' + "".join(f'[[vantage]]\ncountry = "CN"\n{v}\n' for v in vantages)
    )


def _configure_agent(lab: Lab, folder: Path, name: str, service: str, token: str) -> None:
    resolvers = json.dumps(["system", f"udp://{plan.PUBLIC}", plan.DOH])
    token_file = folder / f"{name}.token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    (folder / f"{name}.toml").write_text(
        f'[agent]\nservice = "https://{service}:{PORT}/"\ntoken_file = "{name}.token"\nspool = "{name}.db"\n'
        f'[probe]\nca_file = "{lab.root}"\ntimeout = "2s"\n'
        f'[[vantage]]\nname = "here"\nresolvers = {resolvers}\n'
    )


def _tinyproxy(folder: Path) -> Path:
    path = folder / "tinyproxy.conf"
    path.write_text(f"User nobody\nGroup nogroup\nPort {WEB}\nTimeout 60\nMaxClients 100\nConnectPort 443\n"
                    + "".join(f"ConnectPort {p}\n" for p in (80, *range(20000, 20016))))  # fmt: skip
    return path


def _config(folder: Path, name: str) -> tuple[str, str]:
    return "--config", str(folder / f"{name}.toml")


def _wallwatch(folder: Path, config: str, *command: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *command, *_config(folder, config)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr}")
    return done.stdout


@contextmanager
def _at(seat: Seat, folder: Path, *command: str) -> Iterator[None]:
    """A process at a client's place."""
    name = f"{seat.name}-{Path(command[0]).name}"
    with (folder / f"{name}.out").open("wb") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", seat.name, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _logs(folder: Path) -> str:
    return "\n".join(f"{p.name}: {p.read_text(errors='replace')[-3000:]}" for p in sorted(folder.glob("*.out")))

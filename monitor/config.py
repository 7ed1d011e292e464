"""config.toml: read, checked key by key, and turned into typed settings; every fault names file, key and reason.

`KEYS` is the reference: the documentation's table is tested against it.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from blocklists.searches import Search

from . import values
from .values import PROXY_SCHEMES

LISTS = "lists"  # the section whose keys are names of files
KINDS = ("direct", "socks5", "http", "agent", "remote")
METHODS = ("", "injection", "resolvers", "servers", "sink")  # of a remote vantage


class ConfigError(ValueError):
    """A configuration that cannot be used; `faults` has one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class VantageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[vantage]]`."""

    name: str
    kind: str
    country: str
    asn: int
    interface: str
    source: str
    resolvers: tuple[str, ...]
    proxy: str
    method: str
    places: str
    contact: str
    blocked: tuple[str, ...]


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[agent]`: where an agent hands its measurements in, and where they wait until then; `spool_bytes` at most."""

    service: str
    token_file: Path | None
    spool: Path
    spool_bytes: int
    proxy: str


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; paths are absolute, durations in seconds."""

    path: Path
    database: Path
    listen: tuple[str, int]
    targets: tuple[Path, ...]
    every: float
    jitter: float
    concurrency: int
    retries: int
    timeout: float
    path_followed: bool
    ca_file: Path | None
    helpers: tuple[str, ...]
    control_vantage: str
    control_open: Path
    control_empty: tuple[str, ...]
    control_silent: str
    helper_listen: tuple[str, int]
    helper_public: str
    helper_neutral: tuple[tuple[str, int], ...]
    helper_silent: str
    helper_sink: tuple[tuple[str, int], ...]
    certificate: Path | None
    key: Path | None
    agent: AgentConfig
    wide: int
    fingerprints: tuple[Path, ...]
    geo_database: Path | None
    per_target_limit: int
    vantages: tuple[VantageConfig, ...]
    lists: tuple[tuple[Path, str], ...] = ()  # (file, where it is downloaded from)
    searches: tuple[Search, ...] = ()

    @property
    def downloaded(self) -> frozenset[Path]:
        """The lists that somebody else keeps: a few unusable rows in them are left out."""
        return frozenset(path for path, _url in self.lists)


class Key(msgspec.Struct, frozen=True):
    """One key: its TOML type, its default (None: needed), how its value is checked, and what it means."""

    kind: type[Any]
    default: Any
    parse: Callable[[Any], Any]
    about: str


KEYS: dict[str, dict[str, Key]] = {
    "service": {
        "database": Key(str, "wallwatch.db", values.database, "path of the SQLite database"),
        "listen": Key(str, "127.0.0.1:8080", values.host_port, "where pages, API and /metrics are served"),
        "targets": Key(list, ["blocklists/release.csv"], values.same, "lists to probe, in Citizen Lab's format"),
        "certificate": Key(str, "", values.same, "PEM file: serve over TLS with this certificate chain"),
        "key": Key(str, "", values.same, "PEM file: its private key"),
    },
    "schedule": {
        "every": Key(str, "1h", values.positive_duration, "time between two rounds of a list from a vantage"),
        "jitter": Key(str, "5m", values.duration, "uniform wait of each measurement, after the round's fixed phase"),
    },
    "probe": {
        "concurrency": Key(int, 64, values.within(1, 1000), "measurements on the network at once"),
        "retries": Key(int, 3, values.within(0, 20), "further tries after a suspicious first look"),
        "timeout": Key(str, "10s", values.positive_duration, "limit of each network operation"),
        "path": Key(bool, False, values.same, "find out at which hop a censor reacts, by packets with a growing TTL"),
        "ca_file": Key(str, "", values.same, "PEM file of roots added to certifi's"),
        "searches": Key(list, [], values.searches, "search pages and shops asked what they withhold, by name"),
    },
    "control": {
        "helpers": Key(list, [], values.urls, "OONI-compatible test helpers, asked in turn"),
        "vantage": Key(str, "", values.same, "a vantage below that is not censored"),
        "open": Key(str, "blocklists/controls.csv", values.same, "sites that must be reachable everywhere"),
        "empty": Key(list, [], values.urls, "pages that answer 204, for the captive-portal test"),
        "silent": Key(str, "", values.address, "an address beyond the border that runs no resolver"),
    },
    "helper": {
        "listen": Key(str, "127.0.0.1:8081", values.host_port, "where `wallwatch helper` listens"),
        "public": Key(str, "", values.address, "the address that clients reach the helper at"),
        "neutral": Key(list, [], values.listeners, "neutral listeners: TLS and HTTP for any name"),
        "silent": Key(str, "", values.address, "an address that runs no resolver"),
        "sink": Key(list, [], values.listeners, "silent listeners: they accept, take everything and never answer"),
    },
    "agent": {
        "service": Key(str, "", values.service_url, "the service to which an agent hands its measurements in"),
        "token_file": Key(str, "", values.same, "file with the token that `wallwatch enrol` printed"),
        "spool": Key(str, "spool.db", values.same, "where measurements wait until the service has them"),
        "spool_limit": Key(str, "2GB", values.size, "size of the spool; then the oldest `ok` go first"),
        "proxy": Key(str, "", values.proxy, "hand in through this proxy"),
    },
    "judge": {
        "fingerprints": Key(list, [], values.same, "further tables of block pages, in OONI's columns"),
        "wide": Key(int, 75, values.within(50, 100), "percent of a vantage's targets that make one event of all"),
    },
    LISTS: {},  # any key: the name of a file, and where it is downloaded from
    "geo": {"database": Key(str, "", values.same, "local MMDB or CSV of networks")},
    "metrics": {
        "per_target_limit": Key(
            int, 20_000, values.within(0, 1_000_000), "most pairs of target and vantage with series"
        )
    },
    "vantage": {
        "name": Key(str, None, values.name, "unique name"),
        "kind": Key(str, "direct", values.one_of(KINDS), "how packets leave"),
        "country": Key(str, "", values.country, "where the vantage is"),
        "asn": Key(int, 0, values.within(0, 2**32 - 1), "its network"),
        "interface": Key(str, "", values.same, "send from this interface"),
        "source": Key(str, "", values.address, "send from this address"),
        "resolvers": Key(list, ["system"], values.resolvers, "system, udp://ADDRESS:PORT, https://…"),
        "proxy": Key(str, "", values.proxy, "socks5 and http: the proxy"),
        "method": Key(str, "", values.one_of(METHODS), "remote: how the network is measured from outside"),
        "places": Key(str, "", values.same, "remote: list of the addresses that are contacted there"),
        "contact": Key(str, "", values.contact, "remote: who measures, put into the requests"),
        "blocked": Key(list, [], values.urls, "sites known to be blocked there: one that opens is a notice"),
    },
}


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with every fault."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from None
    return parse_document(document, path)


def parse_document(document: Mapping[str, Any], path: Path) -> Config:
    """Check a parsed document. Raises ConfigError with every fault."""
    faults: list[str] = []
    for section in document:
        if section not in KEYS:
            faults.append(f"{path}: {section}: unknown section")
    tables = {s: _section(document.get(s, {}), s, KEYS[s], path, faults) for s in KEYS if s not in ("vantage", LISTS)}
    lists = _lists(document.get(LISTS, {}), path, faults)
    vantages = _vantages(document.get("vantage", [{"name": "local"}]), path, faults)
    faults += [f"{path}: {fault}" for number, v in enumerate(vantages, 1) for fault in _unfit(v, f"vantage[{number}]")]
    if bool(tables["service"].get("certificate")) != bool(tables["service"].get("key")):
        faults.append(f"{path}: service.certificate: goes with service.key, one alone is of no use")
    reference = tables["control"].get("vantage")
    if reference and reference not in {v.name for v in vantages}:
        faults.append(f"{path}: control.vantage: no vantage is called {reference!r}")
    if reference and any(v.name == reference and v.kind == "agent" for v in vantages):
        faults.append(f"{path}: control.vantage: an agent cannot be asked when a control is wanted")
    if faults:
        raise ConfigError(faults)
    return _config(tables, vantages, lists, path)


def _section(value: Any, where: str, keys: dict[str, Key], path: Path, faults: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        faults.append(f"{path}: {where}: must be a table")
        return {}
    for unknown in value.keys() - keys.keys():
        faults.append(f"{path}: {where}.{unknown}: unknown key")
    found: dict[str, Any] = {}
    for name, key in keys.items():
        if name not in value and key.default is None:
            faults.append(f"{path}: {where}.{name}: is needed")
            continue
        given = value.get(name, key.default)
        try:
            found[name] = key.parse(_typed(given, key.kind))
        except ValueError as error:
            faults.append(f"{path}: {where}.{name}: {error}")
    return found


def _typed(value: Any, kind: type[Any]) -> Any:
    names = {str: "a string", int: "a whole number", bool: "true or false", list: "a list of strings"}
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise ValueError(f"must be {names[kind]}, not {value!r}")
    if kind is list and not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of strings")
    return value


def _vantages(value: Any, path: Path, faults: list[str]) -> tuple[VantageConfig, ...]:
    if not isinstance(value, list) or not value:
        faults.append(f"{path}: vantage: must be [[vantage]] tables, at least one")
        return ()
    found: list[VantageConfig] = []
    for number, table in enumerate(value, 1):
        before = len(faults)
        settings = _section(table, f"vantage[{number}]", KEYS["vantage"], path, faults)
        if len(faults) == before:
            found.append(VantageConfig(**settings))
    names = [v.name for v in found]
    faults += [
        f"{path}: vantage: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})
    ]
    return tuple(found)


def _unfit(vantage: VantageConfig, where: str) -> list[str]:
    """What a vantage of its kind needs, and what it has no use for."""
    kind, proxy, faults = vantage.kind, vantage.proxy, list[str]()
    if kind in PROXY_SCHEMES:
        if urlsplit(proxy).scheme != PROXY_SCHEMES[kind]:
            faults.append(f"{where}.proxy: a vantage of kind {kind} needs {PROXY_SCHEMES[kind]}://HOST:PORT")
    elif proxy:
        faults.append(f"{where}.proxy: a vantage of kind {kind} uses none")
    for key in ("method", "places", "contact"):
        given = getattr(vantage, key)
        if kind == "remote" and not given:
            faults.append(f"{where}.{key}: a vantage of kind remote needs it")
        if kind != "remote" and given:
            faults.append(f"{where}.{key}: a vantage of kind {kind} uses none")
    return faults


def _lists(value: Any, path: Path, faults: list[str]) -> dict[str, str]:
    """`"FILE" = "https://…"`: what `lists update` downloads."""
    if not isinstance(value, dict):
        faults.append(f"{path}: {LISTS}: must be a table of FILE = URL")
        return {}
    found: dict[str, str] = {}
    for name, url in value.items():
        try:
            if not name.strip("/.") or "\0" in name:
                raise ValueError("is no name of a file")
            found[name] = values.secure_url(_typed(url, str))
        except ValueError as error:
            faults.append(f"{path}: {LISTS}.{name!r}: {error}")
    return found


def _config(
    tables: dict[str, dict[str, Any]], vantages: tuple[VantageConfig, ...], lists: dict[str, str], path: Path
) -> Config:
    folder = path.resolve().parent
    service, schedule, probe, control, helper, agent = (
        tables[name] for name in ("service", "schedule", "probe", "control", "helper", "agent")
    )

    def optional(text: str) -> Path | None:
        return folder / text if text else None

    return Config(
        path=path, database=folder / service["database"], listen=service["listen"],
        targets=tuple(folder / t for t in service["targets"]), every=schedule["every"], jitter=schedule["jitter"],
        concurrency=probe["concurrency"], retries=probe["retries"], timeout=probe["timeout"],
        path_followed=probe["path"],
        ca_file=optional(probe["ca_file"]), helpers=control["helpers"], control_vantage=control["vantage"],
        control_open=folder / control["open"], control_empty=control["empty"],
        control_silent=control["silent"], helper_listen=helper["listen"],
        helper_public=helper["public"], helper_neutral=helper["neutral"], helper_silent=helper["silent"],
        helper_sink=helper["sink"], certificate=optional(service["certificate"]), key=optional(service["key"]),
        agent=AgentConfig(
            service=agent["service"], token_file=optional(agent["token_file"]), spool=folder / agent["spool"],
            spool_bytes=agent["spool_limit"], proxy=agent["proxy"],
        ), wide=tables["judge"]["wide"],
        fingerprints=tuple(folder / f for f in tables["judge"]["fingerprints"]),
        geo_database=optional(tables["geo"]["database"]), per_target_limit=tables["metrics"]["per_target_limit"],
        vantages=vantages, lists=tuple((folder / name, url) for name, url in lists.items()),
        searches=probe["searches"],
    )  # fmt: skip

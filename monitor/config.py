"""config.toml: read, checked key by key, and turned into typed settings; every fault names file, key and reason.

`KEYS` is the reference: the documentation's table is tested against it.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from blocklists.searches import Search, chosen
from blocklists.table import ListError
from probes.address import parse
from probes.resolvers import parse_resolvers
from probes.url import parse_url

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LISTS = "lists"  # the section whose keys are names of files
KINDS = ("direct", "socks5", "http", "agent", "remote")


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


def duration(text: str) -> float:
    """`90s`, `5m`, `1h30m` … in seconds."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration such as 10s, 5m or 1h")
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def positive_duration(text: str) -> float:
    """A duration above zero."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def host_port(text: str) -> tuple[str, int]:
    """`127.0.0.1:8080` or `[::1]:8080`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no HOST:PORT")
    return host, int(port)


def listeners(texts: list[str]) -> tuple[tuple[str, int], ...]:
    """`HOST:PORT` and `HOST:FIRST-LAST`."""
    found: list[tuple[str, int]] = []
    for text in texts:
        head, _, last = text.rpartition("-") if re.search(r":\d+-\d+$", text) else (text, "", "")
        host, first = host_port(head)
        end = int(last) if last else first
        if end < first or end > 65535 or end - first > 1000:
            raise ValueError(f"{text!r} is no range of ports")
        found += [(host, port) for port in range(first, end + 1)]
    return tuple(found)


def _same(value: Any) -> Any:
    return value


def _within(low: int, high: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return check


def _urls(texts: list[str]) -> tuple[str, ...]:
    return tuple(str(parse_url(text)) for text in texts)


def _secure_url(text: str) -> str:
    url = parse_url(text)
    if url.scheme != "https":
        raise ValueError("only https is allowed: what is judged by a list must not be changed on its way")
    return str(url)


def _searches(names: list[str]) -> tuple[Search, ...]:
    try:
        return chosen(names)
    except ListError as error:
        raise ValueError("; ".join(map(str, error.faults))) from None


def _address(text: str) -> str:
    if text and parse(text) is None:
        raise ValueError(f"{text!r} is no IP address")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,64}", text):
        raise ValueError("1 to 64 letters, digits, dots, dashes and underscores")
    return text


def _kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}")
    if text != "direct":
        raise ValueError(f"{text} is not supported in this version; direct is")
    return text


def _country(text: str) -> str:
    if text and not re.fullmatch(r"[A-Z]{2}", text):
        raise ValueError("two capital letters (ISO 3166)")
    return text


def _database(text: str) -> str:
    if "://" in text:
        raise ValueError("only a SQLite path is supported in this version")
    return text


def _resolvers(texts: list[str]) -> tuple[str, ...]:
    parse_resolvers(texts)
    return tuple(texts)


KEYS: dict[str, dict[str, Key]] = {
    "service": {
        "database": Key(str, "wallwatch.db", _database, "path of the SQLite database"),
        "listen": Key(str, "127.0.0.1:8080", host_port, "where pages, API and /metrics are served"),
        "targets": Key(list, ["blocklists/release.csv"], _same, "lists to probe, in Citizen Lab's format"),
    },
    "schedule": {
        "every": Key(str, "1h", positive_duration, "time between two rounds of a list from a vantage"),
        "jitter": Key(str, "5m", duration, "uniform wait of each measurement, after the round's fixed phase"),
    },
    "probe": {
        "concurrency": Key(int, 64, _within(1, 1000), "measurements on the network at once"),
        "retries": Key(int, 3, _within(0, 20), "further tries after a suspicious first look"),
        "timeout": Key(str, "10s", positive_duration, "limit of each network operation"),
        "path": Key(bool, False, _same, "find out at which hop a censor reacts, by packets with a growing TTL"),
        "ca_file": Key(str, "", _same, "PEM file of roots added to certifi's"),
        "searches": Key(list, [], _searches, "search pages and shops asked what they withhold, by name"),
    },
    "control": {
        "helpers": Key(list, [], _urls, "OONI-compatible test helpers, asked in turn"),
        "vantage": Key(str, "", _same, "a vantage below that is not censored"),
        "open": Key(str, "blocklists/controls.csv", _same, "sites that must be reachable everywhere"),
        "empty": Key(list, [], _urls, "pages that answer 204, for the captive-portal test"),
        "silent": Key(str, "", _address, "an address beyond the border that runs no resolver, asked to expose forgers"),
    },
    "helper": {
        "listen": Key(str, "127.0.0.1:8081", host_port, "where `wallwatch helper` listens"),
        "public": Key(str, "", _address, "the address that clients reach the helper at"),
        "neutral": Key(list, [], listeners, "neutral listeners: TLS and HTTP for any name"),
        "silent": Key(str, "", _address, "an address that runs no resolver"),
    },
    "judge": {"fingerprints": Key(list, [], _same, "further tables of block pages, in OONI's columns")},
    LISTS: {},  # any key: the name of a file, and where it is downloaded from
    "geo": {"database": Key(str, "", _same, "local MMDB or CSV of networks")},
    "metrics": {"per_target_limit": Key(int, 20_000, _within(0, 1_000_000), "most target × vantage pairs with series")},
    "vantage": {
        "name": Key(str, None, _name, "unique name"),
        "kind": Key(str, "direct", _kind, "how packets leave"),
        "country": Key(str, "", _country, "where the vantage is"),
        "asn": Key(int, 0, _within(0, 2**32 - 1), "its network"),
        "interface": Key(str, "", _same, "send from this interface"),
        "source": Key(str, "", _address, "send from this address"),
        "resolvers": Key(list, ["system"], _resolvers, "system, udp://ADDRESS:PORT, https://…"),
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
    reference = tables["control"].get("vantage")
    if reference and reference not in {v.name for v in vantages}:
        faults.append(f"{path}: control.vantage: no vantage is called {reference!r}")
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
            found[name] = _secure_url(_typed(url, str))
        except ValueError as error:
            faults.append(f"{path}: {LISTS}.{name!r}: {error}")
    return found


def _config(
    tables: dict[str, dict[str, Any]], vantages: tuple[VantageConfig, ...], lists: dict[str, str], path: Path
) -> Config:
    folder = path.resolve().parent
    service, schedule, probe, control, helper = (
        tables[name] for name in ("service", "schedule", "probe", "control", "helper")
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
        fingerprints=tuple(folder / f for f in tables["judge"]["fingerprints"]),
        geo_database=optional(tables["geo"]["database"]), per_target_limit=tables["metrics"]["per_target_limit"],
        vantages=vantages, lists=tuple((folder / name, url) for name, url in lists.items()),
        searches=probe["searches"],
    )  # fmt: skip

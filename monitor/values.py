"""How single values of config.toml are written: each function checks one and gives it typed, or raises ValueError."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from blocklists.searches import Search, chosen
from blocklists.table import ListError
from probes.address import kind, parse
from probes.resolvers import parse_resolvers
from probes.url import parse_url

PROXY_SCHEMES = {"socks5": "socks5", "http": "http"}  # kind of a vantage -> scheme of its proxy
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


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


def same(value: Any) -> Any:
    """Any value of its type."""
    return value


def within(low: int, high: int) -> Callable[[int], int]:
    """A whole number between two."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return check


def urls(texts: list[str]) -> tuple[str, ...]:
    """URLs, normalised."""
    return tuple(str(parse_url(text)) for text in texts)


def secure_url(text: str) -> str:
    """A URL of https."""
    url = parse_url(text)
    if url.scheme != "https":
        raise ValueError("only https is allowed: what is judged by a list must not be changed on its way")
    return str(url)


def searches(names: list[str]) -> tuple[Search, ...]:
    """Search pages by their names in searches.toml."""
    try:
        return chosen(names)
    except ListError as error:
        raise ValueError("; ".join(map(str, error.faults))) from None


def address(text: str) -> str:
    """An IP address, or nothing."""
    if text and parse(text) is None:
        raise ValueError(f"{text!r} is no IP address")
    return text


def name(text: str) -> str:
    """A vantage's name."""
    if not re.fullmatch(r"[\w.-]{1,64}", text):
        raise ValueError("1 to 64 letters, digits, dots, dashes and underscores")
    return text


def one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    """One of these words."""

    def check(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(filter(None, names))}")
        return text

    return check


def proxy(text: str) -> str:
    """A proxy's URL, or nothing."""
    if text and urlsplit(text).scheme not in PROXY_SCHEMES.values():
        raise ValueError("must be socks5://HOST:PORT or http://HOST:PORT, with USER:PASSWORD@ where it asks for them")
    if text and not (urlsplit(text).hostname and urlsplit(text).port):  # an impossible port raises a ValueError too
        raise ValueError("needs a host and a port")
    return text


def size(text: str) -> int:
    """`512MB`, `2GB` … in bytes."""
    found = re.fullmatch(r"(\d{1,6})(KB|MB|GB)", text)
    if not found:
        raise ValueError(f"{text!r} is no size such as 512MB or 2GB")
    return int(found[1]) * {"KB": 2**10, "MB": 2**20, "GB": 2**30}[found[2]]


def service_url(text: str) -> str:
    """An agent's token is never sent in clear text, but over loopback (a tunnel, a test)."""
    if not text:
        return ""
    url = parse_url(text)
    if url.scheme != "https" and kind(url.host) != "loopback":
        raise ValueError("only https is allowed: the token must not be seen on its way")
    return str(url)


def country(text: str) -> str:
    """A country, or nothing."""
    if text and not re.fullmatch(r"[A-Z]{2}", text):
        raise ValueError("two capital letters (ISO 3166)")
    return text


def contact(text: str) -> str:
    """A contact that fits into a request's header."""
    if not (text.isascii() and text.isprintable() and len(text) <= 100):
        raise ValueError("at most 100 printable ASCII characters, such as https://example.org/measuring")
    return text


def database(text: str) -> str:
    """The path of a SQLite database."""
    if "://" in text:
        raise ValueError("only a SQLite path is supported in this version")
    return text


def resolvers(texts: list[str]) -> tuple[str, ...]:
    """Whom a vantage asks for names."""
    parse_resolvers(texts)
    return tuple(texts)

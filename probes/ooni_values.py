"""Values out of OONI's JSON, which may hold anything: each comes out bounded and of its type."""

import base64
from collections.abc import Mapping
from typing import Any

from . import address as addresses
from . import failure as failures

Record = Mapping[str, Any]
BODY_LIMIT = 512 * 1024  # bytes; what our own probes and OONI's web_connectivity 0.5 read
_MAX_RECORDS = 512  # of one list; a real measurement has some 50
_MAX_HEADERS, _MAX_HEADER = 200, 8192
_MAX_FAILURE = 200
_MAX_HOP = 20  # OONI follows 10 redirects
_MAX_SECONDS = 1e6
_MAX_WHOLE = 2**53  # the largest that every JSON reader keeps exact

# What ooniprobe 1.x (Twisted), Measurement Kit and the test helper say, in the words of data format df-007.
_LEGACY = {
    "dns_lookup_error": failures.NXDOMAIN,
    "dns_name_error": failures.NXDOMAIN,
    "dns_server_failure": "dns_servfail_error",
    "connection_refused_error": failures.REFUSED,
    "connect_error": "unknown_failure: connect_error",
    "response_never_received": failures.EOF,  # the server closed without a response
    "tcp_timed_out_error": failures.TIMEOUT,
    "deferred_timeout_error": failures.TIMEOUT,
}


def mapping(value: Any) -> Record:
    """The object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def records(value: Any) -> list[Record]:
    """The objects of a list, at most 512."""
    return [item for item in listed(value, _MAX_RECORDS) if isinstance(item, Mapping)]


def listed(value: Any, limit: int) -> list[Any]:
    """The list cut to `limit` items, or an empty one."""
    return value[:limit] if isinstance(value, list) else []


def text(value: Any, limit: int = 1024) -> str:
    """The text, cut to `limit` characters and without lone surrogates, which cannot be written as UTF-8."""
    return value[:limit].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def whole(value: Any, *, low: int = 0, high: int = _MAX_WHOLE, default: int = 0) -> int:
    """The integer where it lies between the bounds, else the default."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    return default


def seconds(value: Any) -> float:
    """A time since the measurement began; 0.0 where it is missing or makes no sense."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value) if 0 <= value <= _MAX_SECONDS else 0.0  # nan and inf are not


def span(record: Record) -> tuple[float, float]:
    """When an operation started and finished; old data have only the second."""
    finished = seconds(record.get("t"))
    started = seconds(record.get("t0")) if "t0" in record else finished
    return min(started, finished), finished


def failure(value: Any) -> str | None:
    """A failure string in today's words; None where nothing failed."""
    if value is None or value is False or value == "":
        return None
    if not isinstance(value, str):
        return "unknown_failure"
    return _LEGACY.get(value, text(value, _MAX_FAILURE))


def address(value: Any) -> str:
    """The IP address in its one spelling, or the empty string."""
    parsed = addresses.parse(value) if isinstance(value, str) and len(value) <= 64 else None
    return str(parsed) if parsed is not None and "%" not in str(parsed) else ""


def port(value: Any) -> int:
    """The port, or 0."""
    return whole(value, low=1, high=65535)


def endpoint(value: Any) -> tuple[str, int] | None:
    """The address and port of `1.2.3.4:443` or `[2001:db8::1]:443`."""
    host, _, number = text(value, 80).rpartition(":")
    found = address(host.removeprefix("[").removesuffix("]"))
    if not found or not number.isascii() or not number.isdecimal():
        return None
    return (found, int(number)) if 1 <= int(number) <= 65535 else None


def data(value: Any, limit: int = BODY_LIMIT) -> tuple[bytes, bool]:
    """The bytes of a text or of `{"format": "base64", "data": …}`; whether more than `limit` were there."""
    if isinstance(value, Mapping):
        found = decoded(value.get("data"), limit + 1)
    else:
        found = value[: limit + 1].encode("utf-8", "replace") if isinstance(value, str) else b""
    return found[:limit], len(found) > limit


def decoded(value: Any, limit: int) -> bytes:
    """At most `limit` bytes of a text in base64; none where it is broken."""
    if not isinstance(value, str):
        return b""
    try:
        return base64.b64decode(value[: (limit + 2) // 3 * 4])[:limit]
    except ValueError:
        return b""


def headers(record: Record) -> tuple[tuple[str, str], ...]:
    """The headers of a response: `headers_list`, or in old data the object `headers`."""
    found = listed(record.get("headers_list"), _MAX_HEADERS)
    pairs = [item for item in found if isinstance(item, list) and len(item) == 2]
    if not pairs:
        pairs = [list(item) for item in mapping(record.get("headers")).items()][:_MAX_HEADERS]
    kept = [(text(name), _header(value)) for name, value in pairs]
    return tuple((name, value) for name, value in kept if name)


def _header(value: Any) -> str:
    return data(value, _MAX_HEADER)[0].decode("utf-8", "replace")


def tagged_hop(record: Record) -> int | None:
    """The hop that the tag `depth=N` names; None in data older than 0.5."""
    for tag in listed(record.get("tags"), 16):
        number = text(tag, 16).removeprefix("depth=")
        if number != tag and number.isascii() and number.isdecimal() and int(number) <= _MAX_HOP:
            return int(number)
    return None


def transaction(record: Record) -> int:
    """The number that OONI gives to all operations of one contact; 0 in old data."""
    return whole(record.get("transaction_id"))

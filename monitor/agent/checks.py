"""Is this measurement one that an agent can have made? Nothing of an upload is believed before it has passed here.

An agent may be in the censor's hands. What it says is bounded, must agree with itself, and takes from the service's own
configuration whatever that knows better.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Network, ip_network
from typing import Any

import msgspec

from blocklists import CATEGORIES, Target, target_of
from probes import capability
from probes.address import parse
from probes.dns import Record
from probes.measurement import Measurement, VantageFacts
from probes.url import InvalidURL, parse_url

AHEAD = timedelta(minutes=10)  # by which an agent's clock may be fast
OLDEST = timedelta(days=400)
MAX_OPERATIONS = 2000  # a real measurement has some 30, one with every experiment a few hundred
_DAY = 86400.0  # seconds: the longest that anything in a measurement can take
_VALUES = 200_000  # of a measurement, whatever they are
_TEXT = 256 * 1024  # characters of any one text: a header may have 64 KiB, escaped three times that
_SHORT = 1024  # characters of what becomes a column or a word
_ITEMS = 20_000  # of any one list
_BODY = 512 * 1024  # bytes, as much as a probe reads of a page
_CERTIFICATE = 128 * 1024  # bytes, as much as a probe reads in a handshake
_PCAP = 1024 * 1024  # bytes; a capture is cut at half of that
_MANY = 2**53
_UID = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COUNTRY = re.compile(r"([A-Z]{2})?")
_PORTS, _ADDRESSES = frozenset({"port", "local_port"}), frozenset({"address", "router"})
_DURATIONS = frozenset({"started", "finished", "duration", "first_byte", "ttfb", "body_seconds"})
_COUNTS = frozenset({"attempt", "hop"})


class Refused(ValueError):
    """A measurement that is never taken. `reason`: one of `REASONS`; str() says more, on one line."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ForeignVantage(Refused):
    """A measurement of another vantage: the whole request is refused."""


REASONS = ("schema", "uid", "time", "foreign_vantage", "vantage", "simulated", "target", "value", "operations",
           "address", "content", "judging")  # fmt: skip
"""Why a measurement is refused."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the service knows: the vantage as it is configured, its own targets by name, and the time."""

    facts: VantageFacts
    targets: Mapping[str, Target]
    now: datetime


def checked(measurement: Measurement, expected: Expected) -> Measurement:
    """The measurement as it may be judged and stored. Raises Refused."""
    if measurement.vantage.name != expected.facts.name:
        raise ForeignVantage("foreign_vantage", "it is of another vantage")
    _check_time(measurement, expected.now)
    if measurement.recorded:
        raise Refused("value", "recorded: an agent's own measurement was recorded by nobody else")
    if sum(1 for _ in measurement.every_operation()) > MAX_OPERATIONS:
        raise Refused("operations", f"more than {MAX_OPERATIONS} operations")
    _Values().check(measurement, "measurement")
    _check_contents(measurement)
    target = _target(measurement, expected.targets)
    return msgspec.structs.replace(
        measurement, vantage=_vantage(measurement.vantage, expected.facts), url=target.url, site=target.site,
        category=target.category, expect=target.expect, time=measurement.time.astimezone(UTC),
    )  # fmt: skip


def _check_time(measurement: Measurement, now: datetime) -> None:
    match = _UID.fullmatch(measurement.uid)
    if match is None:
        raise Refused("uid", "is not TIME-RANDOM, such as 20260131T120000.123456Z-1f2e3d4c5b6a")
    try:
        told = datetime.strptime(match[1], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
        if told != measurement.time:
            raise Refused("uid", "its time is not the measurement's")
        if not now - OLDEST <= told <= now + AHEAD:
            raise Refused("time", f"more than {OLDEST.days} days old, or more than 10 minutes in the future")
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, Refused) else Refused("uid", "its time is none") from None


def _vantage(told: VantageFacts, known: VantageFacts) -> VantageFacts:
    """Who measured: what the configuration says, and of the rest what the agent says."""
    if (told.kind, told.direction, told.method) != ("agent", "inside-out", ""):
        raise Refused("vantage", "kind must be agent and direction inside-out")
    if told.simulated != known.simulated:
        raise Refused("simulated", "a simulated measurement among real ones, or the reverse")
    if not capability.WORDS.keys() >= set(told.blind):
        raise Refused("vantage", "blind: an unknown word")
    if not _COUNTRY.fullmatch(told.country) or not 0 <= told.asn < 2**32 or len(told.as_name) > _SHORT:
        raise Refused("vantage", "country, asn or as_name is none")
    asn = known.asn or told.asn
    name = known.as_name or (told.as_name if asn == told.asn else "")
    return msgspec.structs.replace(
        known, country=known.country or told.country, asn=asn, as_name=name, blind=tuple(sorted(set(told.blind)))
    )


def _target(measurement: Measurement, targets: Mapping[str, Target]) -> Target:
    """The target as the service's own list has it; one that it no longer has as the agent's did."""
    known = targets.get(measurement.target)
    if known is None:
        known = _unlisted(measurement)
    if measurement.url != known.url:
        raise Refused("target", "url is not the target's")
    return known


def _unlisted(measurement: Measurement) -> Target:
    try:
        target = target_of(measurement.target)
    except ValueError as error:
        raise Refused("target", f"is none: {error}") from None
    if target.name != measurement.target or len(measurement.expect) > _SHORT:
        raise Refused("target", "is not written as a list has it")
    category = measurement.category if measurement.category in CATEGORIES else target.category
    return msgspec.structs.replace(target, category=category, expect=measurement.expect)


def _check_contents(measurement: Measurement) -> None:
    """Bodies and certificates are what their hashes say, and of a size that a probe keeps."""
    for kept, most in ((measurement.bodies, _BODY), (measurement.certificates, _CERTIFICATE)):
        for digest, content in kept.items():
            if len(content) > most or hashlib.sha256(content).hexdigest() != digest:
                raise Refused("content", "a body or certificate is too large, or is not what its SHA-256 says")
    if len(measurement.pcap) > _PCAP:
        raise Refused("content", "pcap is too large")


class _Values:
    """Looks at every value of a record, down to the last."""

    def __init__(self) -> None:
        self._left = _VALUES

    def check(self, value: Any, name: str) -> None:
        """Raises Refused."""
        self._left -= 1
        if self._left < 0:
            raise Refused("value", f"more than {_VALUES} values")
        if isinstance(value, str):
            _check_text(value, name)
        elif isinstance(value, bool | bytes | datetime) or value is None:
            return
        elif isinstance(value, int | float):
            _check_number(value, name)
        elif isinstance(value, tuple):
            self._each(value, name)
        elif isinstance(value, dict):
            self._each(tuple(value), name)
        else:
            for field in value.__struct_fields__:
                self.check(getattr(value, field), field)
            _check_record(value)

    def _each(self, values: tuple[Any, ...], name: str) -> None:
        if len(values) > _ITEMS:
            raise Refused("value", f"{name}: more than {_ITEMS}")
        for value in values:
            self.check(value, name)


def _check_record(record: Any) -> None:
    """What the fields of one record say of each other."""
    if hasattr(record, "finished") and not record.finished >= record.started:
        raise Refused("value", "finished before it started")
    if isinstance(record, Record) and record.type in ("A", "AAAA") and parse(record.value) is None:
        raise Refused("address", "an answer's address is none")


def _check_text(text: str, name: str) -> None:
    if name in ("bodies", "certificates") and not _SHA256.fullmatch(text):
        raise Refused("content", f"{name}: a key is no SHA-256")
    if name == "addresses" and parse(text) is None:
        raise Refused("address", f"{name}: no address")
    if name == "nat64" and not _is_prefix(text):
        raise Refused("address", f"{name}: no prefix of IPv6")
    if name in _ADDRESSES and not _is_place(text):
        raise Refused("address", f"{name}: no address and no host name")
    if len(text) > _TEXT:
        raise Refused("value", f"{name}: longer than {_TEXT} characters")


def _check_number(number: float, name: str) -> None:
    if name in _PORTS and not 0 <= number <= 65535:
        raise Refused("value", f"{name}: no port")
    if name in _DURATIONS and not 0 <= number <= _DAY:
        raise Refused("value", f"{name}: no duration")
    if name == "at" and not -_DAY <= number <= _DAY:
        raise Refused("value", f"{name}: no time of a measurement")
    if name in _COUNTS and not 0 <= number <= 1000:
        raise Refused("value", f"{name}: no count")
    if not math.isfinite(number) or abs(number) > _MANY:
        raise Refused("value", f"{name}: too large")


def _is_place(text: str) -> bool:
    """An address or a host name; nothing, where nobody was contacted."""
    if not text or parse(text) is not None:
        return True
    try:
        return len(text) <= 255 and parse_url(f"http://{text}/").host == text.lower().rstrip(".")
    except InvalidURL:
        return False


def _is_prefix(text: str) -> bool:
    try:
        return isinstance(ip_network(text), IPv6Network)
    except ValueError:
        return False


__all__ = ["REASONS", "Expected", "ForeignVantage", "Refused", "checked"]

"""One measurement of OONI's Web Connectivity test (0.0 to 0.5) as ours; any other JSON is refused.

Facts only: what the probe concluded (`blocking`, `accessible`, `dns_consistency`) is not read.
Source: OONI's data formats df-000 to df-008 and test specification ts-017.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from blocklists.sites import site_of
from probes.dns import DNSLookup
from probes.measurement import Measurement, VantageFacts
from probes.ooni_values import Record, mapping, seconds, tagged_hop, text, transaction
from probes.url import URL, InvalidURL, parse_url

from . import ooni_contacts as contacts
from . import ooni_control as helper
from . import ooni_dns, ooni_pages
from .ooni_connections import Connections, Where
from .ooni_layers import Layers
from .ooni_pages import Request

_MAX_URL = 8192
_UID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_ASN = re.compile(r"AS([0-9]{1,10})")


class NotOONI(ValueError):
    """The document is no measurement of OONI's Web Connectivity; str() is one line that names the key."""


def is_ooni(document: object) -> bool:
    """Whether the document has the outer shape of an OONI measurement, whatever its test."""
    shape = mapping(document)
    return "test_keys" in shape and ("test_name" in shape or "data_format_version" in shape)


def read(document: Mapping[str, Any]) -> Measurement:
    """The measurement. Raises NotOONI, and nothing else, whatever the document holds."""
    keys = _keys(document)
    url, when = _url(document), _time(document)
    pages = ooni_pages.requests(keys)
    lookups = ooni_dns.lookups(keys, _hop_of_name(pages))
    connections, hop_of = Connections(), _hop_of_contact(pages)
    contacts.add_connects(connections, keys, hop_of)
    certificates = contacts.add_handshakes(connections, keys, hop_of)
    layers = Layers(connections, lookups)
    for page in pages:
        layers.place(page)
    lookups += [*layers.lookups, *_remembered(lookups, connections, pages)]
    said = mapping(keys.get("control"))
    return Measurement(
        uid=_uid(document), time=when, target=text(document.get("input"), _MAX_URL), url=str(url),
        vantage=_vantage(document), site=site_of(url.host), operations=(*lookups, *connections.operations()),
        control=helper.control(document, keys, str(url)),
        asns=tuple((dict(helper.asns(said)) | dict(ooni_dns.asns(keys))).items()),
        duration=seconds(document.get("test_runtime")), recorded="ooni", bodies=layers.bodies,
        certificates=certificates,
    )  # fmt: skip


def _keys(document: object) -> Record:
    if not isinstance(document, Mapping):
        raise NotOONI("the document is no JSON object")
    if document.get("test_name") != "web_connectivity":
        raise NotOONI(f"test_name is {text(document.get('test_name'), 40)!a}, not 'web_connectivity'")
    keys = document.get("test_keys")
    if not isinstance(keys, Mapping):
        raise NotOONI("test_keys is no JSON object")
    return keys


def _url(document: Record) -> URL:
    given = document.get("input")
    if not isinstance(given, str):
        raise NotOONI("input is no text")
    try:
        return parse_url(given)
    except InvalidURL as error:
        raise NotOONI(f"input: {error}") from None


def _time(document: Record) -> datetime:
    """OONI writes UTC without saying so."""
    try:
        moment = datetime.fromisoformat(text(document.get("measurement_start_time"), 40))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotOONI("measurement_start_time is no time") from None


def _uid(document: Record) -> str:
    """OONI's own uid, else one made of its report's, which many measurements share, else nothing."""
    for key in ("measurement_uid", "report_id"):
        found = text(document.get(key), 256)
        if _UID.fullmatch(found):
            break
    else:
        return ""
    if key == "measurement_uid":
        return found
    which = f"{text(document.get('input'), _MAX_URL)} {text(document.get('measurement_start_time'), 40)}"
    return f"{found}-{hashlib.sha256(which.encode()).hexdigest()[:12]}"


def _vantage(document: Record) -> VantageFacts:
    country = text(document.get("probe_cc"), 8)
    country = country if _COUNTRY.fullmatch(country) else "ZZ"  # OONI's word for unknown
    number = _ASN.fullmatch(text(document.get("probe_asn"), 16))
    asn = int(number.group(1)) if number else 0
    asn = asn if asn < 2**32 else 0
    return VantageFacts(name=f"ooni:{country}:AS{asn}", country="" if country == "ZZ" else country, asn=asn)


def _hop_of_name(pages: Sequence[Request]) -> Callable[[Record], int]:
    """The hop of a lookup: its tag's, else the first at which a page of the host was asked for."""
    hosts = ooni_pages.hosts(pages)

    def hop_of(record: Record) -> int:
        tagged = tagged_hop(record)
        return hosts.get(text(record.get("hostname"), 256).lower(), 0) if tagged is None else tagged

    return hop_of


def _hop_of_contact(pages: Sequence[Request]) -> contacts.HopOf:
    """The hop of a connect or handshake: its tag's, else that of a request of its transaction or endpoint."""
    by_number = {page.transaction: page.hop for page in reversed(pages) if page.transaction}
    by_place = {page.endpoint: page.hop for page in reversed(pages)}

    def hop_of(record: Record, where: Where) -> int:
        tagged = tagged_hop(record)
        return by_number.get(transaction(record), by_place.get(where, 0)) if tagged is None else tagged

    return hop_of


def _remembered(lookups: Sequence[DNSLookup], connections: Connections, pages: Sequence[Request]) -> list[DNSLookup]:
    """Lookups of a later hop that the probe had from its cache: 0.5 looks each name up only once."""
    names = {(page.hop, page.url.host) for page in pages if page.url is not None}
    names |= {(page.hop + 1, page.next_host) for page in pages}
    used: dict[int, set[str]] = {}
    for known in connections.all:
        used.setdefault(known.hop, set()).add(known.address)
    asked = {0} | {lookup.hop for lookup in lookups}
    told = [lookup for lookup in lookups if lookup.resolver == "system" and not lookup.failure]
    first = {lookup.name: lookup for lookup in reversed(told)}
    return [
        msgspec.structs.replace(first[name], hop=hop)
        for hop, name in sorted(names)
        if hop not in asked and name in first and used.get(hop, set()) & set(first[name].addresses())
    ]

"""A test helper's reply in OONI's Web Connectivity protocol, read into a `ControlReply`.

The reply may hold anything: every value comes out bounded and of its type, or as nothing.
"""

from collections.abc import Iterable
from typing import Any

from .measurement import ControlEndpoint, ControlPage, ControlReply, NeutralEndpoint
from .names import dns_names
from .ooni_values import Record, address, endpoint, failure, headers, listed, mapping, port, text, whole

_MAX_ADDRESSES = 256
_MAX_LISTENERS = 1024  # a helper's, TCP and QUIC
_MAX_LISTED = 256  # names of one certificate that are looked at
_REFUSED = "unknown_failure: connect"  # `status` is false and no failure says why
_NO_HANDSHAKE = "unknown_failure: tls"


class ReplyError(ValueError):
    """The reply says nothing; str() is one line."""


def read_reply(document: Any, *, source: str, url: str) -> ControlReply:
    """What the helper saw of the URL. Raises ReplyError, and nothing else, where the document says nothing."""
    said = mapping(document)
    dns = mapping(said.get("dns"))
    # [] means asked and none found; null is the zero value of a reply that never came.
    known = isinstance(dns.get("addrs"), list) or failure(dns.get("failure")) is not None
    endpoints, page = tuple(_endpoints(said)), _page(said)
    if not known and not endpoints and page is None:
        raise ReplyError("the reply says nothing of DNS, endpoints or page")
    return ControlReply(
        source=source, url=url, dns_known=known, dns_failure=failure(dns.get("failure")),
        addresses=_addresses(dns.get("addrs")), asns=asns(said), endpoints=endpoints, page=page,
        neutral=tuple(_neutral(said)), silent=address(mapping(said.get("x_wallwatch")).get("silent")),
    )  # fmt: skip


def asns(said: Record) -> tuple[tuple[str, int], ...]:
    """Address → AS number, as far as the helper knows (`ip_info`, from 0.5 on)."""
    known = list(mapping(said.get("ip_info")).items())[:_MAX_ADDRESSES]
    found = ((address(name), whole(mapping(info).get("asn"), high=2**32 - 1)) for name, info in known)
    return tuple((name, number) for name, number in found if name and number)


def _neutral(said: Record) -> Iterable[NeutralEndpoint]:
    """The listeners that our own helper lends."""
    for place in map(mapping, listed(mapping(said.get("x_wallwatch")).get("neutral"), _MAX_LISTENERS)):
        where, number, protocol = address(place.get("address")), port(place.get("port")), place.get("protocol")
        if where and number and protocol in ("tcp", "quic"):
            yield NeutralEndpoint(where, number, protocol)


def _names(said: Record, name: str) -> tuple[str, ...]:
    """The DNS names of the certificate that our own helper saw at an endpoint."""
    return dns_names(listed(mapping(mapping(said.get("x_wallwatch")).get("names")).get(name), _MAX_LISTED))


def _addresses(value: object) -> tuple[str, ...]:
    """The helper's addresses; old helpers put the names of CNAME records among them."""
    found = (address(item) for item in value[:_MAX_ADDRESSES]) if isinstance(value, list) else ()
    return tuple(dict.fromkeys(item for item in found if item))


def _endpoints(said: Record) -> Iterable[ControlEndpoint]:
    connects, handshakes = mapping(said.get("tcp_connect")), mapping(said.get("tls_handshake"))
    for name in list(dict.fromkeys([*connects, *handshakes]))[:_MAX_ADDRESSES]:
        where = endpoint(name)
        if where is None:
            continue
        # A handshake without a connect of its own shows that the connect went well.
        connect = mapping(connects[name]) if name in connects else {"status": True}
        handshake = handshakes.get(name)
        tls_failure = _failed(mapping(handshake), _NO_HANDSHAKE) if isinstance(handshake, dict) else None
        yield ControlEndpoint(
            address=where[0], port=where[1], tcp_failure=_failed(connect, _REFUSED),
            tls=tls_failure is None if isinstance(handshake, dict) else None, tls_failure=tls_failure,
            server_name=text(mapping(handshake).get("server_name"), 256), names=_names(said, name),
        )  # fmt: skip


def _failed(record: Record, otherwise: str) -> str | None:
    return failure(record.get("failure")) or (None if record.get("status") is True else otherwise)


def _page(said: Record) -> ControlPage | None:
    """The page; None where neither a status nor a failure is given (the zero value of a reply that never came)."""
    record, ours = mapping(said.get("http_request")), mapping(said.get("x_wallwatch"))
    failed, status = failure(record.get("failure")), whole(record.get("status_code"), low=1, high=999)
    if failed is None and not status:
        return None
    return ControlPage(
        failure=failed, status=status, title=" ".join(text(record.get("title"), 2048).split())[:512],
        headers=headers({"headers": record.get("headers")}), body_length=whole(record.get("body_length"), default=-1),
        body_sha256=text(ours.get("body_sha256"), 64), ttfb=_seconds(ours.get("ttfb_seconds")),
        body_seconds=_seconds(ours.get("body_seconds")),
    )  # fmt: skip


def _seconds(value: object) -> float | None:
    return (
        float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 3600 else None
    )

"""What OONI's test helper saw, as a `ControlReply`."""

from collections.abc import Iterable

from probes.measurement import ControlEndpoint, ControlPage, ControlReply

from .ooni_values import Record, address, endpoint, failure, headers, listed, mapping, text, whole

_MAX_ADDRESSES = 256
_REFUSED = "unknown_failure: connect"  # `status` is false and no failure says why
_NO_HANDSHAKE = "unknown_failure: tls"


def control(document: Record, keys: Record, url: str) -> tuple[ControlReply, ...]:
    """The helper's reply for the URL: none where it said nothing, one with a `failure` where it failed."""
    source = _source(document)
    failed = failure(keys.get("control_failure"))
    if failed is not None:
        return (ControlReply(source=source, url=url, failure=failed, dns_known=False),)
    said = mapping(keys.get("control"))
    dns = mapping(said.get("dns"))
    # [] means asked and none found; null is the zero value of a reply that never came.
    known = isinstance(dns.get("addrs"), list) or failure(dns.get("failure")) is not None
    endpoints, page = tuple(_endpoints(said)), _page(mapping(said.get("http_request")))
    if not known and not endpoints and page is None:
        return ()
    return (
        ControlReply(
            source=source, url=url, dns_known=known, dns_failure=failure(dns.get("failure")),
            addresses=_addresses(dns.get("addrs")), asns=asns(said), endpoints=endpoints, page=page,
        ),
    )  # fmt: skip


def asns(said: Record) -> tuple[tuple[str, int], ...]:
    """Address → AS number, as far as the helper knows (`ip_info`, from 0.5 on)."""
    known = list(mapping(said.get("ip_info")).items())[:_MAX_ADDRESSES]
    found = ((address(name), whole(mapping(info).get("asn"), high=2**32 - 1)) for name, info in known)
    return tuple((name, number) for name, number in found if name and number)


def _source(document: Record) -> str:
    backend = mapping(document.get("test_helpers")).get("backend")
    where = text(mapping(backend).get("address")) if isinstance(backend, dict) else text(backend)
    return f"helper:{where or 'ooni'}"


def _addresses(value: object) -> tuple[str, ...]:
    """The helper's addresses; old helpers put the names of CNAME records among them."""
    found = (address(item) for item in listed(value, _MAX_ADDRESSES))
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
            server_name=text(mapping(handshake).get("server_name"), 256),
        )  # fmt: skip


def _failed(record: Record, otherwise: str) -> str | None:
    return failure(record.get("failure")) or (None if record.get("status") is True else otherwise)


def _page(record: Record) -> ControlPage | None:
    """The page; None where neither status nor failure is given (the zeros of a reply that never came)."""
    failed, status = failure(record.get("failure")), whole(record.get("status_code"), low=1, high=999)
    if failed is None and not status:
        return None
    return ControlPage(
        failure=failed, status=status, title=" ".join(text(record.get("title"), 2048).split())[:512],
        headers=headers({"headers": record.get("headers")}),
        body_length=whole(record.get("body_length"), default=-1),
    )  # fmt: skip

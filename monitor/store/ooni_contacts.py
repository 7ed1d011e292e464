"""OONI's TCP connects and TLS handshakes (data formats df-005 and df-006) as ours."""

import hashlib
from collections.abc import Callable

from probes.ooni_values import (
    Record,
    address,
    data,
    endpoint,
    failure,
    listed,
    mapping,
    port,
    records,
    seconds,
    span,
    text,
    transaction,
)
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from .ooni_connections import NOWHERE, Connection, Connections, Where

CERTIFICATE_FAILURES = frozenset({"ssl_invalid_hostname", "ssl_unknown_authority", "ssl_invalid_certificate"})
_MAX_CHAIN, _MAX_DER = 16, 64 * 1024  # as our own handshake keeps

HopOf = Callable[[Record, Where], int]


def add_connects(connections: Connections, keys: Record, hop_of: HopOf) -> None:
    """Take `tcp_connect`; entries without a readable address and port are left out."""
    for record in records(keys.get("tcp_connect")):
        where = address(record.get("ip")), port(record.get("port"))
        if not where[0] or not where[1]:
            continue
        made = connections.open(transaction(record), where, hop_of(record, where))
        started, finished = span(record)
        made.connect = TCPConnect(
            started=started, finished=finished, failure=_connect_failure(mapping(record.get("status"))),
            hop=made.hop, address=made.address, port=made.port, flow=made.flow,
        )  # fmt: skip


def _connect_failure(status: Record) -> str | None:
    failed = failure(status.get("failure"))
    return "unknown_failure: connect" if failed is None and status.get("success") is not True else failed


def add_handshakes(connections: Connections, keys: Record, hop_of: HopOf) -> dict[str, bytes]:
    """Take `tls_handshakes` over TCP; gives the certificates by their SHA-256."""
    certificates: dict[str, bytes] = {}
    told = _told_by_events(keys)
    for record in records(keys.get("tls_handshakes")):
        if record.get("network") not in (None, "", "tcp"):
            continue
        where = endpoint(record.get("address")) or told.get(seconds(record.get("t")))
        where = where or _only_one(connections)
        chain = _chain(record)
        certificates.update(chain)
        made = connections.find(transaction(record), where, _unsecured)
        made = made or connections.open(transaction(record), where, hop_of(record, where))
        made.handshake = _handshake(record, made, tuple(chain))
    return certificates


def _handshake(record: Record, made: Connection, chain: tuple[str, ...]) -> TLSHandshake:
    started, finished = span(record)
    failed = failure(record.get("failure"))
    wrong = failed if failed in CERTIFICATE_FAILURES else None
    if failed is None and record.get("no_tls_verify") is True:
        wrong = "unknown_failure: not verified"
    return TLSHandshake(
        started=started, finished=finished, failure=None if wrong else failed, hop=made.hop,
        address=made.address, port=made.port, flow=made.flow,
        server_name=text(record.get("server_name"), 256).lower().removesuffix("."),
        version=text(record.get("tls_version"), 32), cipher=text(record.get("cipher_suite"), 64),
        alpn=text(record.get("negotiated_protocol"), 32), chain=chain, certificate_failure=wrong,
    )  # fmt: skip


def _unsecured(known: Connection) -> bool:
    return known.connected and known.handshake is None


def _only_one(connections: Connections) -> Where:
    """Where a handshake was that does not say it: at the only connection that it can have been on."""
    left = [known for known in connections.all if _unsecured(known)]
    return (left[0].address, left[0].port) if len(left) == 1 else NOWHERE


def _told_by_events(keys: Record) -> dict[float, Where]:
    """When a handshake ended → where it was: in 0.4 only `network_events` say, connection by connection."""
    found: dict[float, Where] = {}
    where: Where | None = None
    for event in records(keys.get("network_events")):
        if event.get("operation") == "connect":
            where = endpoint(event.get("address"))
        elif event.get("operation") == "tls_handshake_done" and where is not None:
            found[seconds(event.get("t"))] = where
    return found


def _chain(record: Record) -> dict[str, bytes]:
    """The certificates that the server sent, leaf first, by their SHA-256."""
    ders = [data(item, _MAX_DER) for item in listed(record.get("peer_certificates"), _MAX_CHAIN)]
    return {hashlib.sha256(der).hexdigest(): der for der, more in ders if der and not more}

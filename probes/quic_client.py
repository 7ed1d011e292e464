"""The client's side of QUIC without a socket: datagrams in, datagrams out. Needs aioquic, the extra `quic`.

aioquic verifies nothing here and never speaks up. It has no public name for the peer's certificates and none for a
connection that the peer has just closed: `_peer_certificate`, `_peer_certificate_chain`, `_state` and `_close_event`
are its own, and tests hold them.
"""

import logging
import ssl
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, PingAcknowledged
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from aioquic.tls import AlertDescription
from cryptography.hazmat.primitives.serialization import Encoding

from . import failure as failures

_SERVER = ("server", 0)  # what aioquic calls the one peer: the socket is connected, so nobody else can be it
_PING = 1  # our mark on the one PING that counts
_NO_ERROR = 0x100  # H3_NO_ERROR, RFC 9114 section 8.1: what a browser says when it has all it wanted
_ALERTS = range(0x100, 0x200)  # transport errors that carry a TLS alert, RFC 9001 section 4.8
_CERTIFICATE = frozenset({42, 43, 44, 45, 46})  # alerts about certificates, RFC 8446 section 6.2

T = TypeVar("T")

logging.getLogger("quic").disabled = True  # it reports what strangers send


class Client:
    """One handshake and the PING after it; `over` when there is nothing more to learn. Never raises."""

    def __init__(self, server_name: str, *, alpn: str, patience: float, now: float) -> None:
        configuration = QuicConfiguration(
            alpn_protocols=[alpn], idle_timeout=2 * patience, server_name=server_name or None,
            supported_versions=[QuicProtocolVersion.VERSION_1], verify_mode=ssl.CERT_NONE,
        )  # fmt: skip
        self._quic = QuicConnection(configuration=configuration)
        self.completed = self.acknowledged = False
        self.alpn = self.alert = ""
        self.failure: str | None = None
        self._try(lambda: self._quic.connect(_SERVER, now), None)

    @property
    def over(self) -> bool:
        """The server has our PING, or it is clear that it will not."""
        return self.acknowledged or self.failure is not None

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        self._try(lambda: self._quic.receive_datagram(data, _SERVER, now), None)
        self._look()

    def tick(self, now: float) -> None:
        """The time of `timer` has come."""
        self._try(lambda: self._quic.handle_timer(now), None)
        if self._quic._state is QuicConnectionState.TERMINATED:  # the server's idle time is over
            self.failure = self.failure or failures.TIMEOUT
        self._look()

    def timer(self) -> float | None:
        """When to call `tick`."""
        return self._try(self._quic.get_timer, None)

    def outgoing(self, now: float) -> list[bytes]:
        """What is to be sent to the server; what aioquic would send elsewhere stays here."""
        pairs: list[tuple[bytes, Any]] = self._try(lambda: self._quic.datagrams_to_send(now), [])
        return [data for data, to in pairs if to == _SERVER]

    def goodbye(self, now: float) -> list[bytes]:
        """The last datagrams."""
        self._try(lambda: self._quic.close(_NO_ERROR), None)
        return self.outgoing(now)

    def chain(self) -> list[bytes]:
        """The DER certificates that the server sent, leaf first; at most 16. None before `completed`."""
        tls = self._quic.tls
        found = [tls._peer_certificate, *tls._peer_certificate_chain[:15]] if self.completed else []
        return [certificate.public_bytes(Encoding.DER) for certificate in found if certificate is not None]

    def _try(self, step: Callable[[], T], otherwise: T) -> T:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a stranger's certificate looks like is no reason to speak up
                return step()
        except Exception as error:  # noqa: BLE001 - whatever a stranger's datagram does to the library is a result
            self.failure = self.failure or failures.of(error)
            return otherwise

    def _look(self) -> None:
        """Learn from what has happened."""
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.completed, self.alpn = True, event.alpn_protocol or ""
                self._quic.send_ping(_PING)
            elif isinstance(event, PingAcknowledged) and event.uid == _PING:
                self.acknowledged = True
        closed = self._quic._close_event
        if closed is not None and not self.over:
            self._closed(closed)

    def _closed(self, how: ConnectionTerminated) -> None:
        if self._quic._state is QuicConnectionState.DRAINING:
            self.alert, self.failure = _alert(how), _failure(how)
        elif self._quic._state is QuicConnectionState.TERMINATED:
            self.failure = "quic_incompatible_version"
        else:  # we could not accept what it said
            self.failure = "ssl_failed_handshake" if how.error_code in _ALERTS else "unknown_failure: quic"


def _alert(how: ConnectionTerminated) -> str:
    """What the peer closed with: the alert's name (RFC 8446), the transport error's (RFC 9000), or a number."""
    if how.frame_type is None:
        return f"APPLICATION_CLOSE 0x{how.error_code:x}"
    names: type[AlertDescription] | type[QuicErrorCode] = QuicErrorCode
    code = how.error_code
    if code in _ALERTS:
        names, code = AlertDescription, code - _ALERTS.start
    try:
        return names(code).name
    except ValueError:
        return f"0x{how.error_code:x}"


def _failure(how: ConnectionTerminated) -> str:
    """The failure string for the peer's CONNECTION_CLOSE, as OONI's probe-cli has it for QUIC."""
    if how.frame_type is None or how.error_code == QuicErrorCode.NO_ERROR:
        return failures.EOF
    if how.error_code == QuicErrorCode.CONNECTION_REFUSED:
        return failures.REFUSED
    if how.error_code == QuicErrorCode.VERSION_NEGOTIATION_ERROR:
        return "quic_incompatible_version"
    alert = how.error_code - _ALERTS.start
    if alert == AlertDescription.unrecognized_name:
        return "ssl_invalid_hostname"
    if alert == AlertDescription.unknown_ca:
        return "ssl_unknown_authority"
    return "ssl_invalid_certificate" if alert in _CERTIFICATE else "ssl_failed_handshake"

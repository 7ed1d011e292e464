"""One TLS handshake, recorded; the certificate is kept, not judged: a bad one is a fact and no exception.

The handshake runs on `ssl.MemoryBIO` over our own socket: every byte received before a failure is counted,
and a stalled handshake costs some 47 KB (asyncio's own TLS layer: 311 KB).
"""

import asyncio
import hashlib
import ssl
from contextlib import suppress
from typing import Any

from . import failure as failures
from .certificate import Authorities
from .tcp import CHUNK, Stream
from .trace import Operation, Trace


class TLSHandshake(Operation, frozen=True, kw_only=True, omit_defaults=True, tag="tls"):
    """A handshake over one TCP connection.

    `failure` is the handshake's own; `certificate_failure` says what is wrong with the chain for this name
    (`ssl_invalid_hostname`, `ssl_unknown_authority`, `ssl_invalid_certificate`, None: nothing).
    `chain` holds the SHA-256 of each DER certificate, leaf first. `alert` is the peer's, by OpenSSL's name.
    """

    address: str
    port: int
    server_name: str
    flow: int = 0
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    alert: str = ""
    chain: tuple[str, ...] = ()
    certificate_failure: str | None = None
    received: int = 0

    @property
    def valid(self) -> bool:
        """The handshake completed with a chain that is good for the name."""
        return self.failure is None and self.certificate_failure is None


def _client_context(alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the chain is validated afterwards, by `certificate`
    context.set_alpn_protocols([alpn])
    return context


_DER = 2  # `_ssl.ENCODING_DER`
HTTP, DOT = "http/1.1", "dot"  # what is spoken inside, by its ALPN name
_CONTEXTS = {alpn: _client_context(alpn) for alpn in (HTTP, DOT)}  # shared: a new one costs milliseconds


class TLSStream:
    """A byte stream through TLS over a `Stream`."""

    def __init__(self, stream: Stream, server_name: str, limit: int, alpn: str = HTTP) -> None:
        self.stream = stream
        self._limit = limit
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        context = _CONTEXTS[alpn]
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)

    async def handshake(self) -> None:
        """Complete the handshake. Raises OSError (`ssl.SSLError` is one) and EOFError."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed(self._limit - self.stream.received)
            except ssl.SSLError:
                with suppress(OSError):  # our alert is a courtesy; what went wrong is what came in
                    await self._flush()
                raise
            else:
                return await self._flush()

    async def read(self, limit: int = CHUNK) -> bytes:
        """Up to `limit` plain bytes; empty at the end. Raises OSError."""
        while True:
            try:
                return self.tls.read(limit)
            except ssl.SSLWantReadError:
                await self._flush()  # a renegotiation, or the answer to a key update
                data = await self.stream.read()
                if not data:
                    return b""  # many servers close without a close_notify; the HTTP layer knows if more was due
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises OSError."""
        self.tls.write(data)
        await self._flush()

    def close(self) -> None:
        """Give the socket back."""
        self.stream.close()

    async def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            await self.stream.write(data)

    async def _feed(self, room: int) -> None:
        if room <= 0:
            raise ssl.SSLError(1, "handshake larger than the limit")
        data = await self.stream.read(min(CHUNK, room))
        if not data:
            raise EOFError
        self._incoming.write(data)


async def handshake(
    trace: Trace, stream: Stream, server_name: str, *, authorities: Authorities, hop: int = 0, alpn: str = HTTP
) -> TLSStream | None:
    """Handshake for a name (or an address, then without SNI), record it, and return the stream, or None.

    A completed handshake returns a stream whatever the certificate; who reads on must look at the record.
    """
    started = trace.now()
    secured = TLSStream(stream, server_name, trace.limits.handshake_bytes, alpn)
    failure: str | None = None
    alert = ""
    facts: dict[str, Any] = {}
    try:
        async with asyncio.timeout(trace.limits.timeout):
            await secured.handshake()
    except (OSError, EOFError, TimeoutError) as error:
        failure = failures.of(error)
        reason = getattr(error, "reason", None) or ""
        alert = reason if "ALERT" in reason or "UNRECOGNIZED" in reason else ""
        stream.close()
    except BaseException:
        stream.close()
        raise
    else:
        facts = _facts(trace, secured, server_name, authorities)
    trace.record(
        TLSHandshake(
            started=started, finished=trace.now(), failure=failure, hop=hop, attempt=trace.attempt,
            address=stream.address, port=stream.port, flow=stream.flow, server_name=server_name,
            alert=alert, received=stream.received, **facts,
        )
    )  # fmt: skip
    return secured if failure is None else None


def _facts(trace: Trace, secured: TLSStream, server_name: str, authorities: Authorities) -> dict[str, Any]:
    ders = chain_of(secured.tls)
    chain = tuple(hashlib.sha256(der).hexdigest() for der in ders)
    trace.certificates.update(zip(chain, ders, strict=True))
    cipher = secured.tls.cipher()
    return {
        "version": secured.tls.version() or "",
        "cipher": cipher[0] if cipher else "",
        "alpn": secured.tls.selected_alpn_protocol() or "",
        "chain": chain,
        "certificate_failure": authorities.failure_of(ders, server_name, trace.clock.now()),
    }


def chain_of(tls: ssl.SSLObject) -> list[bytes]:
    """The DER certificates that the peer sent, leaf first, unverified; at most 16.

    Public (`get_unverified_chain`) only from Python 3.13; before that the same method of the wrapped object.
    """
    inner = getattr(tls, "get_unverified_chain", None)
    if inner is not None:
        return [bytes(der) for der in inner()[:16]]
    found = tls._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
    return [bytes(item.public_bytes(_DER)) for item in found[:16]]

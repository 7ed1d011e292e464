"""A small HTTP/3 server (aioquic): one page for every request, on a socket that is already bound."""

import asyncio
import socket
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent


class _Protocol(QuicConnectionProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        if self._http is None:
            return
        for seen in self._http.handle_event(event):
            if isinstance(seen, HeadersReceived):
                headers = [(b":status", b"200"), (b"content-type", b"text/html")]
                self._http.send_headers(seen.stream_id, headers)
                self._http.send_data(seen.stream_id, b"<title>by QUIC</title>", end_stream=True)
        self.transmit()


async def serve(sock: socket.socket, pem: str, name: str) -> None:
    """Serve until the loop ends."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN, server_name=name)
    configuration.load_cert_chain(pem, pem)
    await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicServer(configuration=configuration, create_protocol=_Protocol), sock=sock
    )

"""A bare QUIC handshake, so that a look needs nothing of the probes."""

import asyncio
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection


def handshake(place: tuple[str, int], name: str, root: str) -> str:
    """`passed` where a packet after the handshake was acknowledged, else `timeout`."""
    return asyncio.run(_handshake(place, name, root))


async def _handshake(place: tuple[str, int], name: str, root: str) -> str:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name)
    configuration.load_verify_locations(root)
    connection = QuicConnection(configuration=configuration)
    loop = asyncio.get_running_loop()

    def made() -> Any:
        return QuicConnectionProtocol(connection)

    transport, protocol = await loop.create_datagram_endpoint(made, local_addr=("0.0.0.0", 0))
    try:
        async with asyncio.timeout(1.5):
            protocol.connect(place)
            await protocol.wait_connected()
            await protocol.ping()
            return "passed"
    except TimeoutError:
        return "timeout"
    except ConnectionError as error:
        return type(error).__name__
    finally:
        transport.close()

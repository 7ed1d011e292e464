"""One QUIC handshake, recorded."""

from .certificate import Authorities
from .trace import Operation, Trace


class QUICHandshake(Operation, frozen=True, kw_only=True, omit_defaults=True, tag="quic"):
    """A QUIC handshake with one address and port.

    `failure` None: the server acknowledged a packet that was sent after the handshake, so nobody drops ours.
    `certificate_failure`, `chain` and `alert` are as in `TLSHandshake`; `received` counts datagrams' bytes.
    """

    address: str
    port: int
    server_name: str
    version: str = ""
    alpn: str = ""
    alert: str = ""
    chain: tuple[str, ...] = ()
    certificate_failure: str | None = None
    received: int = 0
    completed: bool = False


def available() -> bool:
    """Whether the extra `quic` is installed."""
    return False


async def handshake(
    trace: Trace, address: str, port: int, server_name: str, *, authorities: Authorities, hop: int = 0, alpn: str = "h3",
    refuse: str = "",
) -> QUICHandshake:  # fmt: skip
    """One QUIC handshake, recorded."""
    raise NotImplementedError  # being written

"""The connections of an OONI measurement, put together from lists that do not always name them."""

from collections.abc import Callable

import msgspec

from probes.http import HTTPRoundTrip
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

_RUNNING = 1_000_000  # above the transactions of a measurement

Where = tuple[str, int]  # address and port
NOWHERE: Where = ("", 0)  # old data do not always say where


class Connection(msgspec.Struct, kw_only=True):
    """What is known of one connection; filled as the lists are read."""

    address: str
    port: int
    hop: int
    flow: int
    transaction: int
    connect: TCPConnect | None = None
    handshake: TLSHandshake | None = None
    page: HTTPRoundTrip | None = None

    @property
    def connected(self) -> bool:
        """TCP is known to have worked."""
        return self.connect is not None and self.connect.failure is None

    @property
    def stopped(self) -> bool:
        """It failed below HTTP."""
        refused = self.connect is not None and self.connect.failure is not None
        return refused or (self.handshake is not None and not self.handshake.valid)


class Connections:
    """All connections of one measurement, in the order in which they were first met."""

    def __init__(self) -> None:
        self.all: list[Connection] = []
        self._at: dict[Where, list[Connection]] = {}
        self._flows: set[int] = set()
        self._running = _RUNNING

    def open(self, transaction: int, where: Where, hop: int) -> Connection:
        """A new connection; its flow is the transaction, or a running number where that is 0 or taken."""
        flow = transaction
        while not flow or flow in self._flows:
            flow = self._running = self._running + 1
        self._flows.add(flow)
        made = Connection(address=where[0], port=where[1], hop=hop, flow=flow, transaction=transaction)
        self.all.append(made)
        self._at.setdefault(where, []).append(made)
        return made

    def find(self, transaction: int, where: Where, free: Callable[[Connection], bool]) -> Connection | None:
        """The first `free` connection to the address and port, of this transaction where both name one."""
        if where == NOWHERE:
            return None
        for known in self._at.get(where, ()):
            if (not transaction or known.transaction in (0, transaction)) and free(known):
                return known
        return None

    def operations(self) -> list[TCPConnect | TLSHandshake | HTTPRoundTrip]:
        """All steps, layer by layer."""
        connects = [known.connect or _proved(known) for known in self.all]
        return [
            *(connect for connect in connects if connect is not None),
            *(known.handshake for known in self.all if known.handshake is not None),
            *(known.page for known in self.all if known.page is not None),
        ]


def _proved(known: Connection) -> TCPConnect | None:
    """A connect that OONI left out and that what came above it proves."""
    above = known.handshake or known.page
    if above is None or (known.handshake is None and not known.address):
        return None
    return TCPConnect(
        started=above.started, finished=above.started, hop=known.hop, attempt=above.attempt,
        address=known.address, port=known.port, flow=known.flow,
    )  # fmt: skip

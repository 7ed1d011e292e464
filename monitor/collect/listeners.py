"""The helpers' neutral listeners: which are free for a name, and which rest."""

import random
from collections.abc import Iterable

from probes.address import kind
from probes.followup.setting import Endpoint
from probes.measurement import ControlReply, NeutralEndpoint

from .residual import Residual

_NEVER = frozenset({"loopback", "unspecified"})
_USUAL = {"tls": 443, "http": 80, "quic": 443}  # some censors look at these ports only, so they come first


class Listeners:
    """Gives out each (address, port) to one pair at a time; where a name failed it rests as any other (row 22)."""

    def __init__(self, residual: Residual) -> None:
        self._residual = residual
        self._out: set[tuple[str, Endpoint]] = set()  # with the egress
        self._random = random.SystemRandom()

    def take(self, egress: str, known: Iterable[NeutralEndpoint], use: str) -> Endpoint | None:
        """A free one for `tls`, `http` or `quic`; None where all are out or rest."""
        protocol = "quic" if use == "quic" else "tcp"
        places = {(n.address, n.port) for n in known if n.protocol == protocol and kind(n.address) not in _NEVER}
        free = [p for p in sorted(places) if self._is_free(egress, p)]
        if not free:
            return None
        usual = [p for p in free if p[1] == _USUAL[use]]
        chosen = self._random.choice(usual or free)
        self._out.add((egress, chosen))
        return chosen

    async def done(self, egress: str, endpoint: Endpoint, failed: bool, *, uid: str) -> None:
        """Take one back; where the name failed it rests, for the measurement's own tries too."""
        self._out.discard((egress, endpoint))
        if failed:
            await self._residual.rest(egress, *endpoint, uid=uid)

    def _is_free(self, egress: str, endpoint: Endpoint) -> bool:
        return (egress, endpoint) not in self._out and not self._residual.refusal(egress, *endpoint, uid="")


def lent(replies: Iterable[ControlReply]) -> tuple[NeutralEndpoint, ...]:
    """The listeners that the replies name, each once."""
    return tuple(dict.fromkeys(n for reply in replies for n in reply.neutral))

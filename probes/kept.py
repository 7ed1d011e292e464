"""How many packets of a capture are kept, so that nobody on the path can fill memory or push evidence out."""

from collections import Counter
from collections.abc import Hashable

from .bpf import SNAPLEN

MOST_PACKETS = 4000
MOST_BYTES = 512 * 1024
MOST_OF_A_FLOW = 64
FIRST_OF_A_FLOW = 40  # of the later ones only those that begin or end a connection
MOST_UNASKED = 64  # packets of flows in which we have sent nothing


class Room:
    """The room that is left. `refused` counts what found none."""

    def __init__(self) -> None:
        self.refused = 0
        self._packets = self._bytes = self._unasked = 0
        self._flows: Counter[Hashable] = Counter()
        self._asked: set[Hashable] = set()

    @property
    def full(self) -> bool:
        """Whether nothing more will be taken."""
        return self._packets >= MOST_PACKETS or self._bytes + SNAPLEN > MOST_BYTES

    def take(self, flow: Hashable, size: int, *, inbound: bool, marking: bool) -> bool:
        """Whether a packet of so many bytes is kept; `marking`: it begins or ends a connection."""
        limit = MOST_OF_A_FLOW if marking else FIRST_OF_A_FLOW
        unasked = inbound and flow not in self._asked
        if self.full or self._flows[flow] >= limit or (unasked and self._unasked >= MOST_UNASKED):
            self.refused += 1
            return False
        self._packets += 1
        self._bytes += size
        self._flows[flow] += 1
        if unasked:
            self._unasked += 1
        elif not inbound:
            self._asked.add(flow)
        return True

"""A vantage point: who measures, how packets leave, whom it asks for names."""

import msgspec

from blocklists.places import Place
from probes import capability
from probes.measurement import VantageFacts
from probes.network import Network
from probes.resolvers import Resolvers


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """How a network is measured from outside. `method`: one of `METHODS`; `places`: whom it contacts there."""

    method: str
    places: tuple[Place, ...]
    contact: str  # who measures, in every request that has room for it


_NO_CLIENT = (capability.CLIENT, capability.SYSTEM_DNS, capability.QUIC)
_DNS_ONLY = (*_NO_CLIENT, capability.TCP, capability.TLS, capability.HTTP)
_NO_DNS = (*_NO_CLIENT, capability.DNS, capability.UDP, capability.ADDRESSES)
BLIND = {"injection": _DNS_ONLY, "resolvers": _DNS_ONLY, "servers": _NO_DNS, "sink": _NO_DNS}
"""Remote method -> what it does not touch."""
METHODS = tuple(BLIND)


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """`egress` names the way out: vantages that share it share the table of residual blocking. `remote`: None where the
    vantage itself stands in the network. `known_blocked`: sites that are known to be blocked there."""

    facts: VantageFacts
    network: Network
    resolvers: Resolvers
    egress: str
    remote: Remote | None = None
    known_blocked: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The vantage's name in the configuration."""
        return self.facts.name

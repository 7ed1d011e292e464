"""A vantage point: who measures, how packets leave, whom it asks for names."""

import msgspec

from probes.measurement import VantageFacts
from probes.network import Network
from probes.resolvers import Resolvers


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """`egress` names the way out: vantages that share it share the table of residual blocking."""

    facts: VantageFacts
    network: Network
    resolvers: Resolvers
    egress: str

    @property
    def name(self) -> str:
        """The vantage's name in the configuration."""
        return self.facts.name

"""What each agent is told to do, made from the service's own setup."""

import hashlib

import msgspec

from monitor.collect.vantage import Vantage
from monitor.engine import Setup

from .protocol import Assignment


class Told(msgspec.Struct, frozen=True):
    """An assignment as it is sent, and its ETag."""

    body: bytes
    etag: str


class Assignments:
    """Remembers what it made of the present setup: an agent asks often, and little changes."""

    def __init__(self) -> None:
        self._setup: Setup | None = None
        self._made: dict[str, Told] = {}

    def of(self, setup: Setup, vantage: Vantage) -> Told:
        """One vantage's assignment."""
        if self._setup is not setup:
            self._setup, self._made = setup, {}
        if vantage.name not in self._made:
            body = msgspec.json.encode(assignment_for(setup, vantage))
            self._made[vantage.name] = Told(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        return self._made[vantage.name]


def assignment_for(setup: Setup, vantage: Vantage) -> Assignment:
    """What a vantage measures and tests itself with; nothing about any other vantage."""
    config = setup.config
    return Assignment(
        vantage=vantage.name, country=vantage.facts.country, asn=vantage.facts.asn, every=config.every,
        jitter=config.jitter, lists=dict(setup.targets), controls=setup.controls, helpers=config.helpers,
        empty=(*config.control_empty, *(h.rstrip("/") + "/generate_204" for h in config.helpers)),
        silent=config.control_silent, blocked=vantage.known_blocked, retries=config.retries, simulated=setup.simulated,
    )  # fmt: skip

"""What the judge looks at, flat: an answer of a resolver, a contact with one address, a try of the plain client."""

import msgspec

from probes.dns import Response
from probes.failure import NOT_TRIED_BOGON, NOT_TRIED_LOOPBACK, NOT_TRIED_RESIDUAL, is_of_proxy


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One lookup. `plain`: what a plain client of the network is told; `encrypted`: it vouches or exposes."""

    attempt: int
    hop: int
    started: float
    name: str
    query_type: str
    resolver: str
    plain: bool
    encrypted: bool
    failure: str | None
    addresses: tuple[str, ...]
    responses: tuple[Response, ...]
    checking_disabled: bool


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One contact with one address (behind a proxy: or name). `layer` is the furthest tried, `failure` is that layer's.

    `plain`: the plain client was given this address; `control_tcp` and `control_tls`: None where the control did not
    try, `ok`, or its failure. `flow` links it with its operations.
    """

    attempt: int
    hop: int
    started: float
    name: str
    url: str
    address: str
    port: int
    plain: bool
    layer: str
    failure: str | None
    server_name: str
    certificate_failure: str | None
    chain: tuple[str, ...]
    alert: str
    status: int
    title: str
    body_length: int
    body_sha256: str
    cut: str
    location: str
    expected: bool | None
    control_tcp: str | None
    control_tls: str | None
    flow: int = 0

    @property
    def valid_tls(self) -> bool:
        """A handshake completed with a certificate that is good for the name."""
        return (
            bool(self.server_name)
            and self.certificate_failure is None
            and self.layer != "tcp"
            and (self.layer != "tls" or self.failure is None)
        )

    @property
    def got_page(self) -> bool:
        """A response came and was not broken off."""
        return self.layer == "http" and self.failure is None and self.status > 0

    @property
    def not_tried(self) -> bool:
        """The contact was not made, by us or by the proxy, so it is no evidence."""
        return self.failure in (NOT_TRIED_RESIDUAL, NOT_TRIED_LOOPBACK, NOT_TRIED_BOGON) or is_of_proxy(self.failure)


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """How one try of the plain client ended: at which hop and layer, with which failure, at which address."""

    attempt: int
    hop: int
    name: str
    layer: str  # dns | tcp | tls | http | none (nothing was tried)
    failure: str | None
    seen: Observation | None

    @property
    def reached(self) -> bool:
        """A page came, over TLS with a certificate good for its name or over plain HTTP."""
        seen = self.seen
        return seen is not None and seen.got_page and (not seen.server_name or seen.certificate_failure is None)

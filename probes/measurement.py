"""The record that is kept: what one vantage point and the control saw of one target at one time.

Nothing in it is a conclusion, and nothing in it is ever edited; verdicts are computed from it, again and again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from .experiment import AnyOperation, Experiment
from .packets import Flow


class VantageFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who measured. `direction`: `inside-out`, or `outside-in` for remote methods. `as_name`: who runs the network.

    `blind`: what could not be measured from there, in the words of `probes.capability`. `method`: a remote one's.
    """

    name: str
    kind: str = "direct"
    country: str = ""
    asn: int = 0
    direction: str = "inside-out"
    simulated: bool = False
    as_name: str = ""
    method: str = ""
    blind: tuple[str, ...] = ()


class SelfTest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The vantage about itself, at seconds `at` of the measurement (negative: before it).

    `opened` and `failed`: control names that worked and that did not; `secured`: those that completed TLS with a valid
    certificate, so that they will do as innocuous names; `failed_resolvers`: resolvers that failed for
    control names; `untrusted`: control names with untrusted certificates; `not_empty`: empty pages that were not
    empty; `clock_skew`: seconds by which the own clock is ahead of HTTPS dates; `ipv6`: None where not known;
    `quic`: False where UDP is dropped for every name. `wildcard`: what the system's resolver gave for a random name
    that does not exist; `egress_country`, `egress_asn` and `egress_name`: where the way out ends, by the local table of
    networks (empty and 0: not known); `resolver_asns`: the networks of the system's resolvers, as far as they have
    public addresses; `known_blocked_open`: sites that are known to be blocked there, and that opened.
    """

    at: float = 0.0
    opened: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    secured: tuple[str, ...] = ()
    failed_resolvers: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()
    not_empty: tuple[str, ...] = ()
    clock_skew: float | None = None
    ipv6: bool | None = None
    quic: bool | None = None
    nat64: tuple[str, ...] = ()
    fake_addresses: bool = False
    wildcard: tuple[str, ...] = ()
    egress_country: str = ""
    egress_asn: int = 0
    egress_name: str = ""
    resolver_asns: tuple[int, ...] = ()
    known_blocked_open: tuple[str, ...] = ()


class ControlEndpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The control at one address and port: TCP, and TLS for `server_name` where it tried.

    `tls`: None where not tried. A certificate that is bad for the name is a TLS failure (`ssl_*`), as OONI has it.
    `names`: the DNS names of the certificate that it saw there, as far as it says.
    """

    address: str
    port: int
    tcp_failure: str | None = None
    tls: bool | None = None
    tls_failure: str | None = None
    server_name: str = ""
    names: tuple[str, ...] = ()


class NeutralEndpoint(msgspec.Struct, frozen=True):
    """A listener of a helper's that completes any name. `protocol`: `tcp` (TLS and HTTP) or `quic`."""

    address: str
    port: int
    protocol: str = "tcp"


class ControlPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The page that the control got at the end of the redirects. `status` 0 and a failure where it got none."""

    failure: str | None = None
    status: int = 0
    title: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body_length: int = -1
    body_sha256: str = ""
    ttfb: float | None = None
    body_seconds: float | None = None


class ControlReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one control saw of one URL. `source`: a helper's URL or `vantage:NAME`; `failure`: of the control itself.

    `at` is in seconds of the measurement. `dns_failure` None with no addresses: asked, and no address exists.
    `dns_known` is False where the control said nothing of DNS. `neutral` and `silent` (an address that runs no
    resolver) are what our own helper lends for experiments.
    """

    source: str
    url: str
    at: float = 0.0
    attempt: int = 0
    hop: int = 0
    failure: str | None = None
    dns_known: bool = True
    dns_failure: str | None = None
    addresses: tuple[str, ...] = ()
    asns: tuple[tuple[str, int], ...] = ()  # address -> AS number, as far as the control knows
    endpoints: tuple[ControlEndpoint, ...] = ()
    page: ControlPage | None = None
    neutral: tuple[NeutralEndpoint, ...] = ()
    silent: str = ""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All operations of one target from one vantage at one time, plus its control.

    `uid` is unique and sorts by time. `expect`: a text that the real page holds. `asns`: address -> AS number,
    where known. `recorded`: made by somebody else (OONI), so it cannot be repeated. `bodies` and `certificates` are
    keyed by SHA-256; a body is here only where it is needed as evidence.
    `experiments` hold contacts that no plain client makes, so their operations are not among `operations`.
    `flows` are the packets of suspicious contacts, read; `pcap` is the file that they were read from (empty: none).
    """

    uid: str
    time: datetime
    target: str
    url: str
    vantage: VantageFacts
    site: str = ""
    category: str = ""
    expect: str = ""
    operations: tuple[AnyOperation, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    flows: tuple[Flow, ...] = ()
    control: tuple[ControlReply, ...] = ()
    control_configured: bool = True
    self_tests: tuple[SelfTest, ...] = ()
    asns: tuple[tuple[str, int], ...] = ()
    duration: float = 0.0
    recorded: str = ""
    pcap: bytes = b""
    bodies: dict[str, bytes] = msgspec.field(default_factory=dict)
    certificates: dict[str, bytes] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError("a measurement's time must be aware")

    def every_operation(self) -> Iterator[AnyOperation]:
        """The plain client's operations and those of the experiments."""
        yield from self.operations
        for experiment in self.experiments:
            for attempt in experiment.tries:
                yield from attempt.operations


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

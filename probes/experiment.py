"""The record of an experiment: contacts with a name, a phrase or a packet, and the same contacts without it.

No plain client makes such contacts. They are kept apart from its own, so that no rule takes one for the other.
"""

import msgspec

from .dns import DNSLookup
from .http import HTTPRoundTrip
from .quic import QUICHandshake
from .tcp import TCPConnect
from .tls import TLSHandshake

AnyOperation = DNSLookup | TCPConnect | TLSHandshake | QUICHandshake | HTTPRoundTrip


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One contact of an experiment, with its own operations.

    `sent` is what was put into it: the server name, the Host, the phrase or the name asked for; `innocuous` says that
    it is the one nobody objects to. `failure` None: it passed. `started` and `finished` are seconds of the measurement.
    `ttl` is the IP TTL that the trigger left with (0: the usual one), `router` who said that it ran out.
    `matched` names a search's own patterns that were in the page: `present`, `notice:0` and so on; with `elsewhere:`
    before them where the look-up was for the country in which the thing must be found.
    """

    sent: str
    started: float
    finished: float
    innocuous: bool = False
    address: str = ""
    port: int = 0
    failure: str | None = None
    ttl: int = 0
    router: str = ""
    matched: tuple[str, ...] = ()
    operations: tuple[AnyOperation, ...] = ()


class Experiment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`kind`: `sni`, `host`, `phrase`, `injection`, `quic`, `throughput`, `path` or `search`; of remote methods
    `injection`, `resolver`, `certificate` (is an address that was given the name's?), `sni`, `host` and `echo`.

    `place`: `own` (the site's own address), `neutral` (a helper's listener), `silent` (an address that runs no
    resolver), `platform:NAME` (a public search page), `remote` (somebody's server or resolver in the network that is
    measured from outside) or `sink` (a silent listener of our own there). `tries` are in the order in which they began;
    `left_out` says why the experiment, or its rest, was not made (then it is no evidence either way).
    """

    kind: str
    place: str
    started: float = 0.0
    finished: float = 0.0
    tries: tuple[Attempt, ...] = ()
    left_out: str = ""

"""Each of OONI's requests put on the connection that it was made on, or at the layer where it really failed.

Old data tell of a request that failed in DNS, TCP or TLS as if HTTP had failed, and not where it was sent.
"""

from collections.abc import Sequence

from probes.dns import DNSLookup
from probes.failure import REFUSED
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.url import URL

from .ooni_connections import NOWHERE, Connection, Connections
from .ooni_contacts import CERTIFICATE_FAILURES
from .ooni_pages import Request, round_trip

_CONNECT = frozenset({REFUSED, "host_unreachable", "network_unreachable", "network_down"})  # TCP's, never HTTP's


class Layers:
    """Places the requests of one measurement; `lookups` and `bodies` are what only they tell of."""

    def __init__(self, connections: Connections, lookups: Sequence[DNSLookup]) -> None:
        self.lookups: list[DNSLookup] = []
        self.bodies: dict[str, bytes] = {}
        self._connections = connections
        self._unresolved = {(lookup.name, lookup.hop) for lookup in lookups if lookup.failure}

    def place(self, request: Request) -> None:
        """Take one request."""
        failed, url = request.failure, request.url
        if request.endpoint is not None or failed is None or url is None or request.status:
            self._fetch(request)
        elif self._is_told_below(request, url):
            return
        elif failed.startswith(("dns_", "android_dns_")):
            self._look_up(request, url, failed)
        elif failed in _CONNECT:
            self._connect(request, failed)
        elif failed.startswith("ssl_") and url.scheme == "https":
            self._secure(request, url, failed)
        else:
            self._fetch(request)

    def _fetch(self, request: Request) -> None:
        made = self._connection(request)
        made.page, body = round_trip(request, made.address, made.port, made.flow)
        if body:
            self.bodies[made.page.body_sha256] = body

    def _look_up(self, request: Request, url: URL, failed: str) -> None:
        if (url.host, request.hop) not in self._unresolved:
            self.lookups.append(
                DNSLookup(
                    started=request.started, finished=request.finished, failure=failed, hop=request.hop,
                    attempt=request.repeat, engine="getaddrinfo", resolver="system", name=url.host,
                    query_type="ANY",
                )
            )  # fmt: skip

    def _connect(self, request: Request, failed: str) -> None:
        made = self._connections.open(0, NOWHERE, request.hop)
        made.connect = TCPConnect(
            started=request.started, finished=request.finished, failure=failed, hop=request.hop,
            attempt=request.repeat, address="", port=0, flow=made.flow,
        )  # fmt: skip

    def _secure(self, request: Request, url: URL, failed: str) -> None:
        made = self._connection(request, unsecured=True)
        wrong = failed if failed in CERTIFICATE_FAILURES else None
        made.handshake = TLSHandshake(
            started=request.started, finished=request.finished, failure=None if wrong else failed,
            hop=request.hop, attempt=request.repeat, address=made.address, port=made.port, flow=made.flow,
            server_name=url.host, certificate_failure=wrong,
        )  # fmt: skip

    def _is_told_below(self, request: Request, url: URL) -> bool:
        """Nothing at this hop got as far as HTTP: the failure is one that is recorded there already."""
        below = [c for c in self._connections.all if (c.hop, c.port) == (request.hop, url.port)]
        return bool(below) and all(known.stopped for known in below)

    def _connection(self, request: Request, *, unsecured: bool = False) -> Connection:
        """The connection that the request was made on; a new one where no record can be of it."""
        if request.endpoint is not None:
            found = self._connections.find(
                request.transaction, request.endpoint, lambda c: c.page is None and not request.repeat
            )
        else:
            found = next((c for c in self._connections.all if _can_carry(c, request, unsecured)), None)
        return found or self._connections.open(request.transaction, request.endpoint or NOWHERE, request.hop)


def _can_carry(known: Connection, request: Request, unsecured: bool) -> bool:
    """The first look of a hop takes its first good connection; a repeated one was on another."""
    if request.url is None or request.repeat or (unsecured and known.handshake is not None):
        return False
    here = (known.hop, known.port) == (request.hop, request.url.port)
    return here and known.connected and not known.stopped and known.page is None

"""What the control knows, over all its replies: addresses, endpoints and the page."""

from functools import cached_property

import msgspec

from probes.address import is_bogon, is_name
from probes.dns import DNSLookup
from probes.failure import NO_ANSWER
from probes.measurement import ControlEndpoint, ControlPage, ControlReply, Measurement
from probes.url import InvalidURL, parse_url


class View(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The control's knowledge of one hop's URL.

    `addresses` are those that count as the site's (see `_trusted`); `given` all that any control got.
    """

    replies: tuple[ControlReply, ...] = ()
    addresses: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()

    @property
    def good(self) -> bool:
        """At least one control answered."""
        return bool(self.replies)

    @cached_property
    def dns_known(self) -> bool:
        """A control asked DNS and got an answer that counts, or a failure."""
        return bool(self.addresses) or any(r.dns_known and not r.addresses for r in self.replies)

    @cached_property
    def dns_failure(self) -> str | None:
        """The failure of the control's DNS, where no control found an address; `dns_no_answer` where none exists."""
        asked = [r for r in self.replies if r.dns_known]
        if not asked or any(r.addresses for r in asked):
            return None
        return asked[0].dns_failure or NO_ANSWER

    @cached_property
    def asns(self) -> set[int]:
        """AS numbers of the addresses that count."""
        return {n for r in self.replies for a, n in r.asns if n and a in self.addresses}

    @cached_property
    def pages(self) -> list[ControlPage]:
        """The pages that controls got."""
        return [r.page for r in self.replies if r.page is not None and r.page.failure is None and r.page.status > 0]

    @cached_property
    def page_failure(self) -> str | None:
        """The failure of the control's page, where no control got one."""
        failed = [r.page.failure for r in self.replies if r.page is not None and r.page.failure]
        return failed[0] if failed and not self.pages else None

    def tcp(self, address: str, port: int) -> str | None:
        """None: not tried; `ok`; or the failure, where every control failed."""
        found = [e.tcp_failure for e in self._endpoints(address, port)]
        return None if not found else "ok" if None in found else found[0]

    def tls(self, address: str, port: int, name: str) -> str | None:
        """The same for the TLS handshake with the name."""
        tried = [e for e in self._endpoints(address, port) if e.tls is not None and e.server_name in ("", name)]
        if not tried:
            return None
        return "ok" if any(e.tls for e in tried) else tried[0].tls_failure or "unknown_failure"

    def valid_at(self, address: str) -> bool:
        """A control completed TLS with a valid certificate for the name at the address."""
        return any(e.tls for e in self._at(address))

    def invalid_at(self, address: str) -> bool:
        """A control tried TLS at the address, and none succeeded."""
        tried = [e.tls for e in self._at(address) if e.tls is not None]
        return bool(tried) and not any(tried)

    def _endpoints(self, address: str, port: int) -> list[ControlEndpoint]:
        return [e for e in self._at(address) if e.port == port]

    def _at(self, address: str) -> list[ControlEndpoint]:
        """The endpoints at an address; at a name, which nobody knows where it leads, all of them."""
        return [e for r in self.replies for e in r.endpoints if is_name(address) or e.address == address]


class Reference:
    """The control's replies, by hop."""

    def __init__(self, measurement: Measurement) -> None:
        self.replies = measurement.control
        self.configured = measurement.control_configured
        self._encrypted = _encrypted_answers(measurement)
        self._views: dict[int, View] = {}

    @property
    def answered(self) -> bool:
        """At least one control answered for the target's own URL."""
        return self.at(0).good

    def at(self, hop: int) -> View:
        """What the control knows of the URL of a hop."""
        if hop not in self._views:
            replies = tuple(r for r in self.replies if r.hop == hop and r.failure is None)
            self._views[hop] = View(
                replies=replies,
                given=frozenset(a for r in replies for a in r.addresses),
                addresses=_trusted(replies, self._encrypted.get(hop, frozenset())),
            )
        return self._views[hop]

    def good_before_and_after(self, hop: int) -> bool:
        """A control answered for the first look and again after the last try (judgement: control sandwich)."""
        attempts = {r.attempt for r in self.at(hop).replies or self.at(0).replies}
        return len(attempts) >= 2


def _trusted(replies: tuple[ControlReply, ...], encrypted: frozenset[str]) -> frozenset[str]:
    """Addresses that count (row 7): valid TLS there, or two controls agree; an encrypted resolver is a second one.

    A control that opened an https URL had valid TLS at one of its addresses, which one it does not say.
    """
    counted: set[str] = set()
    for reply in replies:
        valid = {e.address for e in reply.endpoints if e.tls}
        whole = bool(valid & set(reply.addresses)) or (
            reply.page is not None and reply.page.failure is None and reply.page.status > 0 and _is_https(reply.url)
        )
        others = {a for other in replies if other.source != reply.source for a in other.addresses}
        counted |= valid | (set(reply.addresses) if whole else set(reply.addresses) & (others | encrypted))
    return frozenset(a for a in counted if not is_bogon(a))


def _is_https(text: str) -> bool:
    try:
        return parse_url(text).scheme == "https"
    except InvalidURL:
        return False


def _encrypted_answers(measurement: Measurement) -> dict[int, frozenset[str]]:
    found: dict[int, frozenset[str]] = {}
    for op in measurement.operations:
        if isinstance(op, DNSLookup) and op.encrypted:
            found[op.hop] = found.get(op.hop, frozenset()) | frozenset(op.addresses())
    return found

"""Who may come in: by TLS, with a good token of an agent's vantage, and not too often."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from monitor.collect.rate_limit import RateLimit, client_key
from monitor.collect.vantage import Vantage
from monitor.engine import Engine
from monitor.store import Contact, Store, Token
from probes.address import kind
from probes.clock import Clock

from . import protocol
from .tokens import holder_of, token_in

FRESH = 1.0  # seconds after which a revoked token is refused at the latest; a new one is let in at once
RATE, BURST = 10.0, 20  # requests a second of one token, and at once
FAILURES, FAILURES_BURST = 10 / 60, 10  # failed authentications a second of one address, and at once
BYTES, BYTES_BURST = (
    2.0 * 2**20,
    64 * 2**20,
)  # bytes a second of one token, and at once: weeks of spool come fast enough
_VERSION, _DIGITS, _TIME = 40, 9, 64  # characters of headers
_FURTHEST = 10 * 366 * 86400.0  # seconds: a clock that is further off is told as that


class Denied(Exception):
    """A request that is refused: its status, one of `REFUSALS`, and after how many seconds it may come again."""

    def __init__(self, status: int, reason: str, text: str, *, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status, self.reason, self.retry_after = status, reason, retry_after


class Door:
    """Lets agents in. `engine` gives the present one."""

    def __init__(self, engine: Callable[[], Engine], store: Store, clock: Clock) -> None:
        self._engine, self._store, self._clock = engine, store, clock
        self._kept: list[Token] = []
        self._read = float("-inf")
        self._requests, self._failures = RateLimit(RATE, BURST, clock), RateLimit(FAILURES, FAILURES_BURST, clock)
        self._bytes = RateLimit(BYTES, BYTES_BURST, clock)

    async def admit(self, request: web.Request) -> Vantage:
        """The vantage whose token the request has. Raises Denied."""
        if not is_private(request.secure, request.remote):
            raise Denied(403, "plain_http", "a token is not to be sent in clear text: use HTTPS")
        token = token_in(request.headers.get("Authorization", ""))
        if not token:
            raise self._failed(request, "no_token", "there is no token")
        holder = holder_of(token, await self._tokens()) or holder_of(token, await self._tokens(anew=True))
        if holder is None:
            raise self._failed(request, "unknown_token", "there is no such token")
        if wait := self._requests.take(holder.sha256):
            raise Denied(429, "too_many", "too many requests", retry_after=wait)
        if holder.revoked is not None:
            raise Denied(403, "revoked_token", "the token was revoked")
        vantage = self._engine().vantages.get(holder.vantage)
        if vantage is None or vantage.facts.kind != "agent":
            raise Denied(403, "unknown_vantage", "the token's vantage is no agent of this service's")
        return vantage

    async def _tokens(self, *, anew: bool = False) -> list[Token]:
        """Every token, as the store had them a second ago at most: hundreds of agents ask in that time."""
        now = self._clock.monotonic()
        if anew or now - self._read > FRESH:
            self._kept, self._read = await self._store.tokens(), now
        return self._kept

    def may_send(self, vantage: str) -> None:
        """Raises Denied where an agent has sent more than its share."""
        if wait := self._bytes.take(vantage):
            raise Denied(429, "too_many_bytes", "too many bytes", retry_after=wait)

    def sent(self, vantage: str, size: int) -> None:
        """So many bytes came from an agent."""
        self._bytes.spend(vantage, size)

    def _failed(self, request: web.Request, reason: str, text: str) -> Denied:
        """A good token is let in however often others fail from its address, so nobody can lock an agent out."""
        if wait := self._failures.take(client_key(request.remote)):
            return Denied(429, "too_many_failures", "too many requests without a good token", retry_after=wait)
        return Denied(401, reason, text)


class Said(msgspec.Struct, frozen=True):
    """What the headers say of the agent; None and empty where they do not."""

    skew: float | None
    spooled: int | None
    version: str


def said(request: web.Request, now: datetime) -> Said:
    """The agent about itself: its clock, its spool, its version."""
    spooled = request.headers.get(protocol.SPOOLED, "")
    version = request.headers.get(protocol.VERSION, "")
    return Said(
        skew=_skew(request.headers.get(protocol.TIME, ""), now),
        spooled=int(spooled) if spooled.isascii() and spooled.isdigit() and len(spooled) <= _DIGITS else None,
        version=version if version.isascii() and version.isprintable() and len(version) <= _VERSION else "",
    )


def is_private(secure: bool, remote: str | None) -> bool:
    """Whether nobody could read the token on its way: by TLS, or from this machine, where a proxy may stand."""
    return secure or kind((remote or "").partition("%")[0]) == "loopback"


def contact_of(vantage: str, told: Said, now: datetime) -> Contact:
    """The contact as the store keeps it."""
    return Contact(vantage=vantage, at=now, skew=told.skew, spooled=told.spooled, version=told.version)


def _skew(text: str, now: datetime) -> float | None:
    """Seconds by which the agent's clock was ahead as the request arrived; the way here makes it seem late."""
    if not text or len(text) > _TIME:
        return None
    try:
        theirs = datetime.fromisoformat(text)
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
        skew = (theirs - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return max(-_FURTHEST, min(_FURTHEST, skew))

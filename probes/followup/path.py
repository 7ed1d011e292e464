"""The trigger with a limited TTL: how far must it go before somebody reacts, and who stands there?

The connection is made as usual; only what comes after it, the ClientHello or the request, leaves with a TTL of n and
dies n hops away. What comes back all the same was sent by somebody at or before that hop. No privilege is needed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from probes import dns
from probes.address import is_ipv6
from probes.dns import DNSLookup
from probes.experiment import Attempt, Experiment
from probes.failure import REFUSED, TIMEOUT
from probes.tcp import TCPConnect
from probes.trace import Trace
from probes.url import parse_url

from .hops import LEFT_OUT_HOPS, NoHopsError, ShortNetwork, routers
from .host import fetch_failure
from .pairs import LEFT_OUT_LISTENERS, LEFT_OUT_TIME, attempt
from .setting import SPACING, Endpoint, Setting
from .sni import handshake_failure

Trigger = Literal["tls", "http", "dns"]
HOPS = 24  # few paths are longer, and a censor is seldom at the far end
WAIT = 2.0  # seconds for a reaction; the kernel sends the trigger again meanwhile, so one loss is no silence
CAME, SILENT = 2, 3  # times that the reaction at the lowest TTL, and the silence one hop before, are seen
TRIGGERS = 16  # at most; 9 do for 24 hops where every trigger is noticed
_SILENT = frozenset({TIMEOUT, "timed_out", "host_unreachable"})


async def path(trace: Trace, setting: Setting, *, trigger: Trigger, hops: int = HOPS) -> Experiment:
    """Find the lowest TTL at which something comes, then ask for the routers up to there.

    `setting.sent` is a name; with `http` it may be a path with its query, from "/" on.
    """
    started, tries, left_out = trace.now(), list[Attempt](), ""
    try:
        while not left_out and len(tries) < TRIGGERS and (ttl := next_ttl(tries, hops)) is not None:
            left_out = await _try(trace, setting, tries, trigger, ttl, innocuous=False)
        lowest = lowest_ttl(tries)
        if lowest and not left_out:
            left_out = await _try(trace, setting, tries, trigger, lowest, innocuous=True)
    except NoHopsError:
        return Experiment(
            kind="path", place=setting.place, started=started, finished=trace.now(), left_out=LEFT_OUT_HOPS
        )
    if lowest and trace.now() <= setting.until:
        tries += await routers(trace, setting, tries[0].address, lowest)
    return Experiment(
        kind="path", place=setting.place, started=started, finished=trace.now(), tries=tuple(tries), left_out=left_out
    )


def heard(attempt: Attempt) -> bool | None:
    """Whether anything came back to a trigger; None where it was never sent."""
    last = attempt.operations[-1] if attempt.operations else None
    if last is None or isinstance(last, TCPConnect):
        return None
    if isinstance(last, DNSLookup):
        if last.responses:
            return True
        return False if last.failure in (*_SILENT, REFUSED) else None  # refused: by the place that runs no resolver
    return getattr(last, "received", 0) > 0 or last.failure not in _SILENT


def lowest_ttl(tries: Sequence[Attempt]) -> int:
    """The lowest TTL of a trigger at which something came; 0 where nothing ever did."""
    return min((t.ttl for t in tries if not t.innocuous and heard(t)), default=0)


def next_ttl(tries: Sequence[Attempt], hops: int) -> int | None:
    """The TTL to try next; None: it is found, or there is nothing to find.

    What came is certain, silence may be a censor's lapse: so only the first bounds the search for good, and the hop
    below the answer has to be silent three times.
    """
    triggers = [t for t in tries if not t.innocuous]
    came = Counter(t.ttl for t in triggers if heard(t))
    silent = Counter(t.ttl for t in triggers if heard(t) is False)
    if len(triggers) - came.total() - silent.total() > CAME:  # it cannot even be sent
        return None
    if not came:
        return hops if silent[hops] < CAME else None
    lowest = min(came)
    below = max((ttl for ttl in silent if ttl < lowest), default=0)
    if below < lowest - 1:
        return (below + lowest) // 2
    if below and silent[below] < SILENT:
        return below
    return lowest if came[lowest] < CAME else None


async def _try(
    trace: Trace, setting: Setting, tries: list[Attempt], trigger: Trigger, ttl: int, *, innocuous: bool
) -> str:  # fmt: skip
    """One trigger at an endpoint of its own, added to the tries; else why it was left out."""
    if trace.now() > setting.until:
        return LEFT_OUT_TIME
    endpoint = setting.take()
    if endpoint is None:
        return LEFT_OUT_LISTENERS
    seen, lowest = not innocuous, lowest_ttl(tries)  # until it is known: whoever is cancelled here has sent the name

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        branch.limits = msgspec.structs.replace(branch.limits, timeout=WAIT, dns_timeout=WAIT, listen=SPACING)
        branch.network = ShortNetwork(branch.network, ttl)
        return await _send(branch, setting, trigger, endpoint, sent)

    try:
        made = await attempt(trace, setting, once, endpoint, innocuous=innocuous)
        tries.append(msgspec.structs.replace(made, ttl=ttl))
        seen = not innocuous and (heard(made) is not False or ttl >= (lowest or ttl))
    finally:
        await setting.done(endpoint, seen)
    await trace.clock.sleep(SPACING)
    return ""


async def _send(branch: Trace, setting: Setting, trigger: Trigger, endpoint: Endpoint, sent: str) -> str | None:
    """What came of one trigger."""
    if trigger == "tls":
        return await handshake_failure(branch, endpoint, sent, setting.authorities)
    if trigger == "http":
        host = f"[{endpoint[0]}]" if is_ipv6(endpoint[0]) else endpoint[0]
        where = f"http://{host}{sent}" if sent.startswith("/") else f"http://{sent}/"
        return await fetch_failure(branch, endpoint, parse_url(where))
    lookup = await dns.lookup(branch, sent, "A", resolver="silent", server=endpoint)
    return None if lookup.responses else lookup.failure

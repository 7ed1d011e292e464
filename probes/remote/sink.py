"""A silent sink of one's own across the border: a name is sent there, and nobody answers. What comes back was put in.

Both ends drop the resets of their own kernels (docs/deployment.md, "A sink"), so silence until the deadline is what
passes, and the record of the handshake or the request says honestly that it timed out.
"""

from collections import deque

import msgspec

from probes import http, tcp, tls
from probes.experiment import Experiment
from probes.failure import TIMEOUT
from probes.followup.pairs import LEFT_OUT_LISTENERS, in_pairs
from probes.followup.setting import PAIRS, Endpoint, Setting
from probes.http import HTTPRoundTrip
from probes.tls import TLSHandshake
from probes.trace import Limits, Trace
from probes.url import parse_url

from .contact import KINDS, agent_of
from .servers import NO_NAME
from .setting import RemoteSetting

SILENCE = 5.0  # seconds in which an injected packet has come: it has half of the way that an answer would have
ANSWERED = "unknown_failure: answered"  # by somebody, at an address where nobody answers
NO_SINK = "no further port of the sink is free"


async def sink(trace: Trace, setting: RemoteSetting) -> list[Experiment]:
    """Pairs of contacts with the sink, each at a port of its own: innocuous, then the name."""
    scheme = setting.url.partition("://")[0]
    kind = KINDS.get(scheme, "sni")
    free = deque(s for s in setting.places if s.protocol == scheme and not setting.refusal(s.address, s.port))
    left_out = "" if setting.name and setting.innocuous else NO_NAME
    left_out = left_out or ("" if free else NO_SINK)
    if left_out:
        return [Experiment(kind=kind, place="sink", started=trace.now(), finished=trace.now(), left_out=left_out)]

    def take() -> Endpoint | None:
        spot = free.popleft() if free else None
        return (spot.address, spot.port) if spot else None

    async def done(endpoint: Endpoint, failed: bool) -> None:
        if failed:
            await setting.rest(*endpoint)

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        await setting.turn(endpoint[0])
        branch.limits = _brief(branch.limits)
        failure = await (_hello if kind == "sni" else _request)(branch, setting, endpoint, sent)
        return None if _is_silence(branch) else failure or ANSWERED

    pairs = Setting(
        place="sink", take=take, done=done, sent=setting.name, innocuous=setting.innocuous[0], until=setting.until,
        authorities=setting.authorities, gate=setting.gate, pairs=min(PAIRS, len(free)),
    )  # fmt: skip
    made = await in_pairs(trace, kind, pairs, once)
    if made.left_out == LEFT_OUT_LISTENERS:
        made = msgspec.structs.replace(made, left_out=NO_SINK)
    return [made]


async def _hello(branch: Trace, setting: RemoteSetting, endpoint: Endpoint, name: str) -> str | None:
    """A ClientHello."""
    stream = await tcp.connect(branch, *endpoint)
    if stream is not None:
        secured = await tls.handshake(branch, stream, name, authorities=setting.authorities)
        if secured is not None:
            secured.close()
    return branch.operations[-1].failure


async def _request(branch: Trace, setting: RemoteSetting, endpoint: Endpoint, name: str) -> str | None:
    """A plain request."""
    stream = await tcp.connect(branch, *endpoint)
    if stream is None:
        return branch.operations[-1].failure
    try:
        page = await http.fetch(
            branch, stream, parse_url(f"http://{name}/"), address=endpoint[0], port=endpoint[1], flow=stream.flow,
            received=lambda: stream.received, agent=agent_of(setting),
        )  # fmt: skip
    finally:
        stream.close()
    return page.failure


def _is_silence(branch: Trace) -> bool:
    """The name was sent, and nothing at all came until the deadline."""
    last = branch.operations[-1]
    return isinstance(last, TLSHandshake | HTTPRoundTrip) and last.failure == TIMEOUT and not last.received


def _brief(limits: Limits) -> Limits:
    return msgspec.structs.replace(limits, timeout=min(limits.timeout, SILENCE))

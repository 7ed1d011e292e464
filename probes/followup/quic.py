"""The server name in a QUIC handshake: is it the name for which UDP is dropped?

At the site's own address the innocuous name goes first, twice, then the name, twice: after the first hit all UDP to
that address and port is dropped for minutes, innocuous names too (judgement row 18). At neutral listeners each pair has
an address and port of its own.
"""

from probes.experiment import Attempt, Experiment
from probes.quic import available, handshake
from probes.trace import Trace

from .pairs import Once, attempt, in_pairs
from .setting import Endpoint, Setting

NOT_INSTALLED = "the extra quic is not installed"
_BLOCK = 2  # tries of each name at the own address: the contract's fewest failures


async def quic(trace: Trace, setting: Setting) -> Experiment:
    """QUIC handshakes, in pairs at neutral listeners, in two blocks at the site's own address."""
    if not available():
        return Experiment(kind="quic", place=setting.place, started=trace.now(), left_out=NOT_INSTALLED)

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        step = await handshake(branch, *endpoint, sent, authorities=setting.authorities)
        return None if step.alert else step.failure  # an alert is the server's own word: the name came through

    if setting.place == "own":
        return await _in_blocks(trace, setting, once)
    return await in_pairs(trace, "quic", setting, once)


async def _in_blocks(trace: Trace, setting: Setting, once: Once) -> Experiment:
    started, tries, endpoint = trace.now(), list[Attempt](), setting.take()
    for innocuous in [True] * _BLOCK + [False] * _BLOCK:
        if endpoint is None or trace.now() > setting.until or any(t.innocuous and t.failure for t in tries):
            break
        tries.append(await attempt(trace, setting, once, endpoint, innocuous=innocuous))
    return Experiment(kind="quic", place=setting.place, started=started, finished=trace.now(), tries=tuple(tries))

"""The server name: does the same listener complete TLS with an innocuous name and fail with the one in question?"""

from probes import tcp, tls
from probes.certificate import Authorities
from probes.experiment import Experiment
from probes.tls import TLSHandshake
from probes.trace import Trace

from .pairs import in_pairs
from .setting import Endpoint, Setting


async def sni(trace: Trace, setting: Setting) -> Experiment:
    """TLS handshakes in pairs."""

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        return await handshake_failure(branch, endpoint, sent, setting.authorities)

    return await in_pairs(trace, "sni", setting, once)


async def handshake_failure(trace: Trace, endpoint: Endpoint, name: str, authorities: Authorities) -> str | None:
    """How one handshake ended; None: it passed. An alert is the server's own word: the name came through (row 13)."""
    stream = await tcp.connect(trace, *endpoint)
    if stream is None:
        return trace.operations[-1].failure
    secured = await tls.handshake(trace, stream, name, authorities=authorities)
    if secured is not None:
        secured.close()
    step = trace.operations[-1]
    assert isinstance(step, TLSHandshake)
    spoken = step.received > 0 and (step.failure or "").startswith("ssl_")
    return None if spoken else step.failure

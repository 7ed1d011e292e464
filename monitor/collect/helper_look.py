"""The look that a control test helper takes for a client: the name, its endpoints and its page, from here.

Everything is made of the probes, over whatever `Network` it is given. Nothing that a client, a resolver or a
redirect names is dialled unless the public Internet can be there.
"""

import asyncio

from probes import tcp, tls
from probes.measurement import ControlEndpoint, ControlReply
from probes.names import names_seen
from probes.tls import TLSHandshake
from probes.trace import Trace
from probes.url import DEFAULT_PORT, URL

from .helper_means import Means, resolve
from .helper_page import open_page
from .helper_protocol import ControlRequest

# The helper's own want of resources is no evidence, so such an endpoint is left out.
_OWN_FAULTS = frozenset({"too_many_open_files", "no_buffer_space", "permission_denied"})


async def look(means: Means, request: ControlRequest) -> ControlReply:
    """Look at the URL and the endpoints of a request; failures are results (df-007), never raised."""
    found = await resolve(means, request.url)
    targets = endpoints_of(request, found.addresses)
    async with asyncio.TaskGroup() as group:
        page = group.create_task(open_page(means, request, found))
        tasks = [
            group.create_task(_contact(means, request.url, address, port))
            for address, port in targets
            if means.dialable((address,))
        ]
    return ControlReply(
        source="helper",
        url=str(request.url),
        dns_failure=found.failure,
        addresses=found.addresses,
        endpoints=tuple(seen for task in tasks if (seen := task.result()) is not None),
        page=page.result(),
    )


def endpoints_of(request: ControlRequest, addresses: tuple[str, ...]) -> list[tuple[str, int]]:
    """What to dial: the endpoints given, then each address given or resolved at the ports of the URL."""
    url = request.url
    ports = [url.port] if url.port != DEFAULT_PORT[url.scheme] or url.scheme == "https" else [80, 443]
    given = [(address, port) for address, port, _text in request.endpoints]
    hosts = [*(address for address, _port in given), *addresses]
    return list(dict.fromkeys([*given, *((host, port) for host in hosts for port in ports)]))


async def _contact(means: Means, url: URL, address: str, port: int) -> ControlEndpoint | None:
    """TCP, and TLS where the port speaks it; None where the helper's own host is at fault."""
    speaks_tls = port == 443 or (url.scheme == "https" and port == url.port)
    async with means.gate:
        trace = means.trace()
        stream = await tcp.connect(trace, address, port)
        if stream is None:
            failure = trace.operations[-1].failure
            own_fault = failure in _OWN_FAULTS
            return None if own_fault else ControlEndpoint(address=address, port=port, tcp_failure=failure)
        if not speaks_tls:
            stream.close()
            return ControlEndpoint(address=address, port=port)
        step = await _handshake(means, trace, stream, url.host)
    failure = step.failure or step.certificate_failure
    return ControlEndpoint(
        address=address, port=port, tls=failure is None, tls_failure=failure, server_name=url.host,
        names=names_seen(trace, step),
    )  # fmt: skip


async def _handshake(means: Means, trace: Trace, stream: tcp.Stream, name: str) -> TLSHandshake:
    """Handshake in what is left of the endpoint's time, and hang up."""
    means.use_the_rest(trace)
    secured = await tls.handshake(trace, stream, name, authorities=means.authorities)
    if secured is not None:
        secured.close()
    step = trace.operations[-1]
    assert isinstance(step, TLSHandshake)
    return step

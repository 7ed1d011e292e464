"""The Host of a plain HTTP request, or a phrase in its path and query: does the same listener answer without it?"""

from urllib.parse import quote

from probes import http, tcp
from probes.experiment import Experiment
from probes.http import HTTPRoundTrip
from probes.trace import Trace
from probes.url import URL, parse_url

from .pairs import in_pairs
from .setting import Endpoint, Setting


async def host(trace: Trace, setting: Setting, *, path: str = "/") -> Experiment:
    """Requests in pairs, the two names as Host."""

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        return await fetch_failure(branch, endpoint, parse_url(f"http://{sent}{path}"))

    return await in_pairs(trace, "host", setting, once)


async def phrase(trace: Trace, setting: Setting) -> Experiment:
    """Requests in pairs, the two phrases in path and query; the Host is the listener's address.

    The word "search" stands in the path, since some phrases are blocked only beside it (Rambert et al. 2021).
    """

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        return await fetch_failure(branch, endpoint, parse_url(_at(endpoint, sent)))

    return await in_pairs(trace, "phrase", setting, once)


def path_of(text: str) -> str:
    """The path and query for a phrase; what stands in a URL so stays as it is."""
    if text.startswith("/"):
        return text
    coded = quote(text, safe="")
    return f"/search/{coded}?q={coded}"


def _at(endpoint: Endpoint, text: str) -> str:
    address, port = endpoint
    return f"http://[{address}]:{port}{path_of(text)}" if ":" in address else f"http://{address}:{port}{path_of(text)}"


async def fetch_failure(trace: Trace, endpoint: Endpoint, url: URL) -> str | None:
    """How one request ended; None: an answer came whole."""
    stream = await tcp.connect(trace, *endpoint)
    if stream is None:
        return trace.operations[-1].failure
    try:
        page: HTTPRoundTrip = await http.fetch(
            trace, stream, url, address=endpoint[0], port=endpoint[1], flow=stream.flow,
            received=lambda: stream.received,
        )  # fmt: skip
    finally:
        stream.close()
    return page.failure

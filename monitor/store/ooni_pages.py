"""OONI's HTTP requests (data format df-001) in the order in which they were made, and what each brought."""

import hashlib
from collections.abc import Iterable

import msgspec

from probes.http import REDIRECTS, HTTPRoundTrip, title_of
from probes.ooni_values import (
    Record,
    data,
    endpoint,
    failure,
    headers,
    mapping,
    records,
    span,
    tagged_hop,
    text,
    transaction,
    whole,
)
from probes.url import URL, InvalidURL, join, parse_url

_MAX_URL = 8192


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `url` is None where it cannot be read, old data lack `endpoint` and `transaction`.

    `repeat` counts from 0 the requests for one URL at one hop.
    """

    url: URL | None
    text: str
    hop: int
    repeat: int
    endpoint: tuple[str, int] | None
    transaction: int
    failure: str | None
    started: float
    finished: float
    response: Record

    @property
    def status(self) -> int:
        """The response's code, or 0."""
        return whole(self.response.get("code"), low=1, high=999)

    @property
    def location(self) -> str:
        """Where a redirect leads, as the server wrote it."""
        values = (value for name, value in headers(self.response) if name.lower() == "location")
        return next(values, "") if self.status in REDIRECTS else ""

    @property
    def next_host(self) -> str:
        """The host of the page that the redirect leads to, or the empty string."""
        try:
            return join(self.url, self.location).host if self.url and self.location else ""
        except InvalidURL:
            return ""


def requests(keys: Record) -> list[Request]:
    """The requests, oldest first (OONI writes the newest first), with the hop of each.

    Without the tag `depth=N` the position gives the hop; a URL that is asked for again after a failure is the
    same hop. What went through Tor or QUIC is left out: it did not go the plain client's way.
    """
    found: list[Request] = []
    for record in reversed(records(keys.get("requests"))):
        if _is_plain(record) and text(mapping(record.get("request")).get("url"), 1):
            found.append(_request(record, found[-1] if found else None))
    return found


def round_trip(request: Request, address: str, port: int, flow: int) -> tuple[HTTPRoundTrip, bytes]:
    """The request as our operation, and the body that came."""
    body, more = data(request.response.get("body"))
    trip = HTTPRoundTrip(
        started=request.started, finished=request.finished, failure=request.failure, hop=request.hop,
        attempt=request.repeat, address=address, port=port, url=request.text, flow=flow,
        status=request.status, location=request.location,
        headers=headers(request.response), title=title_of(body), body_length=len(body),
        body_sha256=hashlib.sha256(body).hexdigest() if body else "",
        cut="limit" if more or request.response.get("body_is_truncated") is True else "",
    )  # fmt: skip
    return trip, body


def hosts(found: Iterable[Request]) -> dict[str, int]:
    """The first hop at which each host was asked."""
    first: dict[str, int] = {}
    for request in found:
        if request.url is not None:
            first[request.url.host] = min(request.hop, first.get(request.url.host, request.hop))
    return first


def _is_plain(record: Record) -> bool:
    asked = mapping(record.get("request"))
    if mapping(asked.get("tor")).get("is_tor") is True:
        return False
    return record.get("network") not in ("udp", "quic") and asked.get("x_transport") not in ("udp", "quic")


def _request(record: Record, before: Request | None) -> Request:
    asked = mapping(record.get("request"))
    url, spelled = _url(asked.get("url"))
    hop, repeat = tagged_hop(record), 0
    if hop is None and before is not None and before.failure is not None and before.text == spelled:
        hop, repeat = before.hop, before.repeat + 1
    elif hop is None:
        hop = before.hop + 1 if before is not None else 0
    started, finished = span(record)
    return Request(
        url=url, text=spelled, hop=hop, repeat=repeat, endpoint=endpoint(record.get("address")),
        transaction=transaction(record), failure=failure(record.get("failure")),
        started=started, finished=finished, response=mapping(record.get("response")),
    )  # fmt: skip


def _url(value: object) -> tuple[URL | None, str]:
    spelled = text(value, _MAX_URL)
    try:
        url = parse_url(spelled)
    except InvalidURL:
        return None, spelled
    return url, str(url)

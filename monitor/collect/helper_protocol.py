"""What a control test helper is asked and what it answers: OONI's Web Connectivity helper protocol, in JSON.

Pure: bytes in, records out, and back. The failures of DNS, TCP and HTTP go by the legacy names that OONI's
helpers still use; those of TLS are today's (df-007).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from monitor import __version__
from probes import failure as failures
from probes.address import embedded_ipv4, endpoint, is_bogon, kind, parse, split_endpoint
from probes.http3 import alternative
from probes.measurement import ControlEndpoint, ControlPage, ControlReply
from probes.url import URL, InvalidURL, parse_url

MAX_BODY = 64 * 1024  # bytes of a request
MAX_ENDPOINTS = 20  # of a request; OONI's probe sends some 10
HONOURED = frozenset({"user-agent", "accept", "accept-language"})  # of the client's headers
_MAX_VALUE = 1024  # characters of a header's value
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")  # RFC 9110 section 5.5, ASCII only
_PORT = re.compile(r"[0-9]{1,5}")

RESOLVED_BY_PROBE, RESOLVED_BY_HELPER, BOGON, VALID_FOR_DOMAIN = 1, 2, 4, 8  # flags of ip_info

_DNS = {
    failures.NXDOMAIN: "dns_name_error",
    failures.NO_ANSWER: None,  # OONI: asked, and no address exists
    "dns_servfail_error": "dns_server_failure",
    "dns_refused_error": "dns_server_failure",
    "dns_server_misbehaving": "dns_server_failure",
    "dns_temporary_failure": "dns_server_failure",
    "dns_non_recoverable_failure": "dns_server_failure",
}
_TCP = {
    failures.REFUSED: "connection_refused_error",
    failures.TIMEOUT: "generic_timeout_error",
    "timed_out": "generic_timeout_error",
}


class BadRequest(ValueError):
    """The request cannot be answered; str() is one line that says why."""


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at. `endpoints`: (address, port, the client's spelling); `headers`: the honoured ones."""

    url: URL
    endpoints: tuple[tuple[str, int, str], ...] = ()
    headers: dict[str, str] = {}


class HelperPage(ControlPage, frozen=True, kw_only=True, omit_defaults=True):
    """The page as the helper got it; `cut` says why its body is not whole: `limit`, `deadline` or empty."""

    cut: str = ""


class _Wire(msgspec.Struct):
    """The request's JSON; Go clients send null for an empty list. Unknown keys are passed over."""

    http_request: str
    http_request_headers: dict[str, list[str] | None] | None = None
    tcp_connect: list[str] | None = None
    x_quic_enabled: bool | None = None


_DECODER = msgspec.json.Decoder(_Wire)


def parse_request(body: bytes) -> ControlRequest:
    """The request in a POST's body. Raises BadRequest, and nothing else."""
    if len(body) > MAX_BODY:
        raise BadRequest(f"the request is longer than {MAX_BODY} bytes")
    try:
        wire = _DECODER.decode(body)
        url = parse_url(wire.http_request)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"not the JSON that was expected: {ascii(str(error))[1:-1][:200]}") from None
    except InvalidURL as error:
        raise BadRequest(f"http_request: {error}") from None
    given = wire.tcp_connect or []
    if len(given) > MAX_ENDPOINTS:
        raise BadRequest(f"tcp_connect: more than {MAX_ENDPOINTS} endpoints")
    return ControlRequest(
        url=url,
        endpoints=tuple(_endpoint(text) for text in given),
        headers=_headers(wire.http_request_headers or {}),
    )


def _endpoint(text: str) -> tuple[str, int, str]:
    shown = ascii(text)[1:-1][:80]
    if "%" in text or not _PORT.fullmatch(text.rpartition(":")[2]):
        raise BadRequest(f"tcp_connect: '{shown}' is no ADDRESS:PORT")
    try:
        address, port = split_endpoint(text)
    except ValueError:
        raise BadRequest(f"tcp_connect: '{shown}' is no ADDRESS:PORT") from None
    if not 1 <= port <= 65535:
        raise BadRequest(f"tcp_connect: the port of '{shown}' is not from 1 to 65535")
    return str(parse(address)), port, text


def _headers(given: dict[str, list[str] | None]) -> dict[str, str]:
    honoured: dict[str, str] = {}
    for name, values in given.items():
        if name.lower() in HONOURED and values:
            if len(values[0]) > _MAX_VALUE or not _VALUE.fullmatch(values[0]):
                raise BadRequest(f"http_request_headers: {name} has a value that no request may carry")
            honoured[name.lower()] = values[0]
    return honoured


def may_dial(address: str, *, allow_private: bool) -> bool:
    """Whether the helper may contact an address that somebody named; its own host never, nor inside NAT64."""
    inner = embedded_ipv4(address)
    if kind(inner) in ("loopback", "unspecified"):  # Linux takes 0.0.0.0 and :: for loopback
        return False
    return allow_private or not is_bogon(inner)


def encode_reply(request: ControlRequest, reply: ControlReply, *, ours: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request as OONI has it. `ours`: further keys of `x_wallwatch`."""
    labels = {(address, port): text for address, port, text in reversed(request.endpoints)}
    named = [(labels.get((e.address, e.port), endpoint(e.address, e.port)), e) for e in reply.endpoints]
    return {
        "tcp_connect": {name: _tcp(found) for name, found in named},
        "tls_handshake": {name: _tls(found) for name, found in named if found.tls is not None},
        "quic_handshake": {},
        "http_request": _http(request.url, reply.page or ControlPage(failure="not_tried")),
        "http3_request": None,
        "dns": {"failure": _DNS.get(reply.dns_failure, "unknown_error") if reply.dns_failure else None,
                "addrs": list(reply.addresses)},
        "ip_info": _ip_info(request, reply),
        "x_wallwatch": {"version": __version__, **_measured(reply.page), **ours,
                        "names": {name: list(found.names) for name, found in named if found.names}},
    }  # fmt: skip


def _tcp(found: ControlEndpoint) -> dict[str, Any]:
    failure = _TCP.get(found.tcp_failure, "connect_error") if found.tcp_failure else None
    return {"status": failure is None, "failure": failure}


def _tls(found: ControlEndpoint) -> dict[str, Any]:
    return {"server_name": found.server_name, "status": bool(found.tls), "failure": found.tls_failure}


def _http(url: URL, page: ControlPage) -> dict[str, Any]:
    failed = page.failure is not None
    headers: dict[str, str] = {}
    for name, value in page.headers if not failed else ():
        headers.setdefault(name, value)
    return {
        "body_length": -1 if failed else page.body_length,
        "discovered_h3_endpoint": "" if failed else _h3(url, page.headers),
        "failure": _http_failure(page.failure),
        "title": "" if failed else page.title,
        "headers": headers,
        "status_code": -1 if failed else page.status,
    }


def _http_failure(failure: str | None) -> str | None:
    """The legacy name of what stopped the page."""
    if failure is None:
        return None
    return "dns_lookup_error" if failure.startswith("dns_") else _TCP.get(failure, "unknown_error")


def _h3(url: URL, headers: Sequence[tuple[str, str]]) -> str:
    """`host:port` of the HTTP/3 service that the page's server offers (RFC 7838), or empty."""
    found = alternative(headers) if url.scheme == "https" else None
    if found is None:
        return ""
    host = found[0] or (f"[{url.host}]" if ":" in url.host else url.host)
    return f"{host}:{found[1]}"


def _ip_info(request: ControlRequest, reply: ControlReply) -> dict[str, Any]:
    given = {address for address, _port, _text in request.endpoints}
    valid = {found.address for found in reply.endpoints if found.tls}
    return {
        address: {
            "asn": dict(reply.asns).get(address, 0),
            "flags": RESOLVED_BY_PROBE * (address in given)
            | RESOLVED_BY_HELPER * (address in reply.addresses)
            | BOGON * is_bogon(address)
            | VALID_FOR_DOMAIN * (address in valid),
        }
        for address in _unique([*sorted(given), *reply.addresses])
    }


def _measured(page: ControlPage | None) -> dict[str, Any]:
    page = page or ControlPage(failure="not_tried")
    return {
        "ttfb_seconds": page.ttfb,
        "body_seconds": page.body_seconds,
        "body_bytes": max(0, page.body_length),
        "body_sha256": page.body_sha256,
        "body_cut": page.cut if isinstance(page, HelperPage) else "",
    }


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))

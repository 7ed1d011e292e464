"""One connection on its way: first the trouble on the client's own line, then the censor, then the origin."""

import asyncio
from typing import Literal

import msgspec

from probes.address import is_ipv6

from . import origin
from .censor import Rule
from .exchange import Reply, Request, exchange
from .line import Channel, Line, SecureLine
from .opening import Opening, host_name, read_opening
from .origin import Visit
from .place import Place
from .trouble import PORTAL_HOST

Fate = Literal["open", "closed", "silent", "unreachable"]
_WEB = (80, 443)
_LOGIN = (
    b"<!DOCTYPE html><html><head><title>Guest Wi-Fi - sign in</title></head><body><h1>Welcome</h1>"
    b'<form method="post" action="/login"><input name="room"><button>Connect</button></form></body></html>'
)
_CONNECT = {"tcp_refuse": "closed", "tcp_blackhole": "silent", "tcp_unreachable": "unreachable"}


def fate(place: Place, address: str, port: int) -> str:
    """What becomes of a SYN: a `Fate`."""
    trouble = place.trouble
    if trouble.offline:
        return trouble.offline
    if is_ipv6(address) and trouble.ipv6 != "works":
        return trouble.ipv6
    if place.loses():
        return "silent"
    if trouble.captive_portal and port in _WEB:
        return "open"
    rule = place.censor.on_connect(address, port)
    if rule is not None:
        return _CONNECT[rule.kind]
    if (trouble.transparent_proxy and port == 80) or place.censor.serves(address, port):
        return "open"
    return place.world.door(address, port, place.client)


async def carry(place: Place, line: Line, address: str, port: int) -> None:
    """Carry one accepted connection until it ends. Raises OSError and EOFError."""
    if place.trouble.captive_portal and port in _WEB:
        return await _portal(place, line)
    stopped = place.censor.on_accept(place.client, address, port)
    if stopped:
        return await (line.reset() if stopped == "reset" else line.swallow())
    opening = await read_opening(line)
    if opening.protocol == "none":
        return
    line.rate = place.censor.rate(address, port, opening)
    visit = Visit(client=place.client, address=address, port=port, opening=opening)
    rule = place.censor.on_opening(place.client, address, port, opening)
    if rule is not None:
        return await _interfere(place, rule, visit, line)
    await asyncio.sleep(place.trouble.latency)
    await _forward(place, visit, line)


async def _interfere(place: Place, rule: Rule, visit: Visit, line: Line) -> None:
    if rule.kind == "mitm":
        return await _intercept(place, rule, visit, line)
    if rule.kind == "block_page":
        return await _show(line, line, Reply(rule.status, rule.body, rule.headers))
    if rule.kind == "redirect":
        headers = (*rule.headers, ("Location", rule.location))
        return await _show(line, line, Reply(302, rule.body, headers))
    _layer, _, how = rule.kind.partition("_")
    await {"reset": line.reset, "drop": line.swallow, "close": line.end}[how]()


async def _intercept(place: Place, rule: Rule, visit: Visit, line: Line) -> None:
    """Complete TLS in the site's place and show a page, or pass on what is behind it."""
    secured = await _with_strange_certificate(place, line, visit.opening, rule.authority)
    if rule.body:
        return await _show(secured, line, Reply(rule.status, rule.body, rule.headers))
    await origin.answer(place.world, visit, secured, line, secure=True)


async def _with_strange_certificate(
    place: Place, line: Line, opening: Opening, authority: Literal["self_signed", "untrusted"]
) -> SecureLine:
    names = (opening.name if opening.name.isascii() and opening.name else "gateway.example",)
    kind = "self_signed" if authority == "self_signed" else "valid"
    secured = SecureLine(line, place.world.stranger.context(kind, names))
    await secured.handshake()
    return secured


async def _show(channel: Channel, line: Line, reply: Reply) -> None:
    """Answer whatever is asked with one reply."""

    async def always(_request: Request) -> Reply:
        return reply

    await exchange(channel, always)
    await line.end()


async def _portal(place: Place, line: Line) -> None:
    """The guest network's box: a login page for HTTP, its own certificate for TLS."""

    async def one(request: Request) -> Reply:
        if place.trouble.captive_portal == "page" or host_name(request.host) == PORTAL_HOST:
            return Reply(200, _LOGIN, (("Server", "portal"), ("Cache-Control", "no-store")))
        return Reply(302, b"", (("Server", "portal"), ("Location", f"http://{PORTAL_HOST}/")))

    opening = await read_opening(line)
    channel: Channel = line
    if opening.protocol == "tls":
        named = Opening("tls", PORTAL_HOST)
        channel = await _with_strange_certificate(place, line, named, "self_signed")
    await exchange(channel, one)
    await line.end()


async def _forward(place: Place, visit: Visit, line: Line) -> None:
    port = place.world.service(visit.address, visit.port)
    if port is not None:
        return await _splice(line, port)
    if place.trouble.transparent_proxy and visit.opening.protocol == "http":
        visit = _proxied(place, visit)
    await origin.serve(place.world, visit, line)


def _proxied(place: Place, visit: Visit) -> Visit:
    """A transparent proxy looks up the Host header itself, whatever address the client had."""
    site = place.world.site(visit.opening.name, place.client)
    address = site.addresses[0] if site and site.addresses else visit.address
    return msgspec.structs.replace(visit, address=address, via="cache.isp.example")


async def _splice(line: Line, port: int) -> None:
    """Join the connection to a service on loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    inner = Line(reader, writer)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(line, inner))
            group.create_task(_pump(inner, line))
    except* OSError:
        await line.reset()
    finally:
        inner.close()


async def _pump(source: Line, sink: Line) -> None:
    while data := await source.read():
        await sink.write(data)
    sink.finish()

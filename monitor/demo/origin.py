"""A site's own behaviour, from its TLS server to its pages; it does not know that anybody is in between."""

import asyncio
import struct

import msgspec

from .exchange import Reply, Request, exchange
from .line import Channel, Line, SecureLine
from .opening import Opening, host_name
from .world import Site, World
from .zone import question, reply, truth

_TLS_PORTS = (443, 853)
_UNRECOGNIZED_NAME = bytes.fromhex("15030300020270")  # a fatal alert, RFC 6066 section 3


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as it reaches a server. `via` names a proxy that it came through."""

    client: str
    address: str
    port: int
    opening: Opening
    via: str = ""


async def serve(world: World, visit: Visit, line: Line) -> None:
    """Be the server at the visit's address, until the connection ends. Raises OSError and EOFError."""
    site, known = world.pick(visit.address, visit.opening.name, visit.client)
    if site is None or site.behaviour in ("down", "reset"):
        return await line.reset()
    if site.behaviour == "silent":
        return await line.swallow()
    if site.behaviour == "close" or (visit.opening.protocol == "tls") != (visit.port in _TLS_PORTS):
        return await line.end()
    line.rate = min(filter(None, (line.rate, site.rate)), default=0)
    if visit.opening.protocol == "tls":
        secured = await _secured(world, site, line, known=known)
        if secured is not None and visit.port == 853:
            await _resolve(world, visit.client, secured, line)
        elif secured is not None:
            await answer(world, visit, secured, line, secure=True)
    else:
        await answer(world, visit, line, line, secure=False)


async def answer(world: World, visit: Visit, channel: Channel, line: Line, *, secure: bool) -> None:
    """Answer requests with the pages of the sites at the address; the Host header picks the site."""

    async def one(request: Request) -> Reply | None:
        name = host_name(request.host) or visit.opening.name
        site, _known = world.pick(visit.address, name, visit.client)
        if site is None:
            return Reply(404, b"not found")
        if site.doh and secure and request.target.startswith("/dns-query"):
            return _dns(world, visit.client, request)
        if site.behaviour == "slow":
            await asyncio.sleep(site.seconds)
        page = page_of(site, request, secure=secure)
        extra = (("Via", f"1.1 {visit.via}"),) if visit.via else ()
        return msgspec.structs.replace(page, headers=(*page.headers, *extra))

    if await exchange(channel, one):
        await line.end()
    else:
        await line.swallow()


def page_of(site: Site, request: Request, *, secure: bool) -> Reply:
    """What the site answers to a request."""
    path = request.target.partition("?")[0]
    if site.behaviour == "loop":
        return _to(f"{'https' if secure else 'http'}://{request.host}{request.target}")
    if not secure and site.http == "redirect":
        return _to(f"https://{host_name(request.host)}{request.target}")
    if site.redirect_to:
        return _to(site.redirect_to)
    body = site.pages.get(path, site.body or _plain_page(site))
    if site.status in (204, 304):
        body = b""
    return Reply(site.status, body, (("Server", "nginx"), *site.headers), stalls=site.behaviour == "stall")


def _to(location: str) -> Reply:
    return Reply(301, b"", (("Server", "nginx"), ("Location", location)))


def _plain_page(site: Site) -> bytes:
    title = site.title or site.name
    head, body = f"<head><title>{title}</title></head>", f"<body><h1>{title}</h1></body>"
    return f"<!DOCTYPE html><html>{head}{body}</html>".encode()


async def _secured(world: World, site: Site, line: Line, *, known: bool) -> SecureLine | None:
    """The handshake with the site's certificate; None where the site ended the connection instead."""
    if not known and site.unknown_name == "reset":
        await line.reset()
        return None
    refused = not known and site.unknown_name == "alert"
    if refused or site.certificate == "none":
        await line.write(_UNRECOGNIZED_NAME if refused else b"")
        await line.end()
        return None
    secured = SecureLine(line, world.authority.context(site.certificate, site.names()))
    await secured.handshake()
    return secured


def _dns(world: World, client: str, request: Request) -> Reply:
    """An answer of RFC 8484, by POST."""
    wire = _truth(world, client, request.body)
    if wire is None:
        return Reply(400, b"bad request")
    return Reply(200, wire, (("Content-Type", "application/dns-message"),))


async def _resolve(world: World, client: str, channel: Channel, line: Line) -> None:
    """Answer questions behind their two-byte length (RFC 7858) until one is none."""
    data = b""
    while more := await channel.read():
        data += more
        while len(data) >= 2 and len(data) >= 2 + (length := struct.unpack_from("!H", data)[0]):
            wire = _truth(world, client, data[2 : 2 + length])
            if wire is None:
                return await line.end()
            data = data[2 + length :]
            await channel.write(struct.pack("!H", len(wire)) + wire)


def _truth(world: World, client: str, wire: bytes) -> bytes | None:
    asked = question(wire)
    if asked is None:
        return None
    message, name, query_type = asked
    return reply(message, truth(world, name, query_type, client=client))

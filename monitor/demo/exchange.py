"""HTTP/1.1 as a server speaks it, over any channel; who answers what is passed in."""

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

import h11
import msgspec

from .line import Channel

MARK = ("X-Wallwatch-Simulated", "1")  # in every response of the simulated world
_BODY = 1024 * 1024  # bytes of a request that are taken


class Request(msgspec.Struct, frozen=True):
    """A request as it came."""

    method: str
    target: str
    host: str
    body: bytes = b""


class Reply(msgspec.Struct, frozen=True):
    """A response. `stalls`: half of the body is sent, and then nothing more."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    stalls: bool = False


Answerer = Callable[[Request], Awaitable[Reply | None]]


async def exchange(channel: Channel, answer: Answerer) -> bool:
    """Answer requests until the connection ends; False where the answerer gave None or the reply stalls."""
    connection = h11.Connection(h11.SERVER)
    while True:
        request = await _receive(connection, channel)
        if request is None:
            return True
        reply = await answer(request)
        if reply is None:
            return False
        await _send(connection, channel, request, reply)
        if reply.stalls:
            return False
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return True
        connection.start_next_cycle()


async def _receive(connection: h11.Connection, channel: Channel) -> Request | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await channel.read())
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body = (body + bytes(event.data))[:_BODY]
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            host = next((value for key, value in head.headers if key == b"host"), b"")
            return Request(head.method.decode(), head.target.decode("latin-1"), host.decode("latin-1"), body)
        else:
            return None


async def _send(connection: h11.Connection, channel: Channel, request: Request, reply: Reply) -> None:
    bare = reply.status in (204, 304) or request.method == "HEAD"
    own = {key.lower() for key, _ in reply.headers}
    usual = [("Date", formatdate(usegmt=True)), ("Content-Type", "text/html; charset=utf-8")]
    headers = [*((key, value) for key, value in usual if key.lower() not in own), *reply.headers, MARK]
    if reply.status not in (204, 304) and "content-length" not in own:
        headers.append(("Content-Length", str(len(reply.body))))
    head = h11.Response(status_code=reply.status, headers=headers, reason=_reason(reply.status))
    wire = connection.send(head) or b""
    if not bare:
        body = reply.body[: len(reply.body) // 2] if reply.stalls else reply.body
        wire += connection.send(h11.Data(data=body)) or b""
    if not reply.stalls:
        wire += connection.send(h11.EndOfMessage()) or b""
    await channel.write(wire)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

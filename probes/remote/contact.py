"""One contact with a server in the network: a whole answer to a name, over TLS, plain HTTP or echo."""

import asyncio
import contextlib
import hashlib

import h11
import msgspec

from probes import failure as failures
from probes import http, tcp, tls
from probes.experiment import Attempt
from probes.http import HTTPRoundTrip
from probes.tls import TLSHandshake
from probes.trace import Limits, Trace
from probes.url import URL, parse_url

from .setting import RemoteSetting, Spot

BODY_BYTES = 64 * 1024  # enough to know a page by, and little to ask of a stranger
REST_OF_IT = 1.0  # seconds in which the rest of an answer that is no echo may come: a block page is known by its body
KINDS = {"https": "sni", "http": "host", "echo": "echo"}  # protocol -> kind of experiment


async def attempt(trace: Trace, setting: RemoteSetting, spot: Spot, sent: str, *, innocuous: bool) -> Attempt:
    """One try with a name, in a notebook of its own and in its turn."""
    branch = trace.branch()
    branch.limits = _modest(branch.limits)
    async with setting.gate(spot.address):
        await setting.turn(spot.address)
        started = branch.now()
        failure = await _CONTACTS[spot.protocol](branch, setting, spot, sent)
    return Attempt(
        sent=sent, innocuous=innocuous, address=spot.address, port=spot.port, started=started, finished=branch.now(),
        failure=failure, operations=tuple(branch.operations),  # type: ignore[arg-type]
    )  # fmt: skip


def agent_of(setting: RemoteSetting) -> str:
    """The User-Agent, which says what this is and whom to write to."""
    contact = "".join(c for c in setting.contact[:200] if " " <= c <= "~")
    return f"Wallwatch (measures Internet censorship; {contact})" if contact else "Wallwatch"


async def _secure(branch: Trace, setting: RemoteSetting, spot: Spot, name: str) -> str | None:
    """TLS with the name as SNI, then a page with it as Host. An alert is the server's own word (row 13)."""
    stream = await tcp.connect(branch, spot.address, spot.port)
    if stream is None:
        return branch.operations[-1].failure
    secured = await tls.handshake(branch, stream, name, authorities=setting.authorities)
    if secured is None:
        step = branch.operations[-1]
        assert isinstance(step, TLSHandshake)
        return None if step.received and (step.failure or "").startswith("ssl_") else step.failure
    try:
        page = await _page(branch, setting, secured, stream, parse_url(f"https://{name}/"))
    finally:
        secured.close()
    return page.failure


async def _plain(branch: Trace, setting: RemoteSetting, spot: Spot, name: str) -> str | None:
    """A page with the name as Host."""
    stream = await tcp.connect(branch, spot.address, spot.port)
    if stream is None:
        return branch.operations[-1].failure
    try:
        page = await _page(branch, setting, stream, stream, parse_url(f"http://{name}/"))
    finally:
        stream.close()
    return page.failure


async def _page(
    branch: Trace, setting: RemoteSetting, channel: http.ByteStream, stream: tcp.Stream, url: URL
) -> HTTPRoundTrip:
    return await http.fetch(
        branch, channel, url, address=stream.address, port=stream.port, flow=stream.flow,
        received=lambda: stream.received, agent=agent_of(setting),
    )  # fmt: skip


async def _echo(branch: Trace, setting: RemoteSetting, spot: Spot, name: str) -> str | None:
    """The text of such a request, which an echo service sends back (RFC 862). The record is that of an exchange without
    status; `expected` says whether what came is what was sent."""
    stream = await tcp.connect(branch, spot.address, spot.port)
    if stream is None:
        return branch.operations[-1].failure
    url, started = parse_url(f"http://{name}/"), branch.now()
    text = _text_of(url, agent_of(setting))
    try:
        came, failure = await _exchange(branch, stream, text)
    finally:
        stream.close()
    digest = hashlib.sha256(came).hexdigest() if came else ""
    if came and came != text:
        branch.bodies[digest] = came
    branch.record(
        HTTPRoundTrip(
            started=started, finished=branch.now(), failure=failure, address=spot.address, port=spot.port,
            flow=stream.flow, url=str(url), body_length=len(came), body_sha256=digest, received=len(came),
            expected=None if failure else came == text,
        )
    )  # fmt: skip
    return failure


def _text_of(url: URL, agent: str) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    return (connection.send(http.request(url, agent=agent)) or b"") + (connection.send(h11.EndOfMessage()) or b"")


async def _exchange(branch: Trace, stream: tcp.Stream, text: bytes) -> tuple[bytes, str | None]:
    """What came back, up to the length of what was sent, and the failure.

    Something else than the text is no failure, however short it is and however it ends: somebody answers.
    """
    came = b""
    try:
        async with asyncio.timeout(branch.limits.timeout):
            await stream.write(text)
            while len(came) < len(text) and text.startswith(came):
                data = await stream.read(len(text) - len(came))
                if not data:
                    raise EOFError
                came += data
    except (OSError, EOFError, TimeoutError) as error:
        return came, failures.of(error)
    return came if text.startswith(came) else came + await _rest(stream, BODY_BYTES - len(came)), None


async def _rest(stream: tcp.Stream, room: int) -> bytes:
    """What else comes soon, until the end."""
    came = b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(REST_OF_IT):
            while room > len(came) and (data := await stream.read(room - len(came))):
                came += data
    return came


def _modest(limits: Limits) -> Limits:
    return msgspec.structs.replace(limits, body_bytes=min(limits.body_bytes, BODY_BYTES))


_CONTACTS = {"https": _secure, "http": _plain, "echo": _echo}

"""The network behind a SOCKS5 or HTTP proxy: TCP only, and names are resolved at its far side.

A proxy's own trouble is never the target's: whatever happens before it has let us in, and whatever it does not explain,
is a failure of its own (`failure.PROXY…`). What it says of the target (RFC 1928 section 6, RFC 9110 section 15) becomes
the target's failure.
"""

import asyncio
import errno
import os
import socket
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import h11
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from .address import endpoint, is_ipv6, parse
from .capability import ADDRESSES, CLOSE_REASONS, PACKETS, QUIC, SYSTEM_DNS, UDP
from .failure import PROXY, PROXY_FAILED, PROXY_REFUSES, Named
from .network import DirectNetwork

PATIENCE = 5.0  # seconds that a proxy has to take the connection and to let us in
_NEVER = 86400.0  # seconds, in the place of python-socks' own limit: the caller bounds the time
_HEAD = 16 * 1024  # bytes of a proxy's answer to CONNECT
_REPLIES = {3: errno.ENETUNREACH, 4: errno.EHOSTUNREACH, 5: errno.ECONNREFUSED, 8: errno.EAFNOSUPPORT}
_NOT_ALLOWED, _TTL_EXPIRED, _GENERAL = 2, 6, 1
_STATUSES = {401: PROXY, 403: PROXY_REFUSES, 405: PROXY_REFUSES, 407: PROXY}  # 401: a wrong password at tinyproxy


class ProxyNetwork:
    """A `Network` through one proxy, whose own address is dialled from an interface or source where one is given."""

    blind: frozenset[str] = frozenset({SYSTEM_DNS, UDP, QUIC, CLOSE_REASONS, PACKETS, ADDRESSES})

    def __init__(self, proxy: str, *, interface: str = "", source: str = "", patience: float = PATIENCE) -> None:
        """`proxy`: `socks5://` or `http://`, `USER:PASSWORD@` where it asks for it, host and port."""
        parts = urlsplit(proxy)
        if parts.scheme not in ("socks5", "http") or not parts.hostname or not parts.port:
            raise ValueError("a proxy is socks5://HOST:PORT or http://HOST:PORT")
        self._place = (parts.hostname, parts.port)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._open = self._by_socks if parts.scheme == "socks5" else self._by_connect
        self._patience = patience
        self._direct = DirectNetwork(interface=interface, source=source)

    async def connect(self, address: str, port: int) -> socket.socket:
        """See `Network.connect`. `address` may be a name; raises `failure.Named` for what is the proxy's fault."""
        try:
            return await self._open(address, port)
        except _Answer as answer:
            raise answer.error from None
        except (OSError, ValueError, h11.RemoteProtocolError):
            raise Named(PROXY) from None

    async def open_udp(self, address: str, port: int) -> socket.socket:
        """See `Network.open_udp`: no proxy of ours carries datagrams."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    async def getaddrinfo(self, name: str) -> list[str]:
        """See `Network.getaddrinfo`: nobody tells us what the far side's resolver answers."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def nameservers(self) -> Sequence[tuple[str, int]]:
        """See `Network.nameservers`: none can be asked."""
        return ()

    def capture(self) -> None:
        """See `Network.capture`: the packets beyond the proxy are not to be seen."""

    async def _dial(self) -> socket.socket:
        """A connection to the proxy itself."""
        host, port = self._place
        found = [host] if parse(host) else sorted(await self._direct.getaddrinfo(host), key=is_ipv6)[:2]
        error: OSError = Named(PROXY)
        for address in found:
            try:
                return await self._direct.connect(address, port)
            except OSError as failed:
                error = failed
        raise error

    async def _by_socks(self, address: str, port: int) -> socket.socket:
        """SOCKS5 (RFC 1928). Until it has let us in its silence is its own, after that it is the target's."""
        async with asyncio.timeout(self._patience) as until:
            way = _Way(self._dial, lambda: until.reschedule(None))
            proxy = Proxy(
                ProxyType.SOCKS5, *self._place, username=self._user or None, password=self._password or None,
                rdns=True, forward=way,  # type: ignore[arg-type]
            )  # fmt: skip
            try:
                return await proxy.connect(address, port, timeout=_NEVER)
            except ProxyError as error:
                raise _said(error.error_code) from None

    async def _by_connect(self, address: str, port: int) -> socket.socket:
        """HTTP's CONNECT (RFC 9110 section 9.3.6). The whole head is read: none of it may be left to the target."""
        async with asyncio.timeout(self._patience):
            sock = await self._dial()
        try:
            await self._ask(sock, endpoint(address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _ask(self, sock: socket.socket, target: str) -> None:
        loop, http = asyncio.get_running_loop(), h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        headers = [("Host", target)]
        if self._user:
            word = b64encode(f"{self._user}:{self._password}".encode()).decode()
            headers.append(("Proxy-Authorization", f"Basic {word}"))
        request = h11.Request(method="CONNECT", target=target, headers=headers)
        await loop.sock_sendall(sock, (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        while not isinstance(event := http.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                http.receive_data(await loop.sock_recv(sock, _HEAD))
            elif not isinstance(event, h11.InformationalResponse):
                raise Named(PROXY)
        if event.status_code == 504:
            raise _Answer(TimeoutError())
        if event.status_code // 100 != 2:
            raise _Answer(Named(_STATUSES.get(event.status_code, PROXY_FAILED)))
        if http.trailing_data[0]:  # who is beyond it waits for our first word
            raise Named(PROXY)


class _Answer(Exception):
    """What the proxy says of the target."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def _said(reply: int | None) -> Exception:
    """The error for a SOCKS5 reply other than success; None: there was none, or none that can be read."""
    if reply in _REPLIES:
        return _Answer(OSError(_REPLIES[reply], os.strerror(_REPLIES[reply])))
    if reply == _TTL_EXPIRED:
        return _Answer(TimeoutError())
    if reply in (_GENERAL, _NOT_ALLOWED):
        return _Answer(Named(PROXY_FAILED if reply == _GENERAL else PROXY_REFUSES))
    return Named(PROXY)


class _Way:
    """How python-socks gets to the proxy: it takes the place of a proxy before this one."""

    def __init__(self, dial: Callable[[], Any], let_in: Callable[[], None]) -> None:
        self._dial, self._let_in = dial, let_in

    async def connect(self, **_place: Any) -> socket.socket:
        """A connection to the proxy, and an ear for its first words."""
        sock = await self._dial()
        heard = _Greeted(fileno=sock.detach())
        heard.setblocking(False)
        heard.let_in = self._let_in
        return heard


class _Greeted(socket.socket):
    """Tells when the proxy has let us in: by its choice of no password, or by its answer to ours (RFC 1929)."""

    let_in: Callable[[], None] | None = None
    _said = b""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As `socket.recv`."""
        data = super().recv(bufsize, flags)
        if self.let_in is not None:
            self._said += data
            if len(self._said) >= (2 if self._said[1:2] == b"\0" else 4):
                self.let_in()
                self.let_in = None
        return data

"""Sockets of any namespace for one process: it steps in, makes the socket, and steps out."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from .namespaces import enter

HOME = "sites"
_IP_TRANSPARENT = 19  # Linux: connections to addresses that are not the host's own can be answered


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets made here belong to the namespace. Nothing may be awaited in it."""
    enter(namespace)
    try:
        yield
    finally:
        enter(HOME)


def tcp_listener(namespace: str, address: str, port: int) -> socket.socket:
    """A listening socket."""
    with inside(namespace):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        sock.bind((address, port))
        sock.listen(256)
        sock.setblocking(False)
        return sock


def udp_socket(namespace: str, address: str, port: int) -> socket.socket:
    """A bound datagram socket."""
    with inside(namespace):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        sock.setblocking(False)
        return sock

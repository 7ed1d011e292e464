"""A packet socket of Linux: opened, filtered, and what it tells of each packet. Needs CAP_NET_RAW."""

import ctypes
import socket
import struct
from collections.abc import Collection, Sequence
from ipaddress import ip_address

from . import bpf

RECEIVE_BUFFER = 512 * 1024  # bytes that may wait in the kernel, if net.core.rmem_max allows as many
HOST, OUTGOING = 0, 4  # linux/if_packet.h: PACKET_HOST, PACKET_OUTGOING
LOOPBACK = 772  # linux/if_arp.h: ARPHRD_LOOPBACK
_EVERYTHING = 0x0003  # ETH_P_ALL; without it no packet that leaves is seen
_SO_TIMESTAMPNS, _SO_ATTACH_FILTER = getattr(socket, "SO_TIMESTAMPNS", 35), 26  # Linux; Python 3.11 names neither
_SOL_PACKET, _STATISTICS, _AUXDATA = 263, 6, 8
_CHECKSUM_NOT_READY = 1 << 3  # TP_STATUS_CSUMNOTREADY


def open_socket(interface: str = "") -> socket.socket | None:
    """A non-blocking socket that lets nothing through yet, on one interface or on all; None where there is none."""
    if not hasattr(socket, "AF_PACKET"):
        return None
    everywhere = 0 if interface else socket.htons(_EVERYTHING)  # Python cannot bind to all interfaces
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, everywhere)
    except OSError:
        return None
    try:
        attach(sock, ())
        _discard(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        if interface:
            sock.bind((interface, _EVERYTHING))
    except OSError:
        sock.close()
        return None
    return sock


def attach(sock: socket.socket, peers: Collection[bytes]) -> None:
    """Let the kernel filter for these addresses. Raises OSError."""
    program = bpf.program(peers)
    buffer = ctypes.create_string_buffer(program, len(program))
    told = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)


def _discard(sock: socket.socket) -> None:
    """Throw away what came before there was a filter; nothing follows it."""
    try:
        while True:
            sock.recv(1)
    except BlockingIOError:
        return


def lost(sock: socket.socket) -> int:
    """How many packets found no room in the kernel since this was last asked."""
    return int(struct.unpack("@II", sock.getsockopt(_SOL_PACKET, _STATISTICS, 8))[1])


def told(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, bool]:
    """When the kernel saw the packet, in nanoseconds since 1970 (0: it does not say); is its checksum computed?"""
    nanoseconds, ready = 0, True
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= 16:
            seconds, rest = struct.unpack_from("@ll", data)
            nanoseconds = seconds * 1_000_000_000 + rest
        elif level == _SOL_PACKET and kind == _AUXDATA and len(data) >= 4:
            ready = not struct.unpack_from("@I", data)[0] & _CHECKSUM_NOT_READY
    return nanoseconds, ready


def is_own(address: bytes, interface: str = "") -> bool:
    """Whether the address is this host's: only then can a socket be bound to it."""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            if interface:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            sock.bind((str(ip_address(address)), 0))
    except OSError:
        return False
    return True

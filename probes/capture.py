"""The packets of suspicious contacts, as they pass the interface: needs CAP_NET_RAW and Linux, else there is none.

Only what this host exchanges with the watched addresses is kept, without the host's own address (`masking`).
"""

import asyncio
import socket
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from ipaddress import IPv6Address
from typing import Any, NamedTuple, Self

from . import address as addresses
from . import bpf, ip, pcap, tap
from .ip import Header
from .kept import MOST_PACKETS, Room
from .masking import mask
from .packets import Flow, Packet

MOST_PEERS = 64
_PAYLOAD_FROM_SERVER = 64  # bytes of a TCP packet's: a page may print who asked for it, and the page is kept elsewhere
_AT_ONCE = 64  # packets that are read before others have their turn
_MOST_READ = 50_000  # then nothing more is: a flood must not cost the time of the other measurements
_ENDS = frozenset("SFR")
_MOST_OWN = 64  # addresses that are remembered as our own or not


class _Kept(NamedTuple):
    nanoseconds: int  # since 1970, by the kernel
    at: float  # monotonic
    data: bytes  # masked
    length: int  # on the wire
    inbound: bool
    flow: "_Key"


class _Key(NamedTuple):
    """A conversation: the peer's address and port, ours, and the protocol; ports 0 where they cannot be read."""

    peer: bytes
    port: int
    local_port: int
    protocol: int


class Capture:
    """Packets from and to the addresses that are watched, from now until `close`. Never blocks, never raises for them.

    `counts`: `kept`; and what is lost: `kernel` (nobody read in time), `room` (over the bounds of `kept`), `foreign`
    (not this host's own), `unreadable` (no IP header), `full` (1: it stopped; what came later was not even counted);
    and `opaque`, kept but in the file only.
    """

    def __init__(self, sock: socket.socket, interface: str = "") -> None:
        self._socket = sock
        self._interface = interface
        self._peers: list[bytes] = []
        self._packets: list[_Kept] = []
        self._room = Room()
        self._counts: Counter[str] = Counter()
        self._own: dict[bytes, bool] = {}
        self._seen: dict[int, str] = {}
        self._clients: set[tuple[bytes, bytes, int, int]] = set()
        self._read = 0
        self._done = False
        self._offset = time.time() - time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._hear)

    @classmethod
    def open(cls, interface: str = "") -> Self | None:
        """A capture on one interface, or on all; None where this process may not, or the system cannot."""
        sock = tap.open_socket(interface)
        return None if sock is None else cls(sock, interface)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def counts(self) -> Counter[str]:
        """See the class."""
        return self._counts + Counter(kept=len(self._packets), room=self._room.refused, full=int(self._done))

    def watch(self, address: str) -> None:
        """Keep what is exchanged with this address from now on; nothing happens for no address, and one too many."""
        parsed = addresses.parse(address)
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        if parsed is None or parsed.packed in self._peers or len(self._peers) >= MOST_PEERS or self._done:
            return
        try:
            tap.attach(self._socket, [*self._peers, parsed.packed])
        except OSError:  # closed, or the kernel has no memory for a longer filter: the old one stays
            return
        self._peers.append(parsed.packed)

    def flows(self, began: datetime) -> tuple[Flow, ...]:
        """The TCP connections so far, in the order of their first packets; `began` is when the measurement did.

        The kernel stamps packets by the wall clock. They are put on the monotonic one when they are read, so that a
        step of the wall clock moves none of them.
        """
        self._drain()
        zero = began.timestamp() - self._offset
        found: list[tuple[_Key, list[Packet]]] = []
        current: dict[_Key, list[Packet]] = {}
        for kept in self._packets:
            header = ip.read(kept.data)
            packet = header and ip.tcp_packet(kept.data, header, at=round(kept.at - zero, 6), inbound=kept.inbound)
            if not packet:
                continue
            if kept.flow not in current or _begins_anew(packet, current[kept.flow]):
                current[kept.flow] = []
                found.append((kept.flow, current[kept.flow]))
            current[kept.flow].append(packet)
        return tuple(
            Flow(address=_text(key.peer), port=key.port, local_port=key.local_port, packets=tuple(packets))
            for key, packets in found
        )

    def pcap(self) -> bytes:
        """All packets so far as a file, which holds none where none was kept."""
        self._drain()
        return pcap.file(((k.nanoseconds, k.data, k.length) for k in self._packets), snaplen=bpf.SNAPLEN)

    def close(self) -> None:
        """Read what has come, and stop. What was kept can still be asked for."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._drain()
            self._socket.close()

    def _drain(self) -> None:
        """Take what waits in the kernel: as much as its buffer holds, and not what comes meanwhile without end."""
        if self._socket.fileno() < 0:
            return
        for _ in range(tap.RECEIVE_BUFFER // bpf.SNAPLEN // _AT_ONCE):
            if not self._hear():
                break
        self._counts["kernel"] += tap.lost(self._socket)

    def _hear(self) -> bool:
        """Take some packets; whether there may be more."""
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _flags, place = self._socket.recvmsg(bpf.SNAPLEN, 256)
            except OSError:  # nothing more; or the interface went down
                return False
            if self._done:
                continue  # what had waited
            self._read += 1
            self._take(data, ancillary, place)
            if self._room.full or self._read >= _MOST_READ:
                self._done = True
                with suppress(OSError):
                    tap.attach(self._socket, ())  # from now on a flood costs nothing
        return True

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]], place: Any) -> None:
        device, _protocol, kind, link = place[:4]
        if kind not in (tap.HOST, tap.OUTGOING) or (link == tap.LOOPBACK and kind == tap.OUTGOING):
            return  # what goes out by loopback comes in there
        header = ip.read(data)
        if header is None:
            self._counts["unreadable"] += 1
            return
        data = data[: header.end]  # without the link's padding
        way = self._direction(data, header, loopback=link == tap.LOOPBACK, outgoing=kind == tap.OUTGOING)
        if way is None:
            return
        inbound, own, key = way
        if not self._is_own(own):
            self._counts["foreign"] += 1
            return
        mark = hash((data, inbound))
        if self._seen.get(mark, device) != device:
            return  # the same packet again, on a bridge, bond or VLAN above the interface
        flags = ip.tcp_flags(data, header)
        size = len(data)
        if flags is not None and inbound:
            size = min(size, header.start + 4 * (data[header.start + 12] >> 4) + _PAYLOAD_FROM_SERVER)
        if not self._room.take(key, size, inbound=inbound, marking=bool(_ENDS & set(flags or ""))):
            return
        self._seen[mark] = device
        nanoseconds, ready = tap.told(ancillary)
        masked = mask(data, header, own, inbound=inbound, ready=ready)[:size]
        self._counts["opaque"] += header.protocol < 0 or (header.protocol == ip.TCP and flags is None)
        now = time.time()
        at = time.monotonic() - max(0.0, now - nanoseconds / 1e9) if nanoseconds else time.monotonic()
        self._packets.append(_Kept(nanoseconds or int(now * 1e9), at, masked, header.end, inbound, key))

    def _direction(
        self, data: bytes, header: Header, *, loopback: bool, outgoing: bool
    ) -> tuple[bool, bytes, _Key] | None:
        """Whether it came to us, our own address, and the conversation; None for what nobody asked for."""
        quote = ip.quoted(data, header)
        if quote is not None:
            about = ip.read(quote)
            if about is None or about.destination not in self._peers or outgoing:
                return None
            there = ip.ports(quote, about) or (0, 0)
            return True, header.destination, _Key(about.destination, there[1], there[0], about.protocol)
        if header.protocol in (ip.ICMP, ip.ICMPV6):
            return None
        source, destination = ip.ports(data, header) or (0, 0)
        theirs, ours = header.source in self._peers, header.destination in self._peers
        if theirs and ours:  # both ends are here: who spoke first is the client
            ends = header.source, header.destination, source, destination
            back = header.destination, header.source, destination, source
            inbound = back in self._clients
            if not inbound and len(self._clients) < MOST_PACKETS:
                self._clients.add(ends)
        else:
            inbound = theirs if loopback else not outgoing
        if inbound and theirs:
            return True, header.destination, _Key(header.source, source, destination, header.protocol)
        if not inbound and ours:
            return False, header.source, _Key(header.destination, destination, source, header.protocol)
        return None  # forwarded for somebody else

    def _is_own(self, own: bytes) -> bool:
        """Whether the address is this host's: only then can a socket be bound to it."""
        if own not in self._own:
            if len(self._own) >= _MOST_OWN:
                return False
            self._own[own] = tap.is_own(own, self._interface)
        return self._own[own]


def _begins_anew(packet: Packet, before: list[Packet]) -> bool:
    """Whether a local port is used again: another SYN than the first."""
    return (
        not packet.inbound and packet.flags.startswith("S") and "A" not in packet.flags
        and packet.sequence != before[0].sequence
    )  # fmt: skip


def _text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)

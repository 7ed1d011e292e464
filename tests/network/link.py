"""The link between two routers, played by one process: delay, loss, and the censor of each client.

It holds both ends of each link as TUN devices and is told by lines of JSON what to do to whom.
"""

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from typing import Any

import msgspec

from .censor import Censor, Fate
from .namespaces import enter
from .packet import Packet, read
from .rules import Rule

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_MOST = 2048  # bytes of a packet
_AT_ONCE = 64  # packets that are read before those that are due leave
DELAY = 0.008  # seconds each way


class Client(msgspec.Struct, kw_only=True):
    """What happens to one client's packets. `skipped`: seconds of waiting that its clock has passed over."""

    rules: list[Rule] = []
    delay: float = DELAY
    loss: float = 0.0
    seed: int = 0
    skipped: float = 0.0


class _Watched:
    def __init__(self, client: Client) -> None:
        self.client = client
        self._chance = random.Random(client.seed + 1)
        self.censor = Censor(client.rules, lambda: time.monotonic() + client.skipped, client.seed)

    def loses(self) -> bool:
        return bool(self.client.loss) and self._chance.random() < self.client.loss


class Link:
    """Copies packets between TUN devices until it is told to end."""

    def __init__(self, control: socket.socket) -> None:
        self._control, self._lines = control, control.makefile("rb")
        self._poll = select.epoll()
        self._poll.register(control, select.EPOLLIN)
        self._ways: dict[int, tuple[int, bool, int]] = {}  # from which device: (the other end, outbound, the box)
        self._boxes: set[int] = set()
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._number = 0
        self._watched: dict[str, _Watched] = {}
        self._nobody = _Watched(Client())

    def open(self, inside: str, outside: str, box: str = "") -> None:
        """A link between two namespaces; what is diverted goes to a third."""
        near, far = open_tun(inside, "tun0"), open_tun(outside, f"to-{inside}")
        beside = open_tun(box, "tun0") if box else -1
        self._ways[near] = (far, True, beside)
        self._ways[far] = (near, False, beside)
        if box:
            self._ways[beside] = (near, False, -1)
            self._boxes.add(beside)
        for device in (near, far, beside):
            if device >= 0:
                self._poll.register(device, select.EPOLLIN)

    def run(self) -> None:
        """Serve; returns when the control socket closes."""
        while True:
            wait = max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else -1
            for device, _event in self._poll.poll(wait):
                if device == self._control.fileno():
                    if not self._obey():
                        return
                else:
                    self._take(device)
            self._send_what_is_due()

    def _take(self, device: int) -> None:
        other, outbound, beside = self._ways[device]
        for _ in range(_AT_ONCE):
            try:
                data = os.read(device, _MOST)
            except BlockingIOError:
                return
            packet = read(data)
            if packet is not None:
                self._pass_on(packet, device, other, beside, outbound=outbound)

    def _pass_on(self, packet: Packet, device: int, other: int, beside: int, *, outbound: bool) -> None:
        watched = self._watched.get(packet.source if outbound else packet.destination, self._nobody)
        if watched.loses():
            return
        if device in self._boxes:
            fate = Fate()  # the censor knows its own
        else:
            fate = watched.censor.outbound(packet) if outbound else watched.censor.inbound(packet)
        now, delay = time.monotonic(), watched.client.delay
        near, far = (device, other) if outbound else (other, device)
        for seconds, to_client, forged in fate.forged:
            self._push(now + seconds, near if to_client else far, forged)
        if fate.diverted:
            self._push(now + delay / 2, beside, packet.data)
        elif fate.passes:
            self._push(now + delay, other, packet.data)

    def _push(self, due: float, device: int, data: bytes) -> None:
        self._number += 1
        heapq.heappush(self._queue, (due, self._number, device, data))

    def _send_what_is_due(self) -> None:
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _due, _number, device, data = heapq.heappop(self._queue)
            try:
                os.write(device, data)
            except OSError:  # the kernel wants no such packet
                continue

    def _obey(self) -> bool:
        line = self._lines.readline()
        if not line:
            return False
        order = json.loads(line)
        answer = self._do(order)
        self._control.sendall(json.dumps(answer).encode() + b"\n")
        return True

    def _do(self, order: dict[str, Any]) -> Any:
        addresses = order["client"]
        match order["do"]:
            case "watch":
                watched = _Watched(msgspec.convert(order["how"], Client))
                self._watched.update(dict.fromkeys(addresses, watched))
            case "add":
                watched = self._watched[addresses[0]]
                watched.client.rules.extend(msgspec.convert(order["rules"], list[Rule]))
            case "skip":
                self._watched[addresses[0]].client.skipped += order["seconds"]
            case "lift":
                self._watched[addresses[0]].client.rules.clear()
            case "forget":
                for address in addresses:
                    self._watched.pop(address, None)
            case "counts":
                return dict(self._watched[addresses[0]].censor.counts)
        return True


def open_tun(namespace: str, name: str) -> int:
    """A new TUN device in a namespace, without blocking; this process stays there."""
    enter(namespace)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def main(control: int, *links: str) -> None:
    """`links`: INSIDE:OUTSIDE[:BOX] each."""
    link = Link(socket.socket(fileno=control))
    for names in links:
        link.open(*names.split(":"))
    link._control.sendall(b"true\n")
    link.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

"""A client's place in the lab: a namespace of its own behind the first router."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from . import namespaces, plan
from .link import Client
from .told import Told

T = TypeVar("T")


class Seat:
    """A client's place: a namespace of its own from `__enter__` to `__exit__`. `run` runs something there."""

    def __init__(self, folder: Path, link: Told, servers: Told, number: int, how: Client) -> None:
        self.how = how
        self._folder, self._link, self._servers = folder, link, servers
        self._number, self.name = number, f"c{number}"
        self.address, self.six = plan.client_addresses(number)
        self._resolv_conf: Path | None = None

    def __enter__(self) -> Self:
        namespaces.make(self.name)
        self._attach(self.name, "r1")
        return self

    @contextmanager
    def beside(self, other: "Seat", interface: str) -> Iterator[None]:
        """One more way out of another seat's namespace, with this one's addresses and censor: a tunnel, as it were."""
        self._attach(other.name, interface, metric=100 + self._number)
        try:
            yield
        finally:
            self._link.tell(do="forget", client=[self.address, self.six])

    def _attach(self, namespace: str, device: str, *, metric: int = 0) -> None:
        """Join a namespace to the first router; its interface has the address of this client."""
        gate, last = plan.LEAVES[0], f" metric {metric}" if metric else ""
        namespaces.run("r1", [
            f"link add {self.name} type veth peer name {device} netns {namespace}", f"link set {self.name} up",
            f"addr add {gate}/32 dev {self.name}", f"route add {self.address}/32 dev {self.name}",
            f"-6 addr add fe80::1/64 dev {self.name} nodad", f"-6 route add {self.six}/128 dev {self.name}",
        ])  # fmt: skip
        namespaces.run(namespace, [
            f"link set {device} up", f"addr add {self.address}/32 dev {device}",
            f"-6 addr add {self.six}/128 dev {device} nodad", f"route add {gate}/32 dev {device}{last}",
            f"route add default via {gate} dev {device} src {self.address}{last}",
            f"-6 route add default via fe80::1 dev {device} src {self.six}{last}",
        ])  # fmt: skip
        self._link.tell(do="watch", client=[self.address, self.six], how=self.how)
        diverted = [r for r in self.how.rules if r.does == "divert"]
        self._servers.tell(client=[self.address, f"::ffff:{self.address}", self.six], rules=diverted)

    def __exit__(self, *_exception: object) -> None:
        self._link.tell(do="forget", client=[self.address, self.six])
        namespaces.remove(self.name)

    def slow_line(self, rate: str) -> None:
        """The kernel shapes what goes to this client (`tc tbf`), whoever sends it."""
        subprocess.run(
            ["tc", "-n", "r1", "qdisc", "add", "dev", self.name, "root", "tbf", "rate", rate, "burst", "8kb", "latency", "400ms"],
            check=True,
        )  # fmt: skip

    def skip(self, seconds: float) -> None:
        """The client's clock has passed over a wait; the censor's memory ages with it."""
        self._link.tell(do="skip", client=[self.address], seconds=seconds)

    def lift(self) -> None:
        """The censor's rules end."""
        self._link.tell(do="lift", client=[self.address])

    def counts(self) -> dict[str, int]:
        """What the censor has done to this client."""
        return dict(self._link.tell(do="counts", client=[self.address]))

    def run(self, work: Callable[[], T]) -> T:
        """Run a function in a thread of the client's namespace, and give its result or raise its exception."""
        result: list[T] = []
        fault: list[BaseException] = []

        def inside() -> None:
            try:
                namespaces.enter(self.name)
                if self._resolv_conf is not None:
                    namespaces.own_resolv_conf(self._resolv_conf)
                result.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                fault.append(error)

        thread = threading.Thread(target=inside, name=self.name)
        thread.start()
        thread.join()
        if fault:
            raise fault[0]
        return result[0]

    def nameservers(self, *addresses: str) -> None:
        """Give this client a resolv.conf of its own."""
        self._resolv_conf = self._folder / f"resolv-{self.name}"
        self._resolv_conf.write_text("".join(f"nameserver {a}\n" for a in addresses) + "options timeout:1 attempts:2\n")

"""A client's place in the lab: a namespace of its own behind the first router."""

import subprocess
import threading
from collections.abc import Callable
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
        self.name = f"c{number}"
        self.address, self.six = plan.client_addresses(number)
        self._resolv_conf: Path | None = None

    def __enter__(self) -> Self:
        gate = plan.LEAVES[0]
        namespaces.make(self.name)
        namespaces.join("r1", self.name)
        namespaces.run("r1", [
            f"addr add {gate}/32 dev {self.name}", f"route add {self.address}/32 dev {self.name}",
            f"-6 addr add fe80::1/64 dev {self.name} nodad", f"-6 route add {self.six}/128 dev {self.name}",
        ])  # fmt: skip
        namespaces.run(self.name, [
            f"addr add {self.address}/32 dev r1", f"-6 addr add {self.six}/128 dev r1 nodad",
            f"route add {gate}/32 dev r1", f"route add default via {gate} dev r1 src {self.address}",
            f"-6 route add default via fe80::1 dev r1 src {self.six}",
        ])  # fmt: skip
        self._link.tell(do="watch", client=[self.address, self.six], how=self.how)
        diverted = [r for r in self.how.rules if r.does == "divert"]
        self._servers.tell(client=[self.address, f"::ffff:{self.address}", self.six], rules=diverted)
        return self

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

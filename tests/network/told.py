"""A process that obeys lines of JSON over a socket, and answers each."""

import json
import socket
import subprocess
import sys
import threading
from typing import Any

import msgspec

UP = 8.0  # seconds in which everything must be there


class Told:
    """A process that obeys lines of JSON over a socket; each is answered."""

    def __init__(self, module: str, *arguments: str) -> None:
        ours, theirs = socket.socketpair()
        self._socket, self._lock = ours, threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.network.{module}", str(theirs.fileno()), *arguments],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr,
        )  # fmt: skip
        theirs.close()
        self._lines = ours.makefile("rb")

    def ready(self) -> None:
        """Wait until it says so."""
        self._socket.settimeout(UP)
        if not self._lines.readline():
            raise RuntimeError(f"{self.process.args!r} ended")

    def tell(self, **order: Any) -> Any:
        """Give an order and wait for the answer."""
        with self._lock:
            self._socket.sendall(msgspec.json.encode(order) + b"\n")
            return json.loads(self._lines.readline())

    def close(self) -> None:
        """It ends when nobody talks to it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

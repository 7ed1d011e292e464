"""Programs that a test starts and ends by their own process ids, and questions to them over HTTP."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
WALLWATCH = (sys.executable, "-m", "monitor.cli")


@contextmanager
def started(command: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program, its output in a file; it is told to end, and killed if it does not."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TMPDIR": str(log.parent)}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=log.parent)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(ask: Callable[[], T | None], *, seconds: float, every: float = 0.3) -> T:
    """The first answer that is something; an answer that cannot be had yet is none."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = ask()
        except (OSError, urllib.error.HTTPError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing after {seconds:.0f} s"
        time.sleep(every)


def get(url: str, **query: str) -> Any:
    """The JSON behind a URL; an error of the API is told with its reason."""
    full = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    try:
        with urllib.request.urlopen(full, timeout=20) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())

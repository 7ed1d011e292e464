"""What holds for all tests: whatever a module leaves open is found at its end, not somewhere later."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_open() -> Iterator[None]:
    yield
    gc.collect()  # a socket that was not closed warns now, and a warning is an error


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one of several processes takes as a whole: a file, whose tests may share a server; all that share the lab."""
    for item in items:
        path = item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group("network" if "tests/network" in path else path))

"""What holds for all tests: whatever a module leaves open is found at its end, not somewhere later."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_open() -> Iterator[None]:
    yield
    gc.collect()  # a socket that was not closed warns now, and a warning is an error

"""Programs of the system that a test needs; in CI they must be there."""

import os
import shutil

import pytest


def tool(name: str) -> str:
    """The program's path. Skips the test where it is not installed, and fails it in CI."""
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI must have it (Debian: prometheus)")
    pytest.skip(f"{name} is not installed (Debian: prometheus)")

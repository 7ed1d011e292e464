"""Programs of the system that a test needs; in CI they must be there."""

import os
import shutil

import pytest


def tool(name: str, *, package: str = "prometheus") -> str:
    """The program's path. Skips the test where it is not installed, and fails it in CI."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")  # not in everybody's PATH
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI must have it (Debian: {package})")
    pytest.skip(f"{name} is not installed (Debian: {package})")

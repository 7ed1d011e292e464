"""One certificate authority for all tests of the probes, and who trusts it."""

import pytest

from probes.certificate import Authorities
from tests.pki import TestAuthority


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def authorities(pki: TestAuthority) -> Authorities:
    return Authorities(pki.root)

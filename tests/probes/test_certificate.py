"""Is this chain good for this name? Dates are looked at first, then the name, then who vouches."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.certificate import Authorities, load
from tests.pki import TestAuthority

from .loopback import der

INVALID, HOSTNAME, UNKNOWN = "ssl_invalid_certificate", "ssl_invalid_hostname", "ssl_unknown_authority"
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(
    ("names", "asked", "failure"),
    [
        (("good.example",), "good.example", None),
        (("good.example",), "good.example.", None),
        (("other.example", "good.example"), "good.example", None),
        (("other.example",), "good.example", HOSTNAME),
        (("*.good.example",), "www.good.example", None),
        (("*.good.example",), "good.example", HOSTNAME),
        (("*.good.example",), "a.b.good.example", HOSTNAME),
        (("*.good.example",), "r3---sn-4g5e.good.example", None),
        (("*.good.example",), "a_b.good.example", None),  # no CA may issue for it, a wildcard holds it
        (("*.good.example",), "a.b_c.good.example", HOSTNAME),
        (("www.good.example",), "a_b.good.example", HOSTNAME),
        (("198.51.100.7", "2001:db8::7"), "198.51.100.7", None),
        (("198.51.100.7", "2001:db8::7"), "2001:db8::7", None),
        (("198.51.100.7",), "198.51.100.8", HOSTNAME),
        (("good.example",), "198.51.100.7", HOSTNAME),
        (("198.51.100.7",), "good.example", HOSTNAME),
        (("bad name",), "good.example", UNKNOWN),  # nothing to hold it against
        (("*",), "good.example", UNKNOWN),
    ],
)
def test_the_name(
    pki: TestAuthority, authorities: Authorities, names: tuple[str, ...], asked: str, failure: str | None
) -> None:
    chain = [der(pki.issue(*names).read_bytes())]
    assert authorities.failure_of(chain, asked, now()) == failure


def test_dates_come_before_the_name_and_the_name_before_the_authority(
    pki: TestAuthority, authorities: Authorities, tmp_path: Path
) -> None:
    stranger = TestAuthority(tmp_path, "Another Root")
    expired, signed = pki.expired("good.example"), pki.self_signed("good.example")
    future = pki.issue("good.example", since=2 * DAY)
    assert authorities.failure_of([der(expired.read_bytes())], "good.example", now()) == INVALID
    assert authorities.failure_of([der(expired.read_bytes())], "other.example", now()) == INVALID
    assert authorities.failure_of([der(stranger.expired("a.example").read_bytes())], "b.example", now()) == INVALID
    assert authorities.failure_of([der(future.read_bytes())], "good.example", now()) == INVALID
    assert authorities.failure_of([der(signed.read_bytes())], "good.example", now()) == UNKNOWN
    assert authorities.failure_of([der(stranger.issue("a.example").read_bytes())], "a.example", now()) == UNKNOWN
    # A name is only judged where somebody vouches for the certificate.
    assert authorities.failure_of([der(stranger.issue("a.example").read_bytes())], "b.example", now()) == UNKNOWN


def test_a_certificate_made_this_minute_is_good(pki: TestAuthority, authorities: Authorities) -> None:
    fresh = [der(pki.issue("good.example", since=timedelta(seconds=-1)).read_bytes())]
    assert authorities.failure_of(fresh, "good.example", now()) is None
    assert authorities.failure_of(fresh, "other.example", now()) == HOSTNAME
    ended = [der(pki.issue("good.example", until=timedelta(seconds=-700)).read_bytes())]
    assert authorities.failure_of(ended, "good.example", now()) == INVALID


def test_a_chain_that_is_none(pki: TestAuthority, authorities: Authorities) -> None:
    leaf = der(pki.issue("good.example").read_bytes())
    assert authorities.failure_of([], "good.example", now()) == INVALID
    assert authorities.failure_of([b"garbage"], "good.example", now()) == INVALID
    assert authorities.failure_of([leaf, b"garbage"], "good.example", now()) == UNKNOWN
    assert authorities.failure_of([leaf[:-20]], "good.example", now()) == INVALID
    assert authorities.failure_of([leaf, der(pki.root.read_bytes())], "good.example", now()) is None
    with pytest.raises(ValueError):
        load(b"garbage")


def test_a_version_that_does_not_exist(pki: TestAuthority, authorities: Authorities) -> None:
    leaf = der(pki.issue("good.example").read_bytes())
    at = leaf.index(b"\xa0\x03\x02\x01\x02") + 4
    odd = leaf[:at] + b"\x07" + leaf[at + 1 :]
    assert authorities.failure_of([odd], "good.example", now()) == INVALID
    with pytest.raises(ValueError):
        load(odd)


def signed_with(*extensions: x509.ExtensionType) -> bytes:
    """A self-signed certificate with those extensions and nothing else."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


_SAN = x509.SubjectAlternativeName.oid


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (x509.UnrecognizedExtension(_SAN, b"\x30\x05\xa3\x03\x30\x01\x00"),),  # an x400Address
        (x509.UnrecognizedExtension(_SAN, b"\xff"),),
        (x509.SubjectAlternativeName([x509.RFC822Name("a@good.example")]),),
    ],
)
def test_names_that_cannot_be_read(authorities: Authorities, extensions: tuple[x509.ExtensionType, ...]) -> None:
    assert authorities.failure_of([signed_with(*extensions)], "good.example", now()) == UNKNOWN


def test_the_roots_are_certifis_and_those_of_the_file(pki: TestAuthority, tmp_path: Path) -> None:
    chain = [der(pki.issue("good.example").read_bytes())]
    assert Authorities().failure_of(chain, "good.example", now()) == UNKNOWN
    mixed = tmp_path / "extra.pem"
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    mixed.write_text(f"# a comment\n{broken}{pki.root.read_text()}")
    assert Authorities(mixed).failure_of(chain, "good.example", now()) is None
    with pytest.raises(FileNotFoundError):
        Authorities(tmp_path / "missing.pem")


def test_the_context_verifies_against_the_same_roots(pki: TestAuthority, authorities: Authorities) -> None:
    context = authorities.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    trusted = context.get_ca_certs(binary_form=True)
    assert der(pki.root.read_bytes()) in trusted
    assert der(Path(certifi.where()).read_bytes()) in trusted


def test_an_answer_is_remembered(pki: TestAuthority, authorities: Authorities) -> None:
    chain, moment = [der(pki.issue("good.example").read_bytes())], now()
    before = authorities.failure.cache_info().hits
    for _ in range(3):
        assert authorities.failure_of(chain, "good.example", moment) is None
    assert authorities.failure.cache_info().hits == before + 2
    later = moment + 100 * DAY
    assert authorities.failure_of(chain, "good.example", later) == INVALID


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_damage_upsets_the_reader(
    pki: TestAuthority, authorities: Authorities, damage: list[tuple[int, int]]
) -> None:
    leaf = bytearray(_leaf(pki))
    for at, value in damage:
        leaf[at % len(leaf)] = value
    found = authorities.failure_of([bytes(leaf)], "good.example", now())
    assert found in (None, INVALID, HOSTNAME, UNKNOWN)


_LEAF: dict[Path, bytes] = {}


def _leaf(pki: TestAuthority) -> bytes:
    if pki.root not in _LEAF:
        _LEAF[pki.root] = der(pki.issue("good.example", "*.good.example", "198.51.100.7").read_bytes())
    return _LEAF[pki.root]

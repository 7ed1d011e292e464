"""The names in a certificate."""

import asyncio
from typing import Any

import pytest

from monitor.collect.reference import reply_of
from probes.certificate import Authorities
from probes.control_reply import read_reply
from probes.names import MAX_NAMES, dns_names, names_of
from probes.url import parse_url
from tests.pki import TestAuthority

from .loopback import SITE, der, page
from .test_web import SECURE, Site, world


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a.example", "B.Example", "a.example", "*.c.example"], ("a.example", "b.example", "*.c.example")),
        (["x" * 64 + ".example", ".".join(["a" * 60] * 5), "", "a", "a..b", ".a.b", "a.b.", "*.", "*a.example"], ()),
        (
            ["a\0.example", "a b.example", "a.example\n", "<b>.example", "\x1b[2J.example", "ä.example", "=1.example,"],
            (),
        ),
        ([None, 1, ["a.example"], {"a": 1}, True], ()),
        ([f"{n}.example" for n in range(100)], tuple(f"{n}.example" for n in range(MAX_NAMES))),
    ],
)
def test_which_are_names(given: list[Any], kept: tuple[str, ...]) -> None:
    assert dns_names(given) == kept


def test_a_certificate_s_names(pki: TestAuthority) -> None:
    many = [f"n{n}.example" for n in range(60)]
    assert names_of(der(pki.issue("a.example", "*.b.example", "192.0.2.1").read_bytes())) == (
        "a.example",
        "*.b.example",
    )
    assert names_of(der(pki.issue(*many).read_bytes())) == tuple(many[:MAX_NAMES])
    assert names_of(der(pki.issue("192.0.2.1").read_bytes())) == ()
    assert names_of(b"") == names_of(b"\x30\x03\x02\x01\x00") == ()


@pytest.mark.parametrize(
    ("make", "name", "seen"),
    [
        ("issue", "good.example", ("good.example", "other.example")),
        ("issue", "third.example", ("third.example", "other.example")),
        ("self_signed", "good.example", ()),
        ("expired", "good.example", ()),
    ],
)
def test_the_reference_vantage_tells_them_where_somebody_vouches(
    pki: TestAuthority, authorities: Authorities, make: str, name: str, seen: tuple[str, ...]
) -> None:
    async def run() -> Any:
        async with world(pki, authorities) as net:
            await net.secure(Site({"/": page(b"x")}), name, "other.example", make=make)
            return reply_of(await net.open(SECURE), source="vantage:r", url=parse_url(SECURE))

    (endpoint,) = asyncio.run(run()).endpoints
    assert (endpoint.address, endpoint.names) == (SITE, seen)


def test_what_a_helper_says_of_names_listeners_and_silence_is_bounded_and_of_its_kind() -> None:
    names = ["a.example", "x y", 7, "*.b.example", *(f"{n}.example" for n in range(300))]
    found = read_reply(
        {
            "dns": {"addrs": []},
            "tcp_connect": {"192.0.2.1:443": {"status": True}, "[2001:db8::1]:443": {"status": True}},
            "x_wallwatch": {
                "names": {"192.0.2.1:443": names, "[2001:db8::1]:443": "a.example"},
                "neutral": [
                    {"address": "192.0.2.9", "port": 443, "protocol": "tcp"},
                    {"address": "192.0.2.9", "port": 443, "protocol": "quic"},
                    {"address": "192.0.2.9", "port": 443, "protocol": "sctp"}, {"address": "x", "port": 443}, 7, None,
                    {"address": "192.0.2.9", "port": 0, "protocol": "tcp"}, {"address": "192.0.2.9", "port": True},
                ],
                "silent": "not an address",
            },
        }, source="helper:x", url=SECURE,
    )  # fmt: skip
    first, second = found.endpoints
    assert (len(first.names), first.names[:3]) == (MAX_NAMES, ("a.example", "*.b.example", "0.example"))
    assert second.names == ()
    assert [(n.address, n.port, n.protocol) for n in found.neutral] == [
        ("192.0.2.9", 443, "tcp"), ("192.0.2.9", 443, "quic"),
    ]  # fmt: skip
    assert found.silent == ""

"""The control test helper against real servers on loopback, which look as if they had public addresses."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitor import __version__

from .loopback import LIMITS, OTHER, PAGE, SITE, SIX, World, open_world, reset, silent
from .test_helper_protocol import BAD

# One of certifi's own roots has the serial number 0.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


def _play(folder: Path, scene: Callable[[World], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with open_world(folder, **options) as world:
            return await scene(world)

    return asyncio.run(run())


def test_a_good_site_over_tls(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        await world.secure(world.pki.issue("good.example"))
        reply = await world.ask(
            "https://good.example/", f"{SITE}:443", f"{OTHER}:443",
            User_Agent=["Odd/1.0"], Host=["other.example"], X_Secret=["1"],
        )  # fmt: skip
        return reply, world.site.requests[-1], world.helper.neutral_endpoints

    reply, head, neutral = _play(tmp_path, scene)
    refused = {"status": False, "failure": "connection_refused_error"}
    assert list(reply) == [
        "tcp_connect", "tls_handshake", "quic_handshake", "http_request", "http3_request", "dns", "ip_info",
        "x_wallwatch",
    ]  # fmt: skip
    assert reply["tcp_connect"] == {
        f"{SITE}:443": {"status": True, "failure": None},
        f"{OTHER}:443": refused,
        f"[{SIX}]:443": refused,
    }
    assert reply["tls_handshake"] == {f"{SITE}:443": {"server_name": "good.example", "status": True, "failure": None}}
    assert (reply["quic_handshake"], reply["http3_request"]) == ({}, None)
    assert reply["dns"] == {"failure": None, "addrs": [SITE, SIX]}
    assert reply["ip_info"] == {
        SITE: {"asn": 0, "flags": 1 | 2 | 8},
        OTHER: {"asn": 0, "flags": 1},
        SIX: {"asn": 0, "flags": 2},
    }
    page, ours = reply["http_request"], reply["x_wallwatch"]
    assert (page["failure"], page["status_code"], page["title"]) == (None, 200, "A good page")
    assert (page["body_length"], page["discovered_h3_endpoint"]) == (len(PAGE), "good.example:443")
    assert page["headers"]["X-Odd"] == "one"
    assert ours["version"] == __version__
    assert (ours["body_bytes"], ours["body_sha256"]) == (len(PAGE), hashlib.sha256(PAGE).hexdigest())
    assert 0 < ours["ttfb_seconds"] < 2 and 0 <= ours["body_seconds"] < 2
    assert (ours["neutral"], ours["silent"]) == (neutral, "")
    assert ours["names"] == {f"{SITE}:443": ["good.example"]}
    assert "User-Agent: Odd/1.0\r\n" in head and head.count("User-Agent") == 1
    assert "Host: good.example\r\n" in head and "X-Secret" not in head


def test_a_site_over_plain_http_is_dialled_at_both_ports(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        await world.secure(world.pki.issue("elsewhere.example"))
        return await world.ask("http://good.example/huge", f"{OTHER}:80")

    reply = _play(tmp_path, scene)
    assert set(reply["tcp_connect"]) == {f"{host}:{port}" for host in (SITE, OTHER, f"[{SIX}]") for port in (80, 443)}
    assert reply["tls_handshake"] == {
        f"{SITE}:443": {"server_name": "good.example", "status": False, "failure": "ssl_invalid_hostname"}
    }
    assert reply["http_request"]["status_code"] == 200
    assert reply["http_request"]["body_length"] == LIMITS.body_bytes
    assert reply["x_wallwatch"]["body_cut"] == "limit"
    assert reply["ip_info"][SITE]["flags"] == 2


@pytest.mark.parametrize(
    ("host", "failure", "page"),
    [
        ("missing.example", "dns_name_error", "dns_lookup_error"),
        ("empty.example", None, "dns_lookup_error"),
        ("broken.example", "dns_server_failure", "dns_lookup_error"),
        ("bogus.example", "dns_server_failure", "dns_lookup_error"),
    ],
)
def test_a_name_that_leads_nowhere(tmp_path: Path, host: str, failure: str | None, page: str) -> None:
    reply = _play(tmp_path, lambda world: world.ask(f"https://{host}/", f"{SITE}:80"))
    assert reply["dns"] == {"failure": failure, "addrs": []}
    assert reply["http_request"] == {
        "body_length": -1, "discovered_h3_endpoint": "", "failure": page, "title": "", "headers": {},
        "status_code": -1,
    }  # fmt: skip
    assert reply["tcp_connect"][f"{SITE}:80"] == {"status": True, "failure": None}
    assert (reply["x_wallwatch"]["ttfb_seconds"], reply["x_wallwatch"]["body_bytes"]) == (None, 0)


def test_refused_reset_and_silent(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        refused = await world.ask("https://good.example/")
        world.network.tcp[SITE, 443] = await world.listen(reset)
        cut = await world.ask("https://reset.example/")
        world.network.tcp[SITE, 443] = await world.listen(silent)
        return refused, cut, await world.ask("https://silent.example/")

    refused, cut, mute = _play(tmp_path, scene)
    assert refused["http_request"]["failure"] == "connection_refused_error"
    assert refused["tls_handshake"] == {}
    assert cut["tcp_connect"][f"{SITE}:443"]["status"]
    assert cut["tls_handshake"][f"{SITE}:443"]["failure"] == "connection_reset"
    assert cut["http_request"]["failure"] == "unknown_error"
    assert mute["tls_handshake"][f"{SITE}:443"]["failure"] == "generic_timeout_error"
    assert mute["http_request"]["failure"] == "generic_timeout_error"


@pytest.mark.parametrize(
    ("kind", "failure"), [("expired", "ssl_invalid_certificate"), ("self_signed", "ssl_unknown_authority")]
)
def test_a_bad_certificate_is_a_failure_of_tls(tmp_path: Path, kind: str, failure: str) -> None:
    async def scene(world: World) -> Any:
        await world.secure(getattr(world.pki, kind)("good.example"))
        return await world.ask("https://good.example/"), world.site.requests

    reply, requests = _play(tmp_path, scene)
    found = {"server_name": "good.example", "status": False, "failure": failure}
    assert reply["tls_handshake"] == {f"{SITE}:443": found}
    assert reply["http_request"]["failure"] == "unknown_error"
    assert reply["ip_info"][SITE]["flags"] == 2
    assert requests == []


def test_redirects_are_followed_with_cookies(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        return await world.ask("http://good.example/chain"), await world.ask("http://good.example/circle")

    chain, circle = _play(tmp_path, scene)
    assert chain["http_request"]["title"] == "arrived"
    assert chain["dns"]["addrs"] == [SITE, SIX]
    assert circle["http_request"]["failure"] == "unknown_error"
    assert circle["http_request"]["status_code"] == -1


@pytest.mark.parametrize(
    "url",
    ["http://inside.example/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::a00:1]/",
     "http://good.example/inside", "http://good.example/here"],
)  # fmt: skip
def test_private_addresses_are_never_dialled(tmp_path: Path, url: str) -> None:
    async def scene(world: World) -> Any:
        return await world.ask(url, "192.168.0.1:80", "127.0.0.1:80", "[::1]:443"), world.network.dialled

    reply, dialled = _play(tmp_path, scene)
    assert {address for address, _port in dialled} <= {SITE, SIX}
    assert not {"192.168.0.1:80", "127.0.0.1:80", "[::1]:443"} & set(reply["tcp_connect"])
    assert reply["ip_info"]["192.168.0.1"]["flags"] == 1 | 4
    assert reply["http_request"]["failure"] == "unknown_error"


def test_private_addresses_are_dialled_where_that_is_allowed(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        world.network.tcp["10.0.0.1", 80] = world.network.tcp[SITE, 80]
        return await world.ask("http://inside.example/")

    reply = _play(tmp_path, scene, allow_private=True)
    assert reply["http_request"]["status_code"] == 200
    assert set(reply["tcp_connect"]) == {"10.0.0.1:80", "10.0.0.1:443"}
    assert reply["ip_info"]["127.0.0.1"]["flags"] == 2 | 4


def test_the_client_s_spelling_of_an_endpoint_comes_back(tmp_path: Path) -> None:
    text = "[2606:2800:021F:CB07:0::1]:443"
    reply = _play(tmp_path, lambda world: world.ask("https://good.example/", text))
    assert set(reply["tcp_connect"]) == {text, f"{SITE}:443"}
    assert reply["ip_info"][SIX]["flags"] == 1 | 2


def test_who_asks_too_often_has_to_wait(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        url = f"http://127.0.0.1:{world.helper.port}/"
        body = json.dumps({"http_request": "https://missing.example/"}).encode()
        async with aiohttp.ClientSession() as session:
            answers = [await session.post(url, data=body) for _ in range(4)]
            return [(a.status, a.headers.get("Retry-After"), await a.json()) for a in answers]

    answers = _play(tmp_path, scene, rate=0.1, burst=2)
    assert [status for status, _wait, _text in answers] == [200, 200, 429, 429]
    assert answers[2][1] == "10"
    assert answers[2][2] == {"error": "too many requests"}


def test_too_many_at_once_are_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.collect.helper.MAX_REQUESTS", 2)
    body = json.dumps({"http_request": "https://silent.example/"}).encode()

    async def scene(world: World) -> Any:
        world.network.tcp[SITE, 443] = await world.listen(silent)
        return await asyncio.gather(*(world.post(body) for _ in range(4)))

    assert sorted(status for status, _reply in _play(tmp_path, scene)) == [200, 200, 503, 503]


def test_the_other_pages(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        return [await world.get(path) for path in ("/", "/generate_204", "/healthz", "/nowhere")]

    about, empty, healthy, nowhere = _play(tmp_path, scene)
    assert about[0] == 200 and __version__ in about[1] and "control test helper" in about[1]
    assert (empty, healthy, nowhere[0]) == ((204, ""), (200, "ok\n"), 404)


def test_the_neutral_listeners_are_announced_where_clients_reach_them(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        return (await world.ask("https://missing.example/"))["x_wallwatch"]

    ours = _play(tmp_path, scene, public="203.0.113.7", silent="203.0.113.8")
    listener, over_quic = ours["neutral"]
    assert (listener["address"], listener["protocol"]) == ("203.0.113.7", "tcp")
    assert over_quic == listener | {"protocol": "quic"}
    assert ours["silent"] == "203.0.113.8"
    assert 0 < listener["port"] < 65536


def test_bad_requests_are_refused_with_a_reason(tmp_path: Path) -> None:
    async def scene(world: World) -> Any:
        answers = [await world.post(body) for body in BAD]
        return answers, await world.post(b" " * 70_000)

    answers, long = _play(tmp_path, scene)
    assert [status for status, _reply in answers] == [400] * len(BAD)
    assert all(list(reply) == ["error"] and reply["error"].isprintable() for _status, reply in answers)
    assert long[0] == 413

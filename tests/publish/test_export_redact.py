"""What could lead to the vantage is not published, and every verdict stays what it was."""

import hashlib
import time
from typing import Any

import msgspec
import pytest

from blocklists import Fingerprints
from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from monitor.publish.export import addresses, words
from monitor.publish.export.documents import line
from monitor.publish.export.redact import Redacted, redact
from monitor.publish.record import read_json
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from tests.judge import build as b
from tests.judge.build import contact, control_page, http_control, measure
from tests.judge.test_rules import PAIRS
from tests.scenarios.harness import FINGERPRINTS, Scenario, play
from tests.scenarios.test_scenarios import SCENARIOS

from . import sample

OWN, OWN_6, NAMESERVER = "36.110.7.9", "240e:3a1:4c2:77::9", "219.141.136.10"
BUILT = {f"{rule}, {kind}": getattr(pair, kind) for rule, pair in PAIRS.items() for kind in ("fires", "misses")}
PLAYED = [s for s in SCENARIOS if s.rules or s.trouble][::14]


def check(made: Measurement, fingerprints: Fingerprints, verdict: Verdict | None = None) -> Redacted:
    """Redact; the verdict from the published line must be the published one, twice redacting once."""
    verdict = verdict or analyze(made, fingerprints)
    found = redact(made, verdict, fingerprints)
    published = msgspec.json.decode(line(made, verdict, fingerprints=fingerprints, version="0"))
    again = analyze(read_json(published), fingerprints)
    assert again == msgspec.convert(published["verdict"], Verdict)
    assert again == found.verdict
    assert msgspec.structs.replace(again, reason="") == msgspec.structs.replace(verdict, reason="")
    assert tuple(published.get("redacted", ())) == found.kinds
    assert set(found.kinds) <= set(words.REDACTED)
    twice = redact(found.measurement, found.verdict, fingerprints)
    assert (twice.measurement, twice.verdict, twice.kinds) == (found.measurement, found.verdict, ())
    return found


def dirty(made: Measurement) -> Measurement:
    """The same, measured where every page, header and redirect prints the vantage's address, after its own nameserver."""
    bodies: dict[str, bytes] = {}

    def soiled(operation: Any) -> Any:
        if getattr(operation, "resolver", "") == "system":
            return msgspec.structs.replace(operation, server=f"{NAMESERVER} 53")
        if not isinstance(operation, HTTPRoundTrip) or not operation.status:
            return operation
        body = made.bodies.get(operation.body_sha256, b"") + f"<p>{OWN}, [{OWN_6}]</p>".encode()
        digest = hashlib.sha256(body).hexdigest()
        bodies[digest] = body
        headers = (*operation.headers, ("X-Client-IP", OWN), ("Set-Cookie", f"GeoIP={OWN_6}:CN; Path=/"))
        return msgspec.structs.replace(operation, body_sha256=digest, headers=headers)

    operations = tuple(map(soiled, made.operations))
    return msgspec.structs.replace(made, operations=operations, bodies=bodies)


def is_clean(made: Measurement, verdict: Verdict, fingerprints: Fingerprints) -> bool:
    text = line(made, verdict, fingerprints=fingerprints, version="0")
    published = redact(made, verdict, fingerprints).measurement
    everything = text + b" ".join(published.bodies.values())
    return not any(word.encode() in everything for word in (OWN, OWN_6, NAMESERVER))


@pytest.mark.parametrize("name", BUILT)
def test_the_verdict_stays_for_every_rule(name: str) -> None:
    made = BUILT[name]
    check(made, b.FINGERPRINTS)
    soiled = dirty(made)
    assert is_clean(soiled, check(soiled, b.FINGERPRINTS).verdict, b.FINGERPRINTS)


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda s: s.name)
def test_the_verdict_stays_for_what_was_really_measured(scenario: Scenario) -> None:
    result = play(scenario)
    found = check(result.measurement, FINGERPRINTS, result.verdict)
    servers = {
        getattr(op, "server", "") for op in found.measurement.operations if getattr(op, "resolver", "") == "system"
    }
    assert all(not server or server.startswith(tuple("pglsrufnti")) for server in servers), servers
    soiled = dirty(result.measurement)
    assert is_clean(soiled, analyze(soiled, FINGERPRINTS), FINGERPRINTS)


def test_everything_is_still_there_that_is_not_the_vantages() -> None:
    made, verdict = sample.resets()
    found = check(made, FINGERPRINTS, verdict)
    assert found.kinds == ("hash", "resolver")
    helper, vantage = found.measurement.control
    assert (helper, vantage.source) == (made.control[0], "vantage:reference")
    assert vantage.page is not None and vantage.page.body_sha256 == ""
    assert [op for op in found.measurement.operations if op.finished] != []
    servers = {getattr(op, "server", None) for op in found.measurement.operations} - {None}
    assert servers == {"global-1 53"}


def test_a_nameservers_class_is_told_and_configured_resolvers_stay() -> None:
    made, verdict = sample.calm()
    own = [
        msgspec.structs.replace(made.operations[0], server=f"{a} 53") for a in ("10.0.0.1", "127.0.0.53", "10.0.0.1")
    ]
    named = msgspec.structs.replace(made.operations[0], resolver="udp://8.8.8.8:53", server="8.8.8.8 53")
    found = redact(msgspec.structs.replace(made, operations=(*own, named)), verdict, FINGERPRINTS)
    servers = [getattr(op, "server", None) for op in found.measurement.operations]
    assert servers == ["private-1 53", "loopback-2 53", "private-1 53", "8.8.8.8 53"]


def blocked_by(body: bytes, **fields: Any) -> Measurement:
    page = contact(url=b.PLAIN, body=body, title="", **fields)
    return measure(b.dns(b.SITE), page, url=b.PLAIN, bodies=(body,), country="IR", replies=http_control())


def test_a_block_page_keeps_the_address_it_is_known_by_and_loses_its_readers() -> None:
    """Iran's page frames 10.10.34.3x; what else looks like an address may be the reader's."""
    body = b'<iframe src="http://10.10.34.34?ip=%s"></iframe><p>10.9.8.7 [%s]' % (OWN.encode(), OWN_6.encode())
    made = blocked_by(body)
    found = check(made, FINGERPRINTS)
    assert found.verdict.technique == "http.blockpage"
    [published] = found.measurement.bodies.values()
    assert published == b'<iframe src="http://10.10.34.34?ip=192.0.2.1"></iframe><p>192.0.2.2 [2001:db8::3]'
    assert found.kinds == ("address", "hash")


def test_the_hash_of_what_was_changed_is_nowhere() -> None:
    """From it and the published body the address could be found by trying all there are."""
    made = blocked_by(b'<iframe src="http://10.10.34.34"> ' + OWN.encode())
    verdict = analyze(made, FINGERPRINTS)
    [digest] = made.bodies
    assert digest.encode() not in line(made, verdict, fingerprints=FINGERPRINTS, version="0")


def test_the_hash_of_an_unpublished_body_stays_only_where_the_control_got_the_same() -> None:
    made, verdict = sample.calm()
    assert redact(made, verdict, FINGERPRINTS).measurement.operations[-1] == made.operations[-1]
    alone = msgspec.structs.replace(made, control=())
    found = redact(alone, verdict, FINGERPRINTS)
    page = found.measurement.operations[-1]
    assert isinstance(page, HTTPRoundTrip) and page.body_sha256 == "" and "hash" in found.kinds


def test_cookies_keep_their_names_and_redirects_their_way() -> None:
    headers = (("Set-Cookie", "session=s3cret; Path=/, more=x"), ("set-cookie", "nameless"), ("Server", "nginx"))
    where = f"http://portal.example/?from={OWN}&six=240e%3A3a1%3A4c2%3A77%3A%3A9&v=1.2.3"
    first = contact(url=b.PLAIN, status=302, headers=headers, location=where, title=f"Hello {OWN}")
    second = contact(url=where, hop=1, address="203.98.7.60", title="Portal", status=200)
    made = measure(b.dns(b.SITE), b.dns("203.98.7.60", hop=1, name="portal.example"), first, second, url=b.PLAIN,
                   replies=http_control(page=control_page(headers=(("X-Peer", OWN),))))  # fmt: skip
    found = check(made, FINGERPRINTS)
    assert found.kinds == ("address", "cookie")
    pages = [op for op in found.measurement.operations if isinstance(op, HTTPRoundTrip)]
    assert pages[0].headers == (("Set-Cookie", "session=-"), ("set-cookie", "-"), ("Server", "nginx"))
    assert pages[0].location == pages[1].url == "http://portal.example/?from=192.0.2.1&six=2001:db8::2&v=1.2.3"
    assert pages[0].title == "Hello 192.0.2.1"
    assert OWN not in str(found.measurement.control)


@pytest.mark.parametrize("theirs", [OWN, "5.6.7.8"])
def test_titles_that_differ_by_an_address_still_differ(theirs: str) -> None:
    """An equal title makes two pages the same; a stand-in for all would make these equal."""
    replies = http_control(page=control_page(title=f"Hello {theirs}"))
    made = measure(b.repeated(4, url=b.PLAIN, title=f"Hello {OWN}", body_length=90), url=b.PLAIN, replies=replies)
    assert (check(made, FINGERPRINTS).verdict.outcome == "ok") is (theirs == OWN)


def test_addresses_that_were_measured_stay() -> None:
    made = measure(b.dns(b.SITE), contact(url=b.PLAIN, title=f"{b.SITE} {b.SECOND} {OWN}"), url=b.PLAIN,
                   replies=http_control(addresses=(b.SITE, b.SECOND)))  # fmt: skip
    pages = [op for op in check(made, FINGERPRINTS).measurement.operations if isinstance(op, HTTPRoundTrip)]
    assert pages[0].title == f"{b.SITE} {b.SECOND} 192.0.2.1"


def test_a_page_of_ten_thousand_addresses_takes_little_time() -> None:
    many = b" ".join(f"36.{n >> 8 & 255}.{n & 255}.1".encode() for n in range(10_000))
    made = blocked_by(b'<iframe src="http://10.10.34.34"> ' + many)
    verdict, began = analyze(made, FINGERPRINTS), time.process_time()
    found = redact(made, verdict, FINGERPRINTS)
    assert time.process_time() - began < 5
    assert analyze(found.measurement, FINGERPRINTS) == verdict
    assert b"36." not in b"".join(found.measurement.bodies.values())


@pytest.mark.parametrize("text", ["36.110.7.9", "036.110.007.009", "v36.110.7.9", "ip%3D36.110.7.9", "%2036.110.7.9.",
                                  "地址36.110.7.9", "10.1.2.3", "100.64.1.2", "36.110.7.9:80", "36.110.7.9/24"])  # fmt: skip
def test_addresses_are_found(text: str) -> None:
    assert addresses.replace_bytes(text.encode(), (), {}) != text.encode()
    assert "192.0.2.1" in addresses.replace(text, (), {})
    assert addresses.found(addresses.replace(text, (), {})) == set()


@pytest.mark.parametrize("text", [OWN_6, "ip=240E:3A1:4C2:77::9.", "地址240e::9", "[fd00:1::2]:443",
                                  "x%3D240e%3A3a1%3a4c2%3A77%3A%3A9", "fe80::1ff:fe23:4567:890a"])  # fmt: skip
def test_addresses_of_ipv6_are_found(text: str) -> None:
    assert b"2001:db8::1" in addresses.replace_bytes(text.encode(), (), {})


@pytest.mark.parametrize("text", ["1.2.3", "1.2.3.4.5", "12:34:56", "2026-01-31T12:34:56", "a::before", "a::b", "std::dec",
                                  "127.0.0.1", "255.255.255.255", "::1", "0.0.0.0", "300.1.1.1", "aa:bb:cc:dd:ee:ff",
                                  "192.0.2.1", "2001:db8::1", "192.0.2.77", "2001:db8::4d", "::", "é", "#fff:hover", "1.2.3.4.example.5.6"])  # fmt: skip
def test_what_is_no_users_address_stays(text: str) -> None:
    assert addresses.replace(text, {"1.2.3.4"}, {}) == text

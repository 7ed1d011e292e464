"""The server on a real port: pages, JSON, errors, headers."""

import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from monitor import __version__
from monitor.judge.verdict import Verdict
from monitor.publish.record import as_json

from . import sample, tried
from .serving import Served, served

PAIR = "/targets?target=https%3A%2F%2Fexample.com%2F&vantage=home"
CALM, RESETS, FORGED, HOSTILE = (
    sample.calm(),
    sample.resets(minutes=5),
    sample.forged(minutes=9),
    sample.hostile(),
)
TRIED = tried.tried(minutes=11)
PAGES = (
    "/", PAIR, f"/measurements/{HOSTILE[0].uid}", f"/measurements/{CALM[0].uid}", f"/measurements/{TRIED[0].uid}",
    "/nothing",
)  # fmt: skip
DOCUMENTS = (
    "/api/v1/matrix", "/api/v1/events", f"/api/v1/measurements/{CALM[0].uid}", "/api/v1/nothing", "/healthz",
    "/readyz",
)  # fmt: skip


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_matrix_has_a_word_in_every_cell(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        status, text, _headers = await running.get("/")
        assert status == 200
        cells = re.findall(r'class="cell (\w+)"[^>]*>\s*(?:<b>)?([^<]+)<', text)
        assert cells == [
            ("blocked", "blocked"),
            ("none", "no data"),
            ("none", "no data"),
            ("none", "no data"),
        ]
        assert f'href="/measurements/{FORGED[0].uid}"' in text
        assert "dns.injection.other" in text
        assert "since 2026-01-31 12:05" in text
        assert "2 h ago" in text

    served(tmp_path, [CALM, RESETS, FORGED], use)


def test_insufficient_never_looks_like_ok(tmp_path: Path) -> None:
    later = (
        sample.calm("later", minutes=30)[0],
        Verdict(outcome="insufficient", cause="offline", rules_version=1),
    )

    async def use(running: Served) -> None:
        text = (await running.get("/"))[1]
        assert 'class="cell insufficient"' in text and "<b>insufficient</b>" in text and "offline" in text
        assert "confirmed: ok at least since" in text
        assert 'class="cell ok"' not in text

    served(tmp_path, [CALM, later], use)


def test_a_vantage_that_only_the_store_knows_has_a_column(tmp_path: Path) -> None:
    foreign = msgspec.structs.replace(CALM[0].vantage, name="ooni:IT:AS30722")

    async def use(running: Served) -> None:
        found = await running.json("/api/v1/matrix")
        assert found["vantages"] == ["home", "second", "ooni:IT:AS30722"]

    served(tmp_path, [sample.calm(vantage=foreign)], use)


def test_the_evidence_stands_beside_the_controls(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        text = (await running.get(f"/measurements/{CALM[0].uid}"))[1]
        for shown in (
            "DNS A for example.com, asked of system", "after 12.3 ms: A 93.184.215.14 (IP TTL 57)",
            "TLS: TLSv1.3 in 30.0 ms", "certificate: good for example.com", "for <span>O=example.com</span>",
            sample.sha256(sample.certificate()), "th.example: TCP ok, TLS ok", "reached: a.example",
            "ok.valid_certificate", "Nobody else can show this certificate.", "probability that interference",
        ):  # fmt: skip
            assert shown in text, shown
        assert "192.0.2.53" not in text

    served(tmp_path, [CALM], use)


def test_the_history_is_newest_first(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        text = (await running.get(PAIR))[1]
        shown = re.findall(r'href="/measurements/([^"]+)"', text)
        assert shown == [FORGED[0].uid, RESETS[0].uid, CALM[0].uid]
        quiet = await running.get("/targets?target=https://quiet.example/&vantage=home")
        assert quiet[0] == 200 and "no data" in quiet[1]

    served(tmp_path, [CALM, RESETS, FORGED], use)


def test_a_body_is_a_file_and_nothing_else(tmp_path: Path) -> None:
    digest = hashlib.sha256(sample.BODY).hexdigest()

    async def use(running: Served) -> None:
        path = f"/measurements/{CALM[0].uid}/body/{digest}"
        assert path in (await running.get(f"/measurements/{CALM[0].uid}"))[1]
        async with running.client.get(running.url + path) as response:
            assert await response.read() == sample.BODY
            assert response.headers["Content-Type"] == "application/octet-stream"
            assert response.headers["Content-Disposition"] == f'attachment; filename="{digest}.bin"'
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        for other in ("0" * 64, "..%2f..%2fetc%2fpasswd", digest.upper()):
            assert (await running.get(f"/measurements/{CALM[0].uid}/body/{other}"))[0] == 404

    served(tmp_path, [CALM], use)


def test_the_evidence_has_experiments_and_packets(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        text = unescape((await running.get(f"/measurements/{TRIED[0].uid}"))[1])
        for shown in (
            "Does the same listener complete TLS with an innocuous name? (neutral listener, TLS)",
            "TLS as “example.com”</b>", "198.51.100.7 port 20000", "connection_reset after 60.0 ms",
            "Count: failed 3 of 3 with example.com, passed 3 of 3 with control.example.",
            "Left out: no neutral listener is free.", "A after 7.0 ms: NOERROR, A 31.13.94.38 (IP TTL 49)",
            "202.97.12.9", "QUIC: v1 h3 and acknowledged", '<td data-label="TTL">119</td>', "this address went on",
            f'href="/measurements/{TRIED[0].uid}/pcap"',
        ):  # fmt: skip
            assert shown in text, shown
        assert text.index("Experiments</h2>") < text.index("Packets</h2>") < text.index("<h2>Control</h2>")
        calm = (await running.get(f"/measurements/{CALM[0].uid}"))[1]
        assert "Experiments</h2>" not in calm and "Packets</h2>" not in calm

    served(tmp_path, [CALM, TRIED], use)


def test_packets_are_a_file_and_nothing_else(tmp_path: Path) -> None:
    other = tried.tried('a/b"\r\n; é', minutes=12)

    async def use(running: Served) -> None:
        async with running.client.get(running.url + f"/measurements/{TRIED[0].uid}/pcap") as response:
            assert await response.read() == tried.PCAP
            assert response.headers["Content-Type"] == "application/vnd.tcpdump.pcap"
            assert response.headers["Content-Disposition"] == f'attachment; filename="{TRIED[0].uid}.pcap"'
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with running.client.get(running.url + f"/measurements/{quote(other[0].uid, safe='')}/pcap") as response:
            assert response.status == 200
            assert re.fullmatch(r'attachment; filename="[0-9a-f]{32}\.pcap"', response.headers["Content-Disposition"])
        for path in (f"/measurements/{CALM[0].uid}/pcap", "/measurements/nothing/pcap"):
            assert (await running.get(path))[0] == 404

    served(tmp_path, [CALM, TRIED, other], use)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_script_or_a_way_out(tmp_path: Path, path: str) -> None:
    async def use(running: Served) -> None:
        _status, text, headers = await running.get(path)
        tags = Tags(text)
        assert not tags.tags & {"script", "img", "iframe", "object", "style", "form", "base", "foreignobject", "image"}
        assert not {name for name in tags.attributes if name.startswith("on")} | (tags.attributes & {"style"})
        assert all(link.startswith("/") and not link.startswith("//") for link in tags.links)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)
        assert "A" * 700 not in re.sub(r'href="[^"]*"', "", text)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';")

    served(tmp_path, [HOSTILE, CALM, TRIED], use)


@pytest.mark.parametrize("path", [*PAGES, *DOCUMENTS, "/metrics", "/static/wallwatch.css"])
def test_every_answer_has_the_headers(tmp_path: Path, path: str) -> None:
    async def use(running: Served) -> None:
        headers = (await running.get(path))[2]
        for name in ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"):
            assert name in headers

    served(tmp_path, [HOSTILE, CALM], use)


@pytest.mark.parametrize("path", PAGES)
def test_a_simulated_page_says_so(tmp_path: Path, path: str) -> None:
    async def use(running: Served) -> None:
        text = (await running.get(path))[1]
        assert "<strong>SIMULATED</strong>" in text and "<title>SIMULATED" in text

    served(tmp_path, [HOSTILE, CALM], use, simulated=True)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_simulated_document_says_so(tmp_path: Path, path: str) -> None:
    async def use(running: Served) -> None:
        assert json.loads((await running.get(path))[1])["simulated"] is True

    served(tmp_path, [CALM], use, simulated=True)


def test_a_real_one_does_not(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        for path in PAGES:
            assert "SIMULATED" not in (await running.get(path))[1]
        for path in DOCUMENTS:
            assert "simulated" not in json.loads((await running.get(path))[1])

    served(tmp_path, [CALM], use)


def test_the_api_gives_what_measure_prints(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        found = await running.json(f"/api/v1/measurements/{FORGED[0].uid}")
        assert found == json.loads(as_json(*FORGED, version=__version__))

    served(tmp_path, [FORGED], use)


def test_the_matrix_as_json_has_null_where_nothing_was_measured(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        found = await running.json("/api/v1/matrix")
        assert [t["target"] for t in found["targets"]] == ["https://example.com/", "https://quiet.example/"]
        cells = {(c["target"], c["vantage"]): c for c in found["cells"]}
        assert len(cells) == 4
        assert cells["https://example.com/", "home"]["outcome"] == "ok"
        assert cells["https://example.com/", "home"]["uid"] == CALM[0].uid
        empty = cells["https://quiet.example/", "second"]
        assert {empty[k] for k in ("outcome", "uid", "time", "state", "since", "technique")} == {None}

    served(tmp_path, [CALM], use)


def test_events(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        (event,) = (await running.json("/api/v1/events"))["events"]
        assert event["kind"] == "blocked" and event["after"] == "2026-01-31T12:00:00.123457Z"
        assert event["witness"] == [CALM[0].uid, RESETS[0].uid, FORGED[0].uid]
        for query in ("vantage=second", "until=2026-01-31", "since=2026-02-01T00:00:00Z", "target=x"):
            assert (await running.json(f"/api/v1/events?{query}"))["events"] == []

    again = sample.resets(FORGED[0].uid, minutes=9)
    served(tmp_path, [CALM, RESETS, again], use)


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=99999",
        "x=1",
    ],
)
def test_a_bad_query_is_told_in_json(tmp_path: Path, query: str) -> None:
    async def use(running: Served) -> None:
        found = await running.json(f"/api/v1/events?{query}", 400)
        assert isinstance(found["error"], str)

    served(tmp_path, [], use)


def test_errors_are_json_under_api_and_pages_elsewhere(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        for path in ("/api/v1/nothing", "/api/v1/measurements/nothing"):
            assert (await running.json(path, 404))["error"]
        for path, status in (
            ("/nothing", 404), ("/measurements/nothing", 404), ("/static/../server.py", 404), ("/targets", 400),
            ("/targets?target=a&vantage=b", 404), ("/measurements/" + quote("<script>\x1b", safe=""), 404),
        ):  # fmt: skip
            found = await running.get(path)
            assert found[0] == status and "<h1>Error" in found[1], path
        async with running.client.post(running.url + "/") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
        async with running.client.head(running.url + "/") as response:
            assert response.status == 200

    served(tmp_path, [], use)


def test_our_own_bug_shows_no_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def use(running: Served) -> None:
        async def broken(_uid: str) -> None:
            raise RuntimeError("secret")

        running.store.measurement = broken  # type: ignore[method-assign,assignment]
        status, text, _headers = await running.get("/measurements/x")
        assert status == 500 and "secret" not in text and "Traceback" not in text
        assert "secret" not in str(await running.json("/api/v1/measurements/x", 500))

    served(tmp_path, [], use)
    assert "secret" in caplog.text


def test_any_uid_has_a_page(tmp_path: Path) -> None:
    uid = "a/b?c#d%2f é"

    async def use(running: Served) -> None:
        text = (await running.get("/"))[1]
        (path,) = set(re.findall(r'href="(/measurements/[^"]+)"', text))
        async with running.client.get(running.url + path) as response:
            assert response.status == 200
        document = await running.json("/api/v1" + path)
        assert document["uid"] == uid

    served(tmp_path, [sample.calm(uid)], use)


def test_health_and_readiness(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        assert (await running.json("/healthz"))["status"] == "ok"
        assert (await running.json("/readyz"))["status"] == "ready"
        running.reason = "the disk is full"
        assert (await running.json("/readyz", 503))["reason"] == "the disk is full"
        assert (await running.json("/healthz"))["status"] == "ok"

    served(tmp_path, [], use)


def test_metrics_are_negotiated(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        _status, text, headers = await running.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")
        assert text.endswith("# EOF\n")
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        _status, text, headers = await running.get("/metrics")
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'wallwatch_target_outcome_code{target="https://example.com/",vantage="home"} 1.0' in text

    served(tmp_path, [CALM], use)

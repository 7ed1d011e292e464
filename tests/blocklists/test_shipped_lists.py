"""The lists that ship: sound, and holding what they promise."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

import blocklists
from blocklists import CATEGORIES, check, load, load_fingerprints, load_phrases

FOLDER = Path(blocklists.__file__).parent
PRINTS = load_fingerprints(sorted(FOLDER.glob("fingerprints_*.csv")))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.name)
def test_every_list_is_sound(path: Path) -> None:
    assert check(path) == []
    assert path.read_bytes().endswith(b"\n")


def test_the_sites_of_the_press_release_are_targets() -> None:
    targets = load(FOLDER / "release.csv")
    assert {target.site for target in targets} == {
        "facebook.com", "instagram.com", "twitter.com", "x.com", "bbc.com", "bbc.co.uk", "nytimes.com",
        "uighurbiz.net", "uighurbiz.cn", "amnesty.org",
    }  # fmt: skip
    assert {target.name for target in targets if target.expect} == {
        "http://www.uighurbiz.net/",
        "https://www.uighurbiz.cn/",
    }


def test_the_controls_are_harmless_and_on_many_sites() -> None:
    controls = load(FOLDER / "controls.csv")
    assert {target.category for target in controls} == {"CTRL"}
    assert len({target.site for target in controls}) == len(controls) >= 10
    watched = {target.site for target in load(FOLDER / "release.csv")}
    assert not watched & {target.site for target in controls}
    assert all(target.url.startswith("https://") for target in controls)


def test_the_phrases_are_about_june_1989_and_more() -> None:
    phrases = load_phrases(FOLDER / "phrases.csv")
    assert {"六四", "坦克人", "维吾尔在线"} <= {phrase.text for phrase in phrases}
    assert {phrase.language for phrase in phrases} == {"zh-Hans", "zh-Hant", "en", "ug"}
    assert all(phrase.meaning and phrase.meaning.isascii() for phrase in phrases)


def test_there_are_31_categories() -> None:
    assert len(CATEGORIES) == 31
    assert all(CATEGORIES.values())


def test_fingerprints_have_unique_names_and_sources() -> None:
    assert max(Counter(row.name for row in PRINTS).values()) == 1
    assert all(row.source for row in PRINTS)
    assert all(row.countries for row in PRINTS if row.scope in ("nat", "isp"))
    assert not any(row.countries for row in PRINTS if row.scope == "fp")


def test_short_patterns_have_low_confidence() -> None:
    for row in PRINTS:
        if row.location == "body" and row.pattern_type == "contains" and len(row.pattern) < 12:
            assert row.confidence <= 4, row.name


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("10.10.34.34", "IR"), ("10.10.34.36", "IR"), ("36.86.63.185", "ID"), ("62.33.207.196", "RU"),
        ("195.175.254.2", "TR"), ("217.175.53.72", "IT"), ("175.139.142.25", "MY"), ("243.185.187.39", "CN"),
    ],
)  # fmt: skip
def test_known_addresses_are_found(address: str, country: str) -> None:
    [match] = PRINTS.match_address(address)
    assert match.countries == (country,)


# As recorded on 15 August 2022 in OONI's report 20220815T190043Z_webconnectivity_IR_197207.
def test_the_answer_that_ooni_recorded_in_iran_is_found() -> None:
    recorded = msgspec.json.decode(
        '{"queries":[{"answers":[{"answer_type":"A","ipv4":"10.10.34.36","ttl":null}],'
        '"engine":"system","failure":null,"hostname":"www.facebook.com","query_type":"A"}]}'
    )
    answers = [answer["ipv4"] for query in recorded["queries"] for answer in query["answers"]]
    assert [match.countries for match in PRINTS.match_address(answers[0])] == [("IR",)]


INDIA = "The website has been blocked as per order of Ministry of Electronics and Information Technology"
TURKEY = "based on the law Nr. 5651, administration measure has been taken for this website (example.com)"
AKAMAI = "<TITLE>Access Denied</TITLE>\n<H1>Access Denied</H1>\n"


@pytest.mark.parametrize(
    ("headers", "body", "names"),
    [
        ((), '<iframe src="http://10.10.34.35:80" style="width: 100%">', ["ir_frame_sinkhole"]),
        ((("Location", "http://warning.rt.ru/?id=5"),), "", ["ru_rostelecom_location"]),
        ((("location", "http://www.warning.or.kr/"),), "", ["kr_warning_location"]),
        ((), f"<p>{INDIA} under IT Act, 2000.</p>", ["in_order_meity"]),
        ((), TURKEY, ["tr_measure_text"]),
        ((), "<title>Attention Required! | Cloudflare</title>", ["fp_cloudflare_attention"]),
        ((), AKAMAI + "Reference&#32;&#35;18&#46;abc", ["fp_akamai_denied"]),
        ((), AKAMAI + "Reference #18.abc", ["fp_akamai_denied"]),
        ((("cf-mitigated", "challenge"),), "", ["fp_cloudflare_mitigated"]),
        ((("Server", "nginx"),), "5651 sayılı Kanun uyarınca erişim kayıtları", []),
        ((), "<title>Access Denied</title> This request cannot be served in your jurisdiction", []),
        ((("Location", "https://example.com/?u=http://warning.rt.ru"),), "", []),
    ],
)
def test_pages_are_told_apart(headers: tuple[tuple[str, str], ...], body: str, names: list[str]) -> None:
    assert [match.name for match in PRINTS.match_page(headers, body.encode())] == names

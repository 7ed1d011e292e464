"""Block pages that are known: by the address that a forged answer gives, or by the page itself.

Tables in the columns of https://github.com/ooni/blocking-fingerprints. Scope `fp` marks pages that look
like a block page and are none (a bot wall, a refusal by the server): evidence against interference.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from probes import address as addresses

from . import charset, table
from .patterns import MAX_LITERALS, Patterns, check_regexp

HEADER = (
    "name,scope,other_names,location_found,pattern_type,pattern,"
    "confidence_no_fp,expected_countries,source,exp_url,notes"
)
# national, ISP, middlebox product, institution, vague blocking word, false positive, injected, provider
SCOPES = frozenset({"nat", "isp", "prod", "inst", "vbw", "fp", "injb", "prov"})
PATTERN_TYPES = frozenset({"full", "prefix", "contains", "regexp"})
_LOCATION = re.compile(r"dns|body|header\.[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2: token
_COUNTRY = re.compile(r"[A-Z]{2}")
_NOWHERE = frozenset({"", "ZZ"})


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """One known block page, or with scope `fp` one known look-alike."""

    name: str
    scope: str
    location: str  # "dns", "body" or "header." and the name in lower case
    pattern_type: str
    pattern: str
    confidence: int  # 0 to 10, that a match is no false positive
    countries: tuple[str, ...]  # ISO 3166 codes; empty: not said
    source: str


class Fingerprints:
    """All loaded fingerprints, arranged for looking up."""

    def __init__(self, rows: Iterable[Fingerprint]) -> None:
        self._all = tuple(rows)
        self._answers: dict[str, list[Fingerprint]] = defaultdict(list)
        places: dict[str, list[Fingerprint]] = defaultdict(list)
        for row in self._all:
            if row.location == "dns":
                self._answers[_canonical(row.pattern)].append(row)
            else:
                places[row.location].append(row)
        self._places = {
            place: (here, Patterns([(row.pattern_type, row.pattern) for row in here])) for place, here in places.items()
        }

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Fingerprint]:
        return iter(self._all)

    def match_address(self, address: str) -> tuple[Fingerprint, ...]:
        """All fingerprints of an answer: an IP address in any spelling, or the name in a CNAME."""
        return tuple(self._answers.get(_canonical(address), ()))

    def match_page(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[Fingerprint, ...]:
        """All fingerprints of a response: headers as (name, value) in any case, and the decompressed body.

        A body that declares another character set than UTF-8 is searched as it is, and converted.
        """
        found: dict[Fingerprint, None] = {}
        for name, value in headers:
            found |= self._at(f"header.{name.lower()}", value.encode("utf-8", "surrogatepass"))
        if body and "body" in self._places:
            found |= self._at("body", body)
            converted = charset.converted(headers, body)
            if converted is not None:
                found |= self._at("body", converted)
        return tuple(found)

    def _at(self, place: str, value: bytes) -> dict[Fingerprint, None]:
        if place not in self._places:
            return {}
        rows, patterns = self._places[place]
        return dict.fromkeys(rows[number] for number in patterns.found_in(value))


def load_fingerprints(paths: Sequence[Path], *, downloaded: Collection[Path] = ()) -> Fingerprints:
    """The fingerprints of all files. Raises ListError with every fault of every file.

    In files that were `downloaded` a few unusable rows are left out, see `table.sound`.
    """
    rows: list[Fingerprint] = []
    faults: list[table.Fault] = []
    for path in paths:
        read_rows = table.read(path, [HEADER])
        more, wrong = read(read_rows)
        rows += more
        faults += table.sound(read_rows, wrong, downloaded=path in downloaded)
    if not faults and sum(len(row.pattern.encode("utf-8", "replace")) for row in rows) > MAX_LITERALS:
        faults.append(table.Fault(str(paths[-1]), 0, f"all patterns together take more than {MAX_LITERALS} bytes"))
    if faults:
        raise table.ListError(faults)
    return Fingerprints(rows)


def read(rows: table.Table) -> tuple[list[Fingerprint], list[table.Fault]]:
    """The good fingerprints among the rows, and a fault for each of the others, in the file's order."""
    fingerprints: list[Fingerprint] = []
    faults = list(rows.faults)
    for row in rows.rows:
        try:
            fingerprints.append(_fingerprint(row.cells))
        except ValueError as error:
            faults.append(table.Fault(rows.file, row.line, str(error)))
    return fingerprints, sorted(faults, key=lambda fault: fault.line)


def _fingerprint(cells: dict[str, str]) -> Fingerprint:
    """One row as a fingerprint. Raises ValueError with the reason."""
    row = Fingerprint(
        name=cells["name"].strip(),
        scope=cells["scope"],
        location=cells["location_found"].lower(),
        pattern_type=cells["pattern_type"],
        pattern=cells["pattern"],
        confidence=_confidence(cells["confidence_no_fp"]),
        countries=_countries(cells["expected_countries"]),
        source=cells["source"].strip(),
    )
    if not row.name or not row.pattern:
        raise ValueError("the name or the pattern is empty")
    if row.scope not in SCOPES:
        raise ValueError(f"unknown scope {row.scope[:20]!r}")
    if not _LOCATION.fullmatch(row.location):
        raise ValueError(f"location_found {row.location[:40]!r} is none of dns, body, header.NAME")
    if row.pattern_type not in PATTERN_TYPES:
        raise ValueError(f"unknown pattern_type {row.pattern_type[:20]!r}")
    if row.location == "dns" and row.pattern_type != "full":
        raise ValueError("an answer of the DNS can only be compared in full")
    if row.pattern_type == "regexp":
        check_regexp(row.pattern)
    return row


def _confidence(text: str) -> int:
    """The number, if it is one from 0 to 10. Raises ValueError."""
    if not re.fullmatch(r"[0-9]|10", text):
        raise ValueError(f"confidence_no_fp {text[:20]!r} is no number from 0 to 10")
    return int(text)


def _countries(text: str) -> tuple[str, ...]:
    """The country codes of a comma-separated cell. Raises ValueError."""
    codes = [code.strip().upper() for code in text.split(",")]
    wrong = [code for code in codes if code and not _COUNTRY.fullmatch(code)]
    if wrong:
        raise ValueError(f"{wrong[0][:20]!r} is no country code of two letters")
    return tuple(code for code in codes if code not in _NOWHERE)


@lru_cache(maxsize=8192)
def _canonical(answer: str) -> str:
    """One spelling for each address and for each name of a CNAME."""
    parsed = addresses.parse(answer.strip())
    if parsed is None:
        return answer.strip().rstrip(".").lower()
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)

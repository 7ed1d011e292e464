"""How long whole lists of fingerprints take over a page: some 1,300 patterns, as many as OONI's two files have."""

import random
import statistics
import time
from collections.abc import Callable

from blocklists import Fingerprint, Fingerprints

from .row import Row

NAME = "matching"
_TRIES = 25
_ENGLISH = ["access", "denied", "blocked", "by", "order", "court", "site", "the", "</title>", "<h1>", "class=", "/deny"]
_RUSSIAN = ["доступ", "к", "ресурсу", "ограничен", "на", "основании", "закона", "сайт", "заблокирован"]
_WORDS = [*_ENGLISH, *_RUSSIAN, "function(){", "var", "x=1;", "<a", "href='https://example.org/?q=1'>", "\n"]


def run() -> list[Row]:
    """Milliseconds a page of 10 KB and of 100 KB, beside a search for one literal after the other."""
    known = Fingerprints(_list())
    literals = [row.pattern.encode() for row in known if row.pattern_type == "contains"]
    rows = []
    for size in (10_000, 100_000):
        ours = _took(lambda page: known.match_page((("Location", "http://x.example/"),), page), size)
        each = _took(lambda page: [literal for literal in literals if literal in page], size)
        rows += [
            Row(NAME, f"{len(known):,} fingerprints over a page of {size:,} bytes", ours * 1000, "ms"),
            Row(NAME, "one literal after the other ÷ that", each / ours, "×"),
        ]
    return rows


def _took(work: Callable[[bytes], object], size: int) -> float:
    """Seconds of CPU for a page that was not seen before, the median of some."""
    found = []
    for seed in range(_TRIES):
        page = " ".join(random.Random(seed).choices(_WORDS, k=size // 6)).encode()[:size]
        began = time.process_time()
        work(page)
        found.append(time.process_time() - began)
    return statistics.median(found)


def _list() -> list[Fingerprint]:
    """Words of block pages in a drawn order: 1,300 literals for bodies, 14 expressions, 400 redirects."""
    drawn = random.Random(1)
    rows = []
    for n in range(1300):
        words = drawn.choices(_RUSSIAN if n % 9 == 0 else _ENGLISH, k=4)
        rows.append(_fingerprint(f"b{n}", "body", "contains", " ".join(words) + f"{n:x}"))
    rows += [_fingerprint(f"r{n}", "body", "regexp", f"(?i)blocked by .{{0,200}}office {n}") for n in range(14)]
    rows += [_fingerprint(f"h{n}", "header.location", "prefix", f"http://block{n}.example/") for n in range(400)]
    return rows


def _fingerprint(name: str, location: str, kind: str, pattern: str) -> Fingerprint:
    return Fingerprint(
        name=name, scope="isp", location=location, pattern_type=kind, pattern=pattern, confidence=5, countries=("RU",),
        source="made up",
    )  # fmt: skip

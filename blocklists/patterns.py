"""Many patterns at once: which of them are in a page? In time linear in the page, whatever page and patterns are.

RE2 does the searching: it never backtracks, and its set of literals costs about the same for one and for a thousand.
"""

from collections.abc import Sequence

import re2

MAX_SEARCHED = 64 * 1024  # bytes of a value that regular expressions see; block pages are far smaller
MAX_LITERALS = 4 * 1024 * 1024  # bytes of all literal patterns together; OONI's take a tenth of a megabyte
MAX_PROGRAM = 10_000  # RE2 instructions of one regular expression: bounds its time for each byte (about 5 µs)
_MEMORY = 64 * 1024 * 1024  # bytes that RE2 may use for states seen before, which are kept for the next page


class Patterns:
    """Pairs of type (`full`, `prefix`, `contains`, `regexp`) and pattern; found again by their number."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._kinds = [kind for kind, _pattern in pairs]
        self._bytes = [pattern.encode("utf-8", "surrogatepass") for _kind, pattern in pairs]
        self._of_literal = [number for number, kind in enumerate(self._kinds) if kind != "regexp"]
        self._of_regexp = [number for number, kind in enumerate(self._kinds) if kind == "regexp"]
        self._literals = re2.Set.SearchSet(_options(literal=True))
        for number in self._of_literal:
            self._literals.Add(self._bytes[number])
        self._regexps = re2.Filter()  # runs a regular expression only where a text that it requires is there
        for number in self._of_regexp:
            self._regexps.Add(self._bytes[number], _options())
        if self._of_literal:
            self._literals.Compile()
        if self._of_regexp:
            self._regexps.Compile()

    def found_in(self, value: bytes) -> list[int]:
        """The numbers of all patterns that match a value in UTF-8, in their order."""
        found: list[int] = []
        if self._of_literal:
            # A character's encoding never occurs inside another's: searching bytes is searching text.
            candidates = (self._of_literal[index] for index in self._literals.Match(value) or ())
            found += [number for number in candidates if self._is_in_place(number, value)]
        if self._of_regexp:
            found += [self._of_regexp[index] for index in self._regexps.Match(_text(value)) or ()]
        return sorted(found)

    def _is_in_place(self, number: int, value: bytes) -> bool:
        kind, pattern = self._kinds[number], self._bytes[number]
        return kind == "contains" or (value == pattern if kind == "full" else value.startswith(pattern))


def check_regexp(pattern: str) -> None:
    """Refuses what is no regular expression of RE2's, or a very large one. Raises ValueError with the reason."""
    try:
        size = re2.compile(pattern, _options()).programsize
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0]
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)
        raise ValueError(f"invalid regular expression: {said}") from error
    if size > MAX_PROGRAM:
        raise ValueError(f"the regular expression is too large: {size} instructions, at most {MAX_PROGRAM}")


def _options(*, literal: bool = False) -> re2.Options:
    """As OONI uses RE2: the dot matches line ends."""
    options = re2.Options()
    options.dot_nl = True
    options.literal = literal
    options.log_errors = False
    options.max_mem = 128 * MAX_LITERALS if literal else _MEMORY
    return options


def _text(value: bytes) -> bytes:
    """What regular expressions see: the beginning, as valid UTF-8, since RE2's dot matches nothing else."""
    head = value[:MAX_SEARCHED]
    return head if head.isascii() else head.decode("utf-8", "replace").encode()

"""Public search pages and look-ups of shops: how they are asked, and how they say that they withhold something.

Who is asked is the operator's choice: nothing here is used unless the configuration names it.
"""

import datetime
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from probes.url import URL

from . import charset
from .search_keys import compiled, faults_of, filled
from .table import Fault, ListError

SHIPPED = Path(__file__).parent / "searches.toml"
MAX_BYTES = 1024 * 1024
MAX_SEARCHES = 200


class KeyFault(Fault, frozen=True):
    """A fault of a file that has keys in place of lines."""

    key: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.file, self.key, self.reason)))


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """One search page or look-up; the fields are the keys of `searches.toml`, which says what they mean."""

    name: str
    kind: str
    url: str
    neutral: str
    notice: tuple[str, ...]
    present: str
    source: str
    date: datetime.date
    elsewhere: str = ""
    accepts: str = ""
    charset: str = "utf-8"
    checked: bool = True

    def takes(self, phrase: str) -> bool:
        """Whether the phrase is one to ask here; one that reads like the notice itself would answer for the page."""
        if self.accepts and not compiled(self.accepts).fullmatch(_valid(phrase)):
            return False
        return not any(compiled(pattern).search(_valid(phrase)) for pattern in self.notice)

    def page(self, phrase: str) -> URL:
        """Where the phrase is searched for. Raises ValueError where it cannot be written there."""
        return filled(self.url, phrase, self.charset)

    def control(self, phrase: str) -> URL | None:
        """Where it must be found first; None for a search. Raises ValueError like `page`."""
        return filled(self.elsewhere, phrase, self.charset) if self.elsewhere else None

    def useless(self) -> str:
        """Why the neutral phrase cannot be asked; empty: it can."""
        try:
            self.page(self.neutral)
        except ValueError as error:
            return str(error)
        return "" if self.takes(self.neutral) else "is not what `accepts` lets through, or reads like the notice"

    def matched(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[str, ...]:
        """Which patterns are in a page: `present`, `notice:0`, `notice:1` and so on, in this order.

        The page is read as it came, as its own declaration says, and in the search's character set.
        """
        texts = {_valid_bytes(body)}
        declared = charset.converted(headers, body)
        if declared is not None:
            texts.add(declared)
        if self.charset != "utf-8":
            texts.add(body.decode(self.charset, "replace").encode())
        patterns = {"present": self.present} | {f"notice:{number}": text for number, text in enumerate(self.notice)}
        return tuple(n for n, pattern in patterns.items() if any(compiled(pattern).search(t) for t in texts))


def load(path: Path = SHIPPED) -> tuple[Search, ...]:
    """The searches of a file, in its order. Raises ListError with every fault that it has."""
    file = str(path)
    try:
        document = tomllib.loads(_content(path))
    except RecursionError:
        raise ListError([KeyFault(file, 0, "is nested too deeply")]) from None
    except OSError as error:
        raise ListError([KeyFault(file, 0, f"cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError:
        raise ListError([KeyFault(file, 0, "is not UTF-8")]) from None
    except ValueError as error:
        raise ListError([KeyFault(file, 0, " ".join(str(error).split())[:200])]) from None
    searches, faults = read(document, file)
    if faults:
        raise ListError(faults)
    return tuple(searches)


def chosen(names: Sequence[str], path: Path = SHIPPED) -> tuple[Search, ...]:
    """The searches of these names, in their order. Raises ValueError for an unknown or repeated name, or ListError."""
    if not names:
        return ()
    known = {search.name: search for search in load(path)}
    for number, name in enumerate(names):
        if name not in known:
            raise ValueError(f"no search is called {name[:40]!r} in {path.name}; there are {', '.join(known)}")
        if name in names[:number]:
            raise ValueError(f"{name!r} is named twice")
    return tuple(known[name] for name in names)


def read(document: Mapping[str, Any], file: str) -> tuple[list[Search], list[Fault]]:
    """The good searches of a parsed file, and every fault of the others."""
    faults: list[Fault] = [KeyFault(file, 0, "unknown key", _shown(key)) for key in document if key != "search"]
    tables = document.get("search", [])
    if not isinstance(tables, list) or len(tables) > MAX_SEARCHES:
        return [], [*faults, KeyFault(file, 0, f"must be [[search]] tables, at most {MAX_SEARCHES}", "search")]
    found: list[Search] = []
    for number, table in enumerate(tables, 1):
        wrong = faults_of(table)
        if not wrong and any(search.name == table["name"] for search in found):
            wrong = [("name", f"{table['name']!r} is used twice")]
        search = None if wrong else Search(**{**table, "notice": tuple(table["notice"])})
        if search is not None and (reason := search.useless()):
            wrong = [("neutral", reason)]
        place = f"search[{number}]"
        faults += [KeyFault(file, 0, reason, f"{place}.{_shown(key)}" if key else place) for key, reason in wrong]
        if search is not None and not wrong:
            found.append(search)
    return found, faults


def _shown(key: str) -> str:
    """A key as it can be printed; a quoted one may hold anything."""
    return key[:40] if key.isprintable() else ascii(key[:40])


def _valid(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _valid_bytes(body: bytes) -> bytes:
    """A body as valid UTF-8: RE2's classes and dot match nothing else."""
    return body if body.isascii() else body.decode("utf-8", "replace").encode()


def _content(path: Path) -> str:
    """The file's text. Raises OSError and ValueError (UnicodeDecodeError is one)."""
    if path.exists() and not path.is_file():
        raise ValueError("is not a file")
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 1024} KB")
    return data.decode("utf-8-sig")

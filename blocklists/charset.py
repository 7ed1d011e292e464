"""The character set that a page declares, so that its text can be compared with patterns, which are UTF-8."""

import codecs
import re
from collections.abc import Sequence

MAX_SEARCHED = 1024  # bytes in which a declaration counts (HTML Standard, "prescan a byte stream")
MAX_CONVERTED = 512 * 1024  # bytes of a body that are converted
_PARAMETER = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Encoding Standard (WHATWG): labels that browsers read as a larger set than the name says.
_READ_AS = {
    "iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs",
    "utf-16": "utf-16-le",
}  # fmt: skip
# Labels of the Encoding Standard that Python does not know.
_LABELS = {"windows-874": "cp874", "windows-31j": "cp932", "x-sjis": "cp932", "x-gbk": "gbk", "x-x-big5": "big5"}
_KNOWN = frozenset(
    {
        *(f"cp125{number}" for number in range(9)),
        *(f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        *("cp866", "cp874", "koi8-r", "koi8-u"),
        *("gb18030", "big5hkscs", "cp932", "euc_jp", "iso2022_jp", "cp949"),
        *("utf-16-le", "utf-16-be"),
    }
)


def converted(headers: Sequence[tuple[str, str]], body: bytes) -> bytes | None:
    """The body in UTF-8, where its Content-Type, its first bytes or a `<meta>` declare another character set.

    None where nothing else is declared or the declared set is none that browsers know.
    """
    codec = _declared(headers, body)
    if codec is None:
        return None
    return body[:MAX_CONVERTED].decode(codec, "replace").encode("utf-8", "replace")


def _declared(headers: Sequence[tuple[str, str]], body: bytes) -> str | None:
    """Python's name of the declared character set, if it is a known one and not UTF-8."""
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return codec
    for name, value in headers:
        if name.lower() == "content-type" and (found := _PARAMETER.search(value[:MAX_SEARCHED])):
            return _codec(found.group(1))
    meta = _META.search(body[:MAX_SEARCHED])
    return _codec(meta.group(1).decode("ascii")) if meta else None


def _codec(label: str) -> str | None:
    try:
        name = codecs.lookup(_LABELS.get(label.lower(), label)).name
    except (LookupError, ValueError):
        return None
    name = _READ_AS.get(name, name)
    return name if name in _KNOWN else None

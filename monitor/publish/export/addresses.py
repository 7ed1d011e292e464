"""IP addresses in text that others wrote: found and replaced.

A page may print its reader's address, which is the vantage's. What it prints in another form (in base64, as a name
such as `client-192-0-2-7.isp.example`, in UTF-16, in an image) is not found.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, ip_address

from probes.address import kind

_STAND_IN, _STAND_IN_6 = "192.0.2.", "2001:db8::"  # for documentation only: RFC 5737, RFC 3849
_MOST = 254  # stand-ins; a page of more addresses has some twice
_ESCAPED = r"(?<=%[0-9A-Fa-f]{2})"  # what was percent-encoded ends before it
_COLON = r"(?::|%3[Aa])"
_FOUR = rf"(?:{_ESCAPED}|(?<![\d.]))\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!\.?\d)"
_SIX = rf"(?:{_ESCAPED}|(?<![\w:]))(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,8}}[0-9A-Fa-f]{{0,4}}(?![\w:])"
_FOUND = re.compile(f"{_SIX}|{_FOUR}", re.ASCII)
_NOBODYS = frozenset({"loopback", "unspecified", "multicast", "reserved"})


def canonical(text: str) -> str:
    """The one way to write an address; empty where the text is none."""
    try:
        if ":" in text or "%" in text:
            return str(ip_address(re.sub("%3[Aa]", ":", text)))
        return str(IPv4Address(".".join(str(int(part)) for part in text.split("."))))  # 010.001.002.003 is one, too
    except ValueError:
        return ""


def found(text: str) -> set[str]:
    """The addresses in a text that can be somebody's, in their canonical form."""
    return {address for match in _FOUND.finditer(text) if (address := _somebodys(match.group()))}


def replace(text: str, keep: Iterable[str], stand_ins: dict[str, str]) -> str:
    """The text with every such address replaced by one that is nobody's, but for those to keep (canonical).

    `stand_ins` holds what stands for which, and gets the new ones: texts that were equal stay so, others not.
    """
    kept = frozenset(keep)

    def stand_in(match: re.Match[str]) -> str:
        address = _somebodys(match.group())
        if not address or address in kept:
            return match.group()
        if address not in stand_ins:
            number = len(stand_ins) % _MOST + 1
            stand_ins[address] = f"{_STAND_IN_6}{number:x}" if ":" in address else f"{_STAND_IN}{number}"
        return stand_ins[address]

    return _FOUND.sub(stand_in, text)


def cross_out(text: str, keep: Iterable[str]) -> str:
    """The same by as many `x`, so that the text keeps its length."""
    kept = frozenset(keep)

    def crossed(match: re.Match[str]) -> str:
        address = _somebodys(match.group())
        return "x" * len(match.group()) if address and address not in kept else match.group()

    return _FOUND.sub(crossed, text)


def replace_bytes(data: bytes, keep: Iterable[str], stand_ins: dict[str, str]) -> bytes:
    """The same for bytes in any encoding that holds ASCII."""
    return replace(data.decode("latin-1"), keep, stand_ins).encode("latin-1")


@lru_cache(maxsize=65536)
def _somebodys(text: str) -> str:
    """The address; empty where the text is none, or one that no user of a network can have."""
    address = canonical(text)
    if not address or address.startswith((_STAND_IN, _STAND_IN_6)) or kind(address) in _NOBODYS:
        return ""
    # `a::b` stands in programs and style sheets; of global IPv6 only 2000::/3 is given out (RFC 4291).
    odd = ":" in address and kind(address) == "global" and int(ip_address(address)) >> 125 != 1
    return "" if odd else address

"""One network of the Internet: whose it is, and where; as far as a table knows."""

import msgspec

_MAX_NAME = 200  # characters


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """`country`: two capital letters, or empty; `asn`: its AS number, or 0; `name`: who runs it."""

    country: str = ""
    asn: int = 0
    name: str = ""


def network(country: str, asn: str, name: str) -> Network:
    """One from texts as tables have them. Raises ValueError."""
    country = "" if country in _NOBODY else country
    if country and not (len(country) == 2 and country.isascii() and country.isupper()):
        raise ValueError(f"country: {country[:20]!r} is not two capital letters (ISO 3166)")
    digits = asn.removeprefix("AS") or "0"
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) < 2**32):
        raise ValueError(f"asn: {asn[:20]!r} is no AS number")
    return Network(country=country, asn=int(digits), name=_clean(name) if int(digits) else "")


_NOBODY = frozenset({"", "None", "ZZ", "-"})  # how tables say that no country is known


def _clean(name: str) -> str:
    """Printable, on one line, not long."""
    name = name[:_MAX_NAME]
    if not name.isprintable():
        name = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(name.split())

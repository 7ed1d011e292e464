"""Which site a host belongs to: its registrable domain, by the Public Suffix List (publicsuffix.org)."""

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from probes import address


@lru_cache(maxsize=65536)
def site_of(host: str) -> str:
    """The registrable domain of a normalised host name (`www.bbc.co.uk` → `bbc.co.uk`).

    An IP address, a single label and a public suffix itself are their own sites; under an unknown
    top-level domain the site is two labels, the list's own default rule.
    """
    if address.parse(host) is not None:
        return host
    return _suffixes().privatesuffix(host) or host


@cache
def _suffixes() -> PublicSuffixList:
    """The list that ships with the package, read when it is first needed (about 30 ms)."""
    return PublicSuffixList()

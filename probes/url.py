"""A URL as the probes contact it: split, normalised, and safe to put into a request."""

import re
from ipaddress import IPv6Address
from urllib.parse import quote

import idna
import msgspec

from . import address as addresses

DEFAULT_PORT = {"http": 80, "https": 443}
_MAX_URL = 8192  # characters; RFC 9110 section 4.1 asks for at least 8000
_MAX_HOST, _MAX_LABEL = 253, 63  # characters in text form, RFC 1035 section 2.3.4
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_-]+")  # LDH and the underscore, which the DNS allows (RFC 2181 section 11)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this makes browsers read an IPv4 address
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]")
_SAFE = "%!$&'()*+,/:;=?@[]"  # left as they are in a target; `quote` adds letters, digits and `_.-~`


class InvalidURL(ValueError):
    """The text is no URL that can be probed; str() is one line that says why."""


class URL(msgspec.Struct, frozen=True):
    """An absolute http or https URL without userinfo and fragment."""

    scheme: str  # "http" or "https"
    host: str  # A-labels in lower case without a trailing dot, or an IP address without brackets
    port: int
    target: str  # path and query in ASCII, percent-encoded, from "/" on

    @property
    def authority(self) -> str:
        """The host as a Host header has it: brackets around IPv6, the port only where it is unusual."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, so that there is nothing to look up."""
        return addresses.parse(self.host) is not None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_url(text: str) -> URL:
    """The URL that the text names, normalised; userinfo and fragment are dropped.

    Raises InvalidURL, and nothing else, for any other text.
    """
    _check_characters(text)
    match = _SCHEME.fullmatch(text)
    scheme = match.group(1).lower() if match else ""
    if match is None or (scheme not in DEFAULT_PORT and not match.group(2).startswith("//")):
        raise InvalidURL("the URL must start with http:// or https://")
    if scheme not in DEFAULT_PORT:
        raise InvalidURL(f"the scheme {scheme[:20]!r} is neither http nor https")
    if not match.group(2).startswith("//"):
        raise InvalidURL(f"'//' is missing after '{scheme}:'")
    authority, target = _cut(match.group(2)[2:])
    host, port = _host_and_port(authority.rpartition("@")[2])
    return _bounded(URL(scheme, _host(host), _port(port, scheme), _target(target)))


def join(base: URL, location: str) -> URL:
    """Where a Location header leads, seen from `base` (RFC 3986 section 5.2, RFC 9110 section 10.2.2).

    The text may be hostile: raises InvalidURL, and nothing else, where it leads nowhere that can be probed.
    Spaces are encoded as browsers do, since real sites send them. A header decoded as UTF-8 with
    `surrogateescape` keeps its bytes.
    """
    reference = location.strip(" \t").replace(" ", "%20")
    _check_characters(reference)
    if _SCHEME.fullmatch(reference):
        return parse_url(reference)
    if reference.startswith("//"):
        return parse_url(f"{base.scheme}:{reference}")
    path = base.target.partition("?")[0]
    reference = reference.partition("#")[0]
    if not reference:
        target = base.target
    elif reference.startswith("/"):
        target = reference
    elif reference.startswith("?"):
        target = path + reference
    else:
        target = path.rpartition("/")[0] + "/" + reference
    return _bounded(URL(base.scheme, base.host, base.port, _target(target)))


def _check_characters(text: str) -> None:
    """Bounds the work of all that follows, and keeps line ends out of requests and logs."""
    if len(text) > _MAX_URL:
        raise InvalidURL(f"the URL is longer than {_MAX_URL} characters")
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        raise InvalidURL(f"the URL contains {_spelled(forbidden.group())}")


def _bounded(url: URL) -> URL:
    """The URL, unless encoding has made it too long."""
    if len(str(url)) > _MAX_URL:
        raise InvalidURL(f"the URL is longer than {_MAX_URL} characters once it is encoded")
    return url


def _cut(rest: str) -> tuple[str, str]:
    """The authority and what follows it."""
    end = re.search(r"[/?#]", rest)
    return (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])


def _host_and_port(authority: str) -> tuple[str, str]:
    """The two halves of an authority, not yet checked; the port is "" where none is given."""
    if authority.startswith("["):
        host, bracket, after = authority.partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise InvalidURL("an IPv6 address is not closed by ']' in the host")
        return host + bracket, after[1:]
    host, _, port = authority.partition(":")
    return host, port


def _host(text: str) -> str:
    """The host in its one spelling, or InvalidURL."""
    if text.startswith("["):
        address = addresses.parse(text[1:-1])
        if not isinstance(address, IPv6Address) or address.scope_id is not None:
            raise InvalidURL("the text in brackets is no IPv6 address")
        return str(address)
    if not text:
        raise InvalidURL("the host is missing")
    host = ".".join(_ascii(label) for label in _labels(text))
    if len(host) > _MAX_HOST:
        raise InvalidURL(f"the host is longer than {_MAX_HOST} characters")
    if _NUMBER.fullmatch(host.rpartition(".")[2]) and addresses.parse(host) is None:
        raise InvalidURL(f"the host {host[:60]!r} is a number but no IPv4 address in dotted form")
    return host


def _labels(text: str) -> list[str]:
    """The labels of a host name, mapped by UTS 46, which also lower-cases; trailing dots are dropped."""
    if "%" in text:
        raise InvalidURL("the host contains '%'")
    if len(text.rstrip(".")) > _MAX_HOST:
        raise InvalidURL(f"the host is longer than {_MAX_HOST} characters")
    try:
        mapped = text.lower() if text.isascii() else idna.uts46_remap(text, std3_rules=False)
    except (idna.IDNAError, ValueError) as error:
        raise InvalidURL("the host contains a character that no host name may have") from error
    labels = mapped.rstrip(".").split(".")
    if not all(labels):
        raise InvalidURL("the host has an empty label")
    return labels


def _ascii(label: str) -> str:
    """One label as it goes into the DNS.

    Labels that IDNA 2008 forbids but registries sell (emoji) are taken as plain Punycode, as browsers do.
    """
    if not label.isascii() and len(label) <= _MAX_LABEL:
        try:
            label = idna.alabel(label).decode("ascii")
        except (idna.IDNAError, ValueError):
            label = "xn--" + label.encode("punycode", "surrogatepass").decode("ascii")
    if len(label) > _MAX_LABEL:
        raise InvalidURL(f"a label of the host is longer than {_MAX_LABEL} characters")
    if not _LABEL.fullmatch(label):
        spelled = ascii(label)[1:-1][:60]
        raise InvalidURL(f"the host contains a character that no host name may have: {spelled}")
    return label


def _port(text: str, scheme: str) -> int:
    """The port, or the scheme's own where none is given (RFC 3986 section 3.2.3 allows a bare colon)."""
    if not text:
        return DEFAULT_PORT[scheme]
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= 65535:
        raise InvalidURL(f"the port '{ascii(text)[1:-1][:20]}' is not a number from 1 to 65535")
    return int(text)


def _target(text: str) -> str:
    """Path and query in ASCII, dot segments resolved; what is percent-encoded already stays as it is."""
    path, mark, query = text.partition("#")[0].partition("?")
    text = _without_dots(path) + mark + query
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    try:
        return quote(text.encode("utf-8", "surrogateescape"), safe=_SAFE)
    except UnicodeEncodeError:
        return quote(text.encode("utf-8", "surrogatepass"), safe=_SAFE)


def _without_dots(path: str) -> str:
    """The path from "/" on without "." and ".." segments (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    segments = path.removeprefix("/").split("/")
    for segment in segments:
        if segment == ".." and kept:
            kept.pop()
        elif segment not in (".", ".."):
            kept.append(segment)
    if kept and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _spelled(character: str) -> str:
    """A character that cannot be shown, in words."""
    if character == "\\":
        return "a backslash"
    kind = "whitespace" if character.isspace() else "a control character"
    return f"{kind} (U+{ord(character):04X})"

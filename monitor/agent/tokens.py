"""Who may hand in: one token, one vantage. Only a token's hash is kept, and it is compared in constant time."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from monitor.store import Token

_BYTES = 32  # of chance in a token, so that its plain hash cannot be searched
_LONGEST = 256  # characters that are hashed; a token has 43


def new_token() -> str:
    """A token, 43 characters of URL-safe Base64."""
    return secrets.token_urlsafe(_BYTES)


def hash_of(token: str) -> str:
    """SHA-256 of a token's text, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def holder_of(token: str, kept: Sequence[Token]) -> Token | None:
    """The kept token that this one is, good or revoked; None where there is none.

    Every kept hash is compared, so that the time tells nothing about which of them came near.
    """
    given = hash_of(token[:_LONGEST])
    found = None
    for one in kept:
        if hmac.compare_digest(one.sha256, given):
            found = one
    return found


def token_in(header: str) -> str:
    """The token of an `Authorization: Bearer TOKEN`; empty where there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""

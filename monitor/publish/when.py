"""Times as people and files write them."""

from datetime import UTC, datetime


def time_of(text: str) -> datetime:
    """A date or an RFC 3339 time, in UTC; without a zone it is UTC. Raises ValueError with a reason."""
    if text[4:5] != "-" or text[7:8] != "-" or not text.isascii():
        raise ValueError(_REASON)  # `fromisoformat` takes week dates and more
    try:
        found = datetime.fromisoformat(text if text[-1] != "z" else text.upper())
        if found.tzinfo is UTC:
            return found
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(_REASON) from None


_REASON = "must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z"

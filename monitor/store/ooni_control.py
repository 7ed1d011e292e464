"""What OONI's test helper saw, as a `ControlReply`."""

from probes.control_reply import ReplyError, asns, read_reply
from probes.measurement import ControlReply
from probes.ooni_values import Record, failure, mapping, text


def control(document: Record, keys: Record, url: str) -> tuple[ControlReply, ...]:
    """The helper's reply for the URL; none where the helper said nothing, and one that failed where it failed."""
    source = _source(document)
    failed = failure(keys.get("control_failure"))
    if failed is not None:
        return (ControlReply(source=source, url=url, failure=failed, dns_known=False),)
    try:
        return (read_reply(keys.get("control"), source=source, url=url),)
    except ReplyError:
        return ()


def _source(document: Record) -> str:
    backend = mapping(document.get("test_helpers")).get("backend")
    where = text(mapping(backend).get("address")) if isinstance(backend, dict) else text(backend)
    return f"helper:{where or 'ooni'}"


__all__ = ["asns", "control"]

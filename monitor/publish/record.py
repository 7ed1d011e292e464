"""One measurement and its verdict as one line of JSON (CONTRACT.md section 3), and back.

`facts` is the whole measurement, from which the verdict can be computed again; the rest is derived from it.
Of bodies and packets, `facts` has those of measurements that were not `ok`: without bodies no block page can be
recognised. What rules ask about packets is in `flows`.
"""

import hashlib
from typing import Any

import msgspec

from blocklists import Fingerprints
from monitor.judge.observe import observe
from monitor.judge.verdict import Verdict
from probes.measurement import Measurement, VantageFacts, rfc3339

from .text import printable

_NO_FINGERPRINTS = Fingerprints([])  # observations do not depend on them


class NotOurs(ValueError):
    """A document that is no measurement of ours; str() is one line."""


def as_json(measurement: Measurement, verdict: Verdict, *, version: str) -> bytes:
    """The document as one line, without its end."""
    return msgspec.json.encode(document(measurement, verdict, version=version))


def document(measurement: Measurement, verdict: Verdict, *, version: str) -> dict[str, Any]:
    """The document; `simulated` is there, and true, where the network was simulated."""
    case = observe(measurement, _NO_FINGERPRINTS)
    vantage = measurement.vantage
    found: dict[str, Any] = {
        "uid": measurement.uid,
        "time": rfc3339(measurement.time),
        "target": measurement.target,
        "vantage": _vantage(vantage),
        "verdict": msgspec.to_builtins(verdict),
        "observations": msgspec.to_builtins(case.observations),
        "lookups": msgspec.to_builtins(case.answers),
        "control": {"replies": msgspec.to_builtins(measurement.control)} if measurement.control else None,
        "software": {"name": "wallwatch", "version": version},
        "facts": msgspec.to_builtins(_facts(measurement, verdict)),
    }  # fmt: skip
    if vantage.simulated:
        found["simulated"] = True
    return found


def _vantage(vantage: VantageFacts) -> dict[str, Any]:
    """Who measured, and what could not be measured from there; `method` only where it is a remote one's."""
    found: dict[str, Any] = {
        "name": vantage.name, "kind": vantage.kind, "country": vantage.country, "asn": vantage.asn,
        "direction": vantage.direction, "blind": list(vantage.blind),
    }  # fmt: skip
    return {**found, "method": vantage.method} if vantage.method else found


def _facts(measurement: Measurement, verdict: Verdict) -> Measurement:
    return msgspec.structs.replace(measurement, bodies={}, pcap=b"") if verdict.outcome == "ok" else measurement


def read_json(document: dict[str, Any]) -> Measurement:
    """The measurement in a decoded document. Raises NotOurs for anything else, and nothing but that."""
    facts = document.get("facts") if isinstance(document, dict) else None
    if not isinstance(facts, dict):
        raise NotOurs("no measurement of ours: it has no facts")
    try:
        measurement = msgspec.convert(facts, Measurement)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NotOurs(f"facts: {printable(str(error))}") from None
    for name, own in (("uid", measurement.uid), ("target", measurement.target)):
        if name in document and document[name] != own:
            raise NotOurs(f"{name}: is not the one in its facts")
    _check(measurement)
    return measurement


def _check(measurement: Measurement) -> None:
    """A body or certificate under a hash that is not its own would be evidence against somebody else."""
    if not measurement.uid or not measurement.target or not measurement.vantage.name:
        raise NotOurs("facts: uid, target and the vantage's name must not be empty")
    for kind, kept in (("bodies", measurement.bodies), ("certificates", measurement.certificates)):
        for digest, content in kept.items():
            if hashlib.sha256(content).hexdigest() != digest:
                raise NotOurs(f"facts: {kind}: {printable(digest, 64)} is not the SHA-256 of its content")

"""What a profile was spent on: every function's own time, given to the part of the program that it worked for."""

import cProfile
import pstats
from collections import defaultdict
from typing import Any

Function = tuple[str, int, str]

# First match wins; what matches none (built-in functions, the standard library) counts for its callers.
_PARTS = (
    ("site-packages/dns/", "dnspython"),
    ("site-packages/h11/", "h11"),
    ("site-packages/aiohttp", "aiohttp (control exchange)"),
    ("probes/certificate.py", "certificate chains"),
    ("site-packages/cryptography/", "certificate chains"),
    ("probes/tls.py", "TLS"),
    ("probes/message.py", "lookups around dnspython"),
    ("probes/dns.py", "lookups around dnspython"),
    ("probes/doh.py", "lookups around dnspython"),
    ("probes/encrypted.py", "lookups around dnspython"),
    ("probes/resolvers.py", "lookups around dnspython"),
    ("probes/control_reply.py", "control reply"),
    ("probes/ooni_values.py", "control reply"),
    ("monitor/collect/control.py", "control reply"),
    ("monitor/judge/", "judging"),
    ("blocklists/", "judging"),
    ("monitor/store/", "storing (loop's side)"),
    ("asyncio/", "event loop and sockets"),
    ("selectors.py", "event loop and sockets"),
    ("probes/", "probes and collector"),
    ("monitor/", "probes and collector"),
)
_OTHER = "rest"
_DEEPEST = 12  # callers of callers


def shares(profile: cProfile.Profile) -> dict[str, float]:
    """The share of each part, from 0 to 1, the largest first; waiting for the network is left out."""
    stats: dict[Function, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    spent: dict[str, float] = defaultdict(float)
    for function, (_calls, _primitive, own, _inclusive, _callers) in stats.items():
        if "'select.epoll'" in function[2]:
            continue
        for part, share in _owners(stats, function, _DEEPEST).items():
            spent[part] += own * share
    whole = sum(spent.values())
    return {part: own / whole for part, own in sorted(spent.items(), key=lambda item: -item[1])}


def _owners(stats: dict[Function, Any], function: Function, depth: int) -> dict[str, float]:
    """The parts that a function worked for, with the share of each."""
    path = function[0].replace("\\", "/")
    part = next((name for where, name in _PARTS if where in path), None)
    callers = stats[function][4] if function in stats else {}
    if part is not None or depth == 0 or not callers:
        return {part or _OTHER: 1.0}
    whole = sum(numbers[3] for numbers in callers.values()) or 1.0
    owners: dict[str, float] = defaultdict(float)
    for caller, numbers in callers.items():
        for name, share in _owners(stats, caller, depth - 1).items():
            owners[name] += share * numbers[3] / whole
    return owners

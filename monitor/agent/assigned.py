"""What an assignment makes of an agent's own configuration; one that cannot be used changes nothing."""

import math

import msgspec

from blocklists import Target
from blocklists.targets import target_of
from monitor import values
from monitor.config import Config, ConfigError
from monitor.engine import SHIPPED, Setup, setup

from .protocol import Assignment, ProtocolError

_KINDS = ("direct", "socks5", "http")  # of the one vantage table of an agent
_LONGEST = 30 * 86400.0  # seconds between two rounds
_SHORTEST = 1.0
_MOST = 200_000  # targets in all lists


def base_of(config: Config) -> Setup:
    """The agent's own part: its network, roots, limits and fingerprints; no lists, which the service gives. Raises
    ConfigError with every fault."""
    faults = []
    if not config.agent.service:
        faults.append(f"{config.path}: agent.service: is needed: the service's address")
    if config.agent.token_file is None:
        faults.append(f"{config.path}: agent.token_file: is needed: the file with the token that `enrol` printed")
    if len(config.vantages) != 1:
        faults.append(f"{config.path}: vantage: an agent is one vantage, so at most one table is allowed")
    elif config.vantages[0].kind not in _KINDS:
        faults.append(f"{config.path}: vantage[1].kind: an agent's network is one of {', '.join(_KINDS)}")
    if faults:
        raise ConfigError(faults)
    return setup(msgspec.structs.replace(config, targets=(), control_open=SHIPPED / "controls.csv", control_vantage=""))


def idle(base: Setup) -> Setup:
    """The setup of an agent that has no assignment yet: it measures nothing."""
    config = msgspec.structs.replace(base.config, helpers=(), control_empty=())
    return msgspec.structs.replace(base, config=config, targets={}, controls=(), vantages=())


def setup_of(config: Config, assignment: Assignment, base: Setup) -> Setup:
    """The setup that measures by an assignment, over the base's network. Raises ProtocolError with what is wrong."""
    _check(assignment, base)
    own = base.vantages[0]
    facts = msgspec.structs.replace(
        own.facts, name=assignment.vantage, kind="agent", country=assignment.country or own.facts.country,
        asn=assignment.asn or own.facts.asn, simulated=base.simulated,
    )  # fmt: skip
    of_helpers = {h.rstrip("/") + "/generate_204" for h in assignment.helpers}  # the engine adds them by itself
    followed = msgspec.structs.replace(
        config, every=assignment.every, jitter=assignment.jitter, retries=assignment.retries, control_vantage="",
        helpers=assignment.helpers, control_empty=tuple(u for u in assignment.empty if u not in of_helpers),
        control_silent=assignment.silent,
    )  # fmt: skip
    vantage = msgspec.structs.replace(own, facts=facts, known_blocked=assignment.blocked)
    return msgspec.structs.replace(
        base, config=followed, targets=assignment.lists, controls=assignment.controls, vantages=(vantage,)
    )


def _check(assignment: Assignment, base: Setup) -> None:
    """Raises ProtocolError with the first fault."""
    if assignment.simulated != base.simulated:
        kinds = ("the real network", "a simulated one")
        raise ProtocolError(f"is for {kinds[assignment.simulated]}, and this agent measures {kinds[base.simulated]}")
    if not (math.isfinite(assignment.every) and _SHORTEST <= assignment.every <= _LONGEST):
        raise ProtocolError("`every` is out of range")
    if not (math.isfinite(assignment.jitter) and 0 <= assignment.jitter <= assignment.every):
        raise ProtocolError("`jitter` is out of range")
    targets = [t for listed in assignment.lists.values() for t in listed]
    if len(targets) > _MOST:
        raise ProtocolError(f"more than {_MOST} targets")
    try:
        values.name(assignment.vantage)
        values.within(0, 20)(assignment.retries)
        values.within(0, 2**32 - 1)(assignment.asn)
        values.country(assignment.country)
        values.address(assignment.silent)
        for urls in (assignment.empty, assignment.helpers, assignment.blocked):
            values.urls(list(urls))
        for target in (*targets, *assignment.controls):
            _check_target(target)
    except ValueError as error:
        raise ProtocolError(str(error)[:200]) from None
    if any(not target.url for target in assignment.controls):
        raise ProtocolError("a control is no URL")


def _check_target(target: Target) -> None:
    """Raises ValueError where a target's URL is not the one that its name stands for."""
    if target_of(target.name).url != target.url:
        raise ValueError(f"the target {target.name[:80]!r} has another URL")

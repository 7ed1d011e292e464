"""Does a first look call for a second one, and at which addresses? Pure: the collector acts on the answer."""

import msgspec

from probes.failure import TIMEOUT

from .differences import contact_fails_only_here
from .observe import Case
from .pages import reached_site
from .rules import fire

_WEAK_DNS = frozenset({"dns_servfail_error", "dns_refused_error", TIMEOUT})


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """`again`: addresses to contact in every further try; `apart`: the tries need a minute between two rounds."""

    again: tuple[str, ...] = ()
    apart: bool = False


def suspects(case: Case) -> Suspicion | None:
    """What to look at again; None where the first look settles it: reached and clean, down, or hopeless."""
    if fire(case, "unusable"):
        return None
    failing = {o.address for o in case.observations if o.failure and o.hop == 0 and not o.not_tried}
    named = {finding.address for finding in contact_fails_only_here(case)}
    if fire(case, "artefact"):
        return Suspicion(again=tuple(sorted(failing & named)))
    reached = reached_site(case, case.first)
    if not reached and (fire(case, "down") or case.first.layer == "none" or not _explainable(case)):
        return None
    if reached and not named:
        return None
    weak = case.first.layer == "dns" and case.first.failure in _WEAK_DNS
    return Suspicion(again=tuple(sorted(named)), apart=weak)


def _explainable(case: Case) -> bool:
    """A control answered, so further tries can be compared with something."""
    return case.reference.configured and case.reference.answered


def touched(case: Case) -> set[tuple[str, int]]:
    """The (address, port) pairs at which a censor may now be reacting to us: nobody else uses them for a while."""
    failed = {
        (o.address, o.port) for o in case.observations
        if o.address and o.failure and not o.not_tried and o.layer in ("tcp", "tls", "http")
    }  # fmt: skip
    lied = {
        (o.address, o.port)
        for o in case.observations
        if o.certificate_failure and case.is_site(o.address, o.hop) is False
    }
    return failed | lied

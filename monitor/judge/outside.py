"""What resolvers in a network said when they were asked from outside, and whether it is right or shown to be wrong.

There is no plain client. "Wrong" therefore means shown to be wrong: an address that no site can have, a documented
block page, or a server that shows somebody else's certificate while the site's own shows a good one from here.
"""

from collections.abc import Iterable, Iterator

import msgspec

from probes.address import is_bogon
from probes.dns import DNSLookup, Response
from probes.experiment import Attempt, Experiment
from probes.failure import NO_ANSWER, NXDOMAIN, TIMEOUT
from probes.tls import TLSHandshake

from .artefacts import kind_of_forgery, said
from .observe import Case
from .pages import proving

_STRONG = {NXDOMAIN: "dns.nxdomain", "dns_refused_error": "dns.refused", NO_ANSWER: "dns.no_answer"}
# A site that does not serve this country's resolvers looks like these: a fifth of .gov and .mil names do (Raman 2023).
_WEAK = {"dns_servfail_error": "dns.servfail", TIMEOUT: "dns.timeout"}
RIGHT, FALSE, WEAK, UNKNOWN = "right", "false", "weak", "unknown"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one fit resolver said of the name. `what` is one of the four words above; `tries`: how often."""

    resolver: str
    what: str
    technique: str = ""
    words: str = ""
    tries: int = 0


def is_from_outside(case: Case) -> bool:
    """Whether the network was measured from outside."""
    return case.measurement.vantage.direction == "outside-in"


def made(case: Case, kind: str) -> Iterable[Experiment]:
    """The experiments of a kind at places in the network."""
    return (e for e in case.measurement.experiments if e.kind == kind and e.place == "remote")


def fit(case: Case) -> list[Experiment]:
    """The resolvers that answered control names rightly before and after, and were asked for the name."""
    return [e for e in made(case, "resolver") if _is_fit(e)]


def _is_fit(experiment: Experiment) -> bool:
    controls = [t for t in experiment.tries if t.innocuous]
    asked = any(not t.innocuous for t in experiment.tries)
    return not experiment.left_out and asked and len(controls) >= 2 and all(t.failure is None for t in controls)


def told(case: Case) -> list[Told]:
    """What each of them said."""
    return [_told(case, experiment) for experiment in fit(case)]


def _told(case: Case, experiment: Experiment) -> Told:
    tries = [t for t in experiment.tries if not t.innocuous]
    verdicts = [_of_try(case, t) for t in tries]
    best = next((v for kind in (RIGHT, UNKNOWN, WEAK, FALSE) for v in verdicts if v[0] == kind), (UNKNOWN, "", ""))
    alike = sum(v[0] == best[0] for v in verdicts)  # one right answer clears it, one doubt leaves it in doubt
    return Told(resolver=tries[0].address, what=best[0], technique=best[1], words=best[2], tries=alike)


def _of_try(case: Case, attempt: Attempt) -> tuple[str, str, str]:
    """Word, technique and what was said, by the first answer: it is what a client believes."""
    first = next(iter(responses(attempt)), None)
    if first is not None and first.addresses():
        right = is_right(case, first)
        if right:
            return RIGHT, "", said(first)
        return (
            (FALSE, kind_of_forgery(case, first), said(first)) if is_false(case, first) else (UNKNOWN, "", said(first))
        )
    failure = attempt.failure or NO_ANSWER
    if not _has_ipv4(case):  # only A is asked for
        return UNKNOWN, "", failure
    if failure in _STRONG:
        return FALSE, _STRONG[failure], failure
    return (WEAK, _WEAK[failure], failure) if failure in _WEAK else (UNKNOWN, "", failure)


def responses(attempt: Attempt) -> Iterator[Response]:
    """The answers that came in a try, as far as they can be read."""
    for op in attempt.operations:
        if isinstance(op, DNSLookup):
            yield from (r for r in op.responses if not r.malformed)


def _has_ipv4(case: Case) -> bool:
    """The control resolves the name to an IPv4 address."""
    return any(":" not in a for a in case.reference.at(0).addresses)


def is_right(case: Case, response: Response) -> bool:
    """One of its addresses is the control's, of the same network, or shows the site's certificate."""
    given = case.reference.at(0).given
    return any(a in given or _certificate(case, a) is True or case.is_site(a, 0) for a in response.addresses())


def is_false(case: Case, response: Response) -> bool:
    """None of its addresses can be the site: nobody's, a block page's, or with somebody else's certificate."""
    addresses, given = response.addresses(), case.reference.at(0).given
    if not addresses or not given or is_right(case, response):
        return False
    if all(is_bogon(a) for a in addresses):
        return not all(is_bogon(a) for a in given)  # row 29: the zone itself leads nowhere
    if any(proving(case, case.fingerprints.match_address(a)) for a in addresses):
        return True
    looked = [c for a in addresses if (c := _certificate(case, a)) is not None]
    return bool(looked) and not any(looked) and _is_secure(case)


def _certificate(case: Case, address: str) -> bool | None:
    """Whether the address showed a certificate that is good for the name; None: it showed none at all."""
    tries = (t for e in made(case, "certificate") for t in e.tries if t.address == address and not t.innocuous)
    shown = [op for t in tries if t.sent == case.host for op in t.operations if isinstance(op, TLSHandshake)]
    whole = [op.valid for op in shown if op.failure is None]
    return any(whole) if whole else None


def _is_secure(case: Case) -> bool:
    """From here the site itself shows a good certificate at an address that the control gives."""
    return any(_certificate(case, address) for address in case.reference.at(0).given)

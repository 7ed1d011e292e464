"""Which experiments are worth their contacts? Pure: from a case, like `suspects`; the collector makes them."""

from collections.abc import Sequence

import msgspec

from blocklists import site_of
from probes.address import is_ipv6, is_name, parse
from probes.experiment import Experiment
from probes.failure import EOF, NO_ANSWER, NXDOMAIN, RESET, TIMEOUT
from probes.followup.host import path_of
from probes.followup.path import Trigger
from probes.followup.tally import tally
from probes.quic import QUICHandshake

from .differences import contact_fails_only_here
from .experiments import of_kind, own_tally
from .observe import Case

SLOW = 5.0  # times slower than the control: suspicious (judgement row 19)
_SLOW_BODY, _SLOW_SECONDS = 32 * 1024, 5.0  # bytes or seconds below which a page says nothing of throughput


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to find out. `name`: the name in question; `own`: endpoints of the site's own, for `sni` or `host`.

    `innocuous`: names that the site's own server has certificates for, of other sites; where there are none a control
    name has to do. `phrase`: what stands in the URL's path and query, or the target's own phrase.
    """

    name: str = ""
    sni: bool = False
    host: bool = False
    injection: bool = False
    quic: tuple[tuple[str, int], ...] = ()
    throughput: tuple[tuple[str, int], ...] = ()
    phrase: str = ""
    own: tuple[tuple[str, int], ...] = ()
    innocuous: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """At least one experiment is wanted."""
        return self.sni or self.host or self.injection or bool(self.quic or self.throughput or self.phrase)


def wanted(case: Case, *, suspicious: bool) -> Wanted:
    """The experiments for a first look; `suspicious`: it was so, or the target was blocked not long ago."""
    first = case.first
    hop = first.hop if first.failure else 0  # a page came: then it may be the way to it that was forged
    url, name = case.url_at(hop), (first.name if hop == first.hop else "") or case.host
    named = bool(name) and parse(name) is None
    secure = url.startswith("https:")
    return Wanted(
        name=name,
        sni=suspicious and named and secure,
        host=suspicious and named and not secure,
        injection=suspicious and named,
        phrase=_phrase(url) if suspicious and not secure else "",
        quic=_quic(case) if named else (),
        throughput=_slow(case),
        own=_own(case) if suspicious else (),
        innocuous=innocuous_names(case, name),
    )


def _phrase(url: str) -> str:
    """Path and query, where they say anything."""
    rest = "/" + url.split("://", 1)[-1].partition("/")[2]
    return rest.partition("#")[0] if len(rest) > 1 else ""


def _own(case: Case) -> tuple[tuple[str, int], ...]:
    """The site's own endpoints at which TLS or HTTP fails only here, two at most: where a name leads nobody knows."""
    named = {f.address for f in contact_fails_only_here(case)}
    wrong = [
        (o.address, o.port) for o in case.contacts(case.first.hop, attempt=0)
        if o.address in named and not is_name(o.address) and o.layer in ("tls", "http") and o.failure
    ]  # fmt: skip
    return tuple(dict.fromkeys(wrong))[:2]


def _quic(case: Case) -> tuple[tuple[str, int], ...]:
    """Where to try QUIC again, if the first look's failed: at an address of the site's that has not seen the name yet,
    else at that one, which may drop everything now (row 18)."""
    failed = [op for op in case.measurement.operations if isinstance(op, QUICHandshake) and op.failure]
    failed = [op for op in failed if not (op.failure or "").startswith("not_tried")]
    if not failed:
        return ()
    used, version = failed[0].address, is_ipv6(failed[0].address)
    others = [a for a in sorted(case.reference.at(0).addresses) if a != used and is_ipv6(a) == version]
    return tuple((a, failed[0].port) for a in (*others[:1], used))


def is_cut_for_all(case: Case) -> bool:
    """Vantage and control fail as if by a censor that looks at names: the helper may sit behind one too (row 7)."""
    first = case.first
    cut = first.layer in ("tls", "http") and first.failure in (RESET, TIMEOUT, EOF)
    return case.reference.answered and (cut or (first.layer == "dns" and first.failure in (NXDOMAIN, NO_ANSWER)))


def triggers(case: Case) -> tuple[tuple[Trigger, str], ...]:
    """What to send with a growing TTL: that to which somebody reacted at a listener or a silent address (a reset or an
    answer; silence has no hop)."""
    found: list[tuple[Trigger, str]] = []
    kinds: tuple[tuple[str, Trigger], ...] = (
        ("sni", "tls"),
        ("host", "http"),
        ("phrase", "http"),
        ("injection", "dns"),
    )
    for kind, trigger in kinds:
        for experiment in of_kind(case, kind):
            named = [t for t in experiment.tries if not t.innocuous]
            reset = (
                [t for t in named if t.failure == RESET] if trigger != "dns" else [t for t in named if not t.failure]
            )
            if experiment.place != "own" and len(reset) * 2 > len(named):
                found.append((trigger, path_of(named[0].sent) if kind == "phrase" else named[0].sent))
    return tuple(dict.fromkeys(found))[:2]


def quic_is_dropped(experiments: Sequence[Experiment]) -> bool:
    """No innocuous name came through, at the site's own address and at listeners: the network has no QUIC (row 30)."""
    tries = [t for e in experiments if e.kind == "quic" for t in e.tries if t.innocuous]
    return len({(t.address, t.port) for t in tries}) > 1 and all(t.failure for t in tries)


def _slow(case: Case) -> tuple[tuple[str, int], ...]:
    """Where the first look's page came at less than a fifth of the control's rate (row 19)."""
    seen = case.first.seen
    if seen is None or case.first.attempt:
        return ()
    place = (seen.address, seen.hop, 0)
    page = next((p for p in case.pages.values() if (p.address, p.hop, p.attempt) == place and p.status), None)
    if page is None:
        return ()
    ours, theirs = rate(page.body_length, page.finished - page.started), control_rate(case)
    took = page.finished - page.started
    telling = page.body_length >= _SLOW_BODY or took >= _SLOW_SECONDS or page.cut == "deadline"
    return ((page.address, page.port),) if telling and theirs and ours * SLOW < theirs else ()


def rate(length: int, took: float) -> float:
    """Bytes per second."""
    return length / max(took, 1e-3)


def control_rate(case: Case) -> float:
    """The fastest of the controls that timed the whole page, in bytes per second; 0 where none did."""
    timed = [
        rate(p.body_length, p.ttfb + p.body_seconds)
        for p in case.reference.at(0).pages
        if p.ttfb is not None and p.body_seconds is not None and p.body_length > 0
    ]
    return max(timed, default=0.0)


def innocuous_names(case: Case, name: str) -> tuple[str, ...]:
    """Other names of the site's own certificate, as the controls saw it, that belong to another site (row 13)."""
    seen = [n for r in case.reference.at(case.first.hop).replies for e in r.endpoints for n in e.names]
    plain = [n for n in seen if "*" not in n and n.isascii() and site_of(n) != site_of(name)]
    return tuple(dict.fromkeys(plain))[:8]


def once_more(case: Case, plan: Wanted) -> Wanted:
    """What of the plan to try again at listeners: the name failed there, too seldom to tell, and nothing else did."""
    doubtful = set()
    for experiment in case.measurement.experiments:
        count = tally(experiment.tries)
        if experiment.place == "neutral" and count.failed and not count.innocuous_failed and not count.differs:
            doubtful.add(experiment.kind)
    return Wanted(
        name=plan.name, sni="sni" in doubtful, host="host" in doubtful,
        phrase=plan.phrase if "phrase" in doubtful else "",
    )  # fmt: skip


def undecided(case: Case) -> tuple[tuple[str, int], ...]:
    """Own endpoints at which the name failed sometimes and no innocuous try did: some more pairs would tell."""
    doubtful = []
    for experiment in case.measurement.experiments:
        if experiment.place != "own" or experiment.kind not in ("sni", "host"):
            continue
        count = own_tally(case, experiment)
        if count.failed and not count.innocuous_failed and not count.differs:
            doubtful += [(t.address, t.port) for t in experiment.tries[:1]]
    return tuple(doubtful)

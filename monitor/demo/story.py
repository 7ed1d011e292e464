"""The story that `wallwatch demo` plays: three vantages, their censors, and what must be found.

Everything here is simulated, and everything that shows it says so.
"""

from datetime import datetime, timedelta

import msgspec

from monitor.collect.work import Result
from monitor.judge.detect import Event, State
from monitor.judge.verdict import INTERFERED, STOPPED

from .censor import Censor, Rule
from .sites import FORGED

CHANGE = 0.3  # of the play's length: when blocks begin and end
BLOCK_PAGE = "36.86.63.185"  # Indonesia's, known by fingerprint
FIREWALL, ISP, FREE = "firewall", "blockpage-isp", "free"
COUNTRIES = {FIREWALL: ("CN", 4134), ISP: ("ID", 7713), FREE: ("DE", 3320)}
_NOTICE = b"<html><head><title>Internet Positif</title></head><body>Situs ini diblokir. internetpositif</body></html>"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """One block that is played: the target, where, the technique (a prefix), and when it begins or ends."""

    target: str
    vantage: str
    technique: str
    begins: bool = False  # at CHANGE; else it is there from the start
    ends: bool = False  # at CHANGE


PLAYED = (
    Expected(target="https://www.facebook.com/", vantage=FIREWALL, technique="dns.injection"),
    Expected(target="https://www.instagram.com/", vantage=FIREWALL, technique="dns.injection"),
    Expected(target="https://twitter.com/", vantage=FIREWALL, technique="dns.injection"),
    Expected(target="https://x.com/", vantage=FIREWALL, technique="dns.injection"),
    Expected(target="https://www.bbc.com/", vantage=FIREWALL, technique="tls.reset.sni"),
    Expected(target="https://www.bbc.com/zhongwen/simp", vantage=FIREWALL, technique="tls.reset.sni"),
    Expected(target="https://www.bbc.co.uk/", vantage=FIREWALL, technique="tls.eof.sni"),
    Expected(target="https://www.nytimes.com/", vantage=FIREWALL, technique="tls.timeout.sni"),
    Expected(target="https://cn.nytimes.com/", vantage=FIREWALL, technique="tcp.timeout", ends=True),
    Expected(target="https://www.amnesty.org/", vantage=FIREWALL, technique="tls.reset.sni", begins=True),
    Expected(target="https://www.amnesty.org/zh-hans/", vantage=FIREWALL, technique="tls.reset.sni", begins=True),
    Expected(target="https://twitter.com/", vantage=ISP, technique="dns.injection.blockpage"),
    Expected(target="https://x.com/", vantage=ISP, technique="dns.injection.blockpage", ends=True),
    Expected(target="https://www.bbc.co.uk/", vantage=ISP, technique="tls.mitm"),
)


def firewall(changed: bool) -> list[Rule]:
    """What behaves like China's firewall: forged answers that race the true one, resets, silence."""
    rules = [
        Rule(kind="dns_forge", names=("facebook.com", "instagram.com", "twitter.com", "x.com"), forged=FORGED, count=2),
        Rule(kind="tls_reset", names=("facebook.com", "www.bbc.com")),
        Rule(kind="tls_close", names=("www.bbc.co.uk",)),
        Rule(kind="tls_drop", names=("www.nytimes.com",)),
    ]
    if changed:
        rules.append(Rule(kind="tls_reset", names=("amnesty.org",)))
    else:
        rules.append(Rule(kind="tcp_blackhole", addresses=("151.101.65.164",)))
    return rules


def blockpage_isp(changed: bool) -> list[Rule]:
    """An ISP whose resolver leads to a block page, and that breaks into TLS for one site."""
    names = ("twitter.com",) if changed else ("twitter.com", "x.com")
    return [
        Rule(kind="dns_forge", names=names, forged=(BLOCK_PAGE,), follows=False, query_types=("A",)),
        Rule(kind="dns_empty", names=names, query_types=("AAAA",)),
        Rule(kind="block_page", addresses=(BLOCK_PAGE,), body=_NOTICE),
        Rule(kind="mitm", names=("www.bbc.co.uk",), authority="untrusted"),
    ]


class Censors:
    """The censors of the play."""

    def __init__(self) -> None:
        self.changed_at: datetime | None = None
        self.by_vantage = {
            FIREWALL: Censor(firewall(False)), ISP: Censor(blockpage_isp(False)), FREE: Censor(),
        }  # fmt: skip

    def change(self, now: datetime) -> None:
        """The turn of the story."""
        self.changed_at = now
        self.by_vantage[FIREWALL].rules[:] = firewall(True)
        self.by_vantage[ISP].rules[:] = blockpage_isp(True)


class Seen(msgspec.Struct, kw_only=True):
    """What the service found: every outcome, the events and the states at the end."""

    results: list[Result]
    events: list[Event]
    states: dict[tuple[str, str], State]
    changed_at: datetime | None


def compare(seen: Seen) -> tuple[list[str], list[str]]:
    """What was found of what was simulated, and every fault: something missed, or something innocent called blocked."""
    found: list[str] = []
    faults: list[str] = []
    for expected in PLAYED:
        missing = _missing(expected, seen)
        what = f"{expected.vantage:<14} {expected.target:<36} {expected.technique}{_when(expected)}"
        (faults if missing else found).append(f"{what}{': ' + missing if missing else ''}")
    played = {(e.target, e.vantage) for e in PLAYED}
    for result in seen.results:
        measurement, verdict = result.measurement, result.verdict
        target, vantage = measurement.target, measurement.vantage.name
        if (target, vantage) not in played and verdict.outcome in INTERFERED:
            what = f"{verdict.outcome} ({verdict.technique}) at {measurement.time:%H:%M:%S}"
            faults.append(f"{vantage:<14} {target:<36} innocent, and called {what}")
    for event in seen.events:
        if (event.target, event.vantage) not in played:
            faults.append(f"{event.vantage:<14} {event.target:<36} innocent, and has an event: {event.kind}")
    return found, faults


def _when(expected: Expected) -> str:
    return ", begins in the story" if expected.begins else ", ends in the story" if expected.ends else ""


def _missing(expected: Expected, seen: Seen) -> str:
    """What was not found of one block; empty where all was."""
    key = (expected.target, expected.vantage)
    mine = [r.verdict for r in seen.results if (r.measurement.target, r.measurement.vantage.name) == key]
    techniques = {v.technique for v in mine if v.outcome in STOPPED}
    if not any((t or "").startswith(expected.technique) for t in techniques):
        return f"not seen; saw {sorted(t or '' for t in techniques) or 'no block'}"
    state = seen.states.get(key)
    if (state is not None and state.state == "blocked") == expected.ends:
        return f"at the end its state is {state.state if state else 'unknown'}"
    kind = "blocked" if expected.begins else "unblocked" if expected.ends else ""
    events = [e for e in seen.events if (e.target, e.vantage) == key and e.kind in ("blocked", "unblocked")]
    if not kind:
        return f"{len(events)} events too many" if events else ""
    if [e.kind for e in events] != [kind]:
        return f"expected one event {kind}, found {[e.kind for e in events]}"
    return "" if _holds(events[0], seen) else "the event's interval does not hold the moment of the change"


def _holds(event: Event, seen: Seen) -> bool:
    """Whether the change lies in the interval; a measurement's time is its beginning, and it may have begun before."""
    durations = {r.measurement.uid: r.measurement.duration for r in seen.results}
    slack = timedelta(seconds=max((durations.get(uid, 0.0) for uid in event.witness), default=0.0))
    moment = seen.changed_at
    return moment is not None and event.after is not None and event.after <= moment <= event.before + slack

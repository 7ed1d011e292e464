"""Rules for a vantage that can say nothing at present, or nothing of this target; and what its self-test shows."""

from probes.address import kind
from probes.failure import NO_ANSWER, NXDOMAIN
from probes.measurement import SelfTest, VantageFacts

from . import artefacts
from .finding import Finding
from .observe import Case
from .pages import reached_site

CLOCK = 300.0  # seconds of skew beyond which times and certificates cannot be trusted; a control is at most 5 min old
FEWEST_NAMES = 3  # control names without which nothing is said about being offline


def offline(case: Case) -> list[Finding]:
    """Every control name fails at DNS or TCP (row 24)."""
    bad = [t for t in case.measurement.self_tests if is_offline(t)]
    return [Finding(cause="offline", text="every control name failed from this vantage: it is offline")] if bad else []


def is_offline(test: SelfTest) -> bool:
    """Whether a self-test says that the vantage is offline."""
    return len(test.failed) >= FEWEST_NAMES and not test.opened


def captive_portal(case: Case) -> list[Finding]:
    """An empty page is not empty, or two control names show untrusted certificates (row 6)."""
    if any(is_captive(t) for t in case.measurement.self_tests):
        return [Finding(cause="captive_portal", text="the vantage is behind a captive portal")]
    return []


def is_captive(test: SelfTest) -> bool:
    """Whether a self-test says that somebody answers in place of everybody."""
    return bool(test.not_empty) or len(test.untrusted) >= 2


def clock_is_off(case: Case) -> list[Finding]:
    """The vantage's clock differs from HTTPS dates by more than five minutes."""
    skews = [t.clock_skew for t in case.measurement.self_tests if t.clock_skew is not None]
    worst = max(skews, key=abs, default=0.0)
    if abs(worst) <= CLOCK:
        return []
    return [Finding(cause="clock", text=f"the vantage's clock is off by {worst:.0f} seconds")]


def fake_addresses(case: Case) -> list[Finding]:
    """A local proxy hands out addresses of 198.18/15: what happens beyond it cannot be seen."""
    told = any(kind(a) == "fake" for x in case.answers if x.plain for a in x.addresses)
    if told or any(t.fake_addresses for t in case.measurement.self_tests):
        return [Finding(cause="not_measurable", text="a local proxy answers names with fake addresses (198.18/15)")]
    return []


def moved_egress(case: Case) -> list[Finding]:
    """The way out ends in another country or network than the confirmed one, until that is confirmed (row 21)."""
    vantage = case.measurement.vantage
    moves = [text for t in case.measurement.self_tests if (text := moved(t, vantage))]
    return [Finding(cause="not_measurable", text=f"the vantage's {moves[0]}")] if moves else []


def moved(test: SelfTest, facts: VantageFacts) -> str:
    """From where to where the way out moved; empty where it did not, or where one of both is not known.

    A remote vantage's facts are those of the network that it looks at, not of its own way out.
    """
    country = facts.country and test.egress_country and facts.country != test.egress_country
    network = facts.asn and test.egress_asn and facts.asn != test.egress_asn
    if facts.direction != "inside-out" or not (country or network):
        return ""
    before, now = place(facts.asn, facts.country), place(test.egress_asn, test.egress_country)
    return f"way out moved from {before} to {now}; results wait until `wallwatch confirm {facts.name}`"


def place(asn: int, country: str) -> str:
    """`AS4134 (CN)`, or what of it is known."""
    return f"AS{asn} ({country})" if asn and country else f"AS{asn}" if asn else country


def wildcard_answer(case: Case) -> list[Finding]:
    """The own resolver gave only addresses that it also gives for names that do not exist, and nothing else tells what
    is there: neither the site itself, nor the control, nor an encrypted resolver, nor a known block page."""
    hop, invented = case.first.hop, {a for t in case.measurement.self_tests for a in t.wildcard}
    told = {a for x in case.answers_at(hop) if x.plain for a in x.addresses}
    if not told or not told <= invented or _is_known(case, hop, told) or _is_proved(case):
        return []
    text = f"its resolver gave {min(told)} for {case.first.name}, as it does for names that do not exist"
    return [Finding(cause="not_measurable", hop=hop, text=text)]


def _is_known(case: Case, hop: int, told: set[str]) -> bool:
    """The site is there, or there is none (row 16: then it is dead, and what answers is advertising)."""
    view = case.reference.at(hop)
    if view.dns_failure in (NXDOMAIN, NO_ANSWER) or told & (view.given | case.vouched_by_encrypted(hop)):
        return True
    certified = any(o.valid_tls for o in case.contacts(hop) if o.address in told)
    return certified or any(reached_site(case, t) for t in case.tries)


def _is_proved(case: Case) -> bool:
    """Interference is proved by what a resolver that invents answers cannot explain."""
    return bool(artefacts.two_answers(case) or artefacts.known_block_address(case) or artefacts.known_block_page(case))

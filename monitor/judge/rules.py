"""The table of rules, in the contract's order of decision: id, stage, when it fires, why it may conclude.

`VERSION` changes whenever a verdict could; stored measurements are then judged again, beside the old verdicts.
"""

from collections.abc import Callable

import msgspec

from . import artefacts, differences, experiments, innocent, resets, throttling
from .finding import Finding
from .observe import Case

VERSION = 3


class Rule(msgspec.Struct, frozen=True):
    """One row. Stages, in order: `unusable`, `artefact`, `down`, `difference`, `ok`, `insufficient`."""

    id: str
    stage: str
    when: Callable[[Case], list[Finding]]
    why: str


RULES = (
    Rule("vantage.offline", "unusable", innocent.offline, "A vantage without network says nothing about sites."),
    Rule("vantage.captive_portal", "unusable", innocent.captive_portal, "A portal answers in everybody's place."),
    Rule("vantage.clock", "unusable", innocent.clock_is_off, "Dates and certificates cannot be judged."),
    Rule("vantage.fake_addresses", "unusable", innocent.fake_addresses, "A local proxy hides the network."),
    Rule("dns.two_answers", "artefact", artefacts.two_answers,
         "A query sent once has one answer; a second, contradicting one was put in by somebody on the path."),
    Rule("dns.bogon_only_here", "artefact", artefacts.bogon_answer, "No public site is at such an address."),
    Rule("dns.known_block_address", "artefact", artefacts.known_block_address,
         "The address is documented as this country's block page."),
    Rule("tls.untrusted_only_here", "artefact", artefacts.untrusted_certificate,
         "At this address the control sees the site's own certificate: somebody between shows another."),
    Rule("http.known_block_page", "artefact", artefacts.known_block_page,
         "The page is documented as this country's block page."),
    Rule("dns.answer_from_nowhere", "artefact", experiments.answer_from_nowhere,
         "Nobody is there who could answer, so the answer was put in on the way."),
    Rule("tls.fails_only_with_the_name", "artefact", experiments.server_name,
         "Only the server name differs between tries that fail and tries that pass."),
    Rule("tls.other_certificate_for_the_name", "artefact", experiments.other_certificate,
         "The listener has one certificate only."),
    Rule("tcp.reset_not_the_servers", "artefact", resets.not_the_servers,
         "Its header, its time and what the server did besides show that another has sent it."),
    Rule("http.fails_only_with_the_host", "artefact", experiments.host_name,
         "Only the Host differs between tries that fail and tries that pass."),
    Rule("http.other_page_for_the_host", "artefact", experiments.other_page, "The listener has one page only."),
    Rule("http.fails_only_with_the_phrase", "artefact", experiments.phrase,
         "Only the words of path and query differ between tries that fail and tries that pass."),
    Rule("throttle.only_with_the_name", "artefact", throttling.throttled_by_name,
         "Only the server name differs between transfers that crawl and transfers that do not."),
    Rule("content.withheld_here", "artefact", experiments.withheld_by_platform,
         "The platform says so itself, over its own valid TLS."),
    Rule("quic.fails_only_with_the_name", "artefact", experiments.quic_name,
         "Only the server name differs between tries that fail and tries that pass."),
    Rule("down.dns_fails_alike", "down", innocent.dns_fails_alike, "What exists for nobody is not blocked."),
    Rule("down.dnssec_fault", "down", innocent.dnssec_fault, "A validating resolver must refuse a broken zone."),
    Rule("down.bogon_everywhere", "down", innocent.bogon_everywhere, "The zone itself holds a useless address."),
    Rule("down.certificate", "down", innocent.certificate_bad_for_both, "The site's own certificate is bad."),
    Rule("down.fails_alike", "down", innocent.fails_alike, "What fails for everybody is not blocked here."),
    Rule("down.dead_domain", "down", innocent.dead_domain_answers, "Resolvers sell advertising on missing names."),
    Rule("down.server_refusal", "down", innocent.server_refuses, "Geoblocks and bot walls are the site's choice."),
    Rule("down.redirects", "down", innocent.redirects_nowhere, "A redirect loop is the site's own."),
    Rule("down.parked", "down", innocent.parked, "A parking page is not the site."),
    Rule("dns.fails_only_here", "difference", differences.dns_fails_only_here,
         "The control resolves the name at the same time."),
    Rule("dns.stranger", "difference", differences.stranger_answer,
         "Certificate before address: the answer's address cannot be the site."),
    Rule("contact.fails_only_here", "difference", differences.contact_fails_only_here,
         "The control completes the same step at the same address."),
    Rule("tls.wrong_name_only_here", "difference", differences.wrong_name_only_here,
         "The control sees the right certificate at the same address."),
    Rule("http.page_differs", "difference", differences.page_differs_only_here,
         "Length, headers and title have nothing in common with the control's page."),
    Rule("throttle.only_here", "difference", throttling.throttled,
         "The control is served quickly, and this line is quick for others."),
    Rule("ok.valid_certificate", "ok", innocent.valid_certificate, "Nobody else can show this certificate."),
    Rule("ok.same_page", "ok", innocent.same_page, "The page is the one that the control gets."),
    Rule("ok.mostly_reached", "ok", innocent.mostly_reached, "Loss hits some tries, blocking nearly all."),
    Rule("ok.phrase_passes", "ok", experiments.phrase_passes, "What comes through is not filtered on this path."),
    Rule("insufficient.residual", "insufficient", innocent.residual, "A skipped contact is no evidence."),
    Rule("insufficient.no_listener", "insufficient", innocent.no_listener, "What was not sent cannot be judged."),
    Rule("insufficient.date", "insufficient", innocent.bad_date_only_here, "Nodes of one site differ."),
    Rule("insufficient.no_control", "insufficient", innocent.no_control, "A site down everywhere looks the same."),
    Rule("insufficient.control_failed", "insufficient", innocent.control_failed, "Without its word nothing is sure."),
    Rule("insufficient.ambiguous", "insufficient", innocent.ambiguous, "An honest doubt costs little."),
)  # fmt: skip

Fired = tuple[Rule, Finding]


def fire(case: Case, stage: str) -> list[Fired]:
    """All findings of the rules of one stage; the rules are asked once of each case."""
    if stage not in case.fired:
        case.fired[stage] = [(rule, f) for rule in RULES if rule.stage == stage for f in rule.when(case)]
    return case.fired[stage]

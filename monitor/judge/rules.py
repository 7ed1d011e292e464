"""The table of rules, in the contract's order of decision: id, stage, when it fires, why it may conclude.

`VERSION` changes whenever a verdict could; stored measurements are then judged again, beside the old verdicts.
"""

from collections.abc import Callable
from functools import lru_cache

import msgspec

from . import (
    artefacts,
    differences,
    experiments,
    innocent,
    proxied,
    remote,
    remote_servers,
    remote_sink,
    resets,
    throttling,
    unusable,
)
from .blind import is_silent
from .finding import Finding
from .observe import Case

VERSION = 4


class Rule(msgspec.Struct, frozen=True):
    """One row. Stages, in order: `unusable`, `artefact`, `down`, `difference`, `ok`, `insufficient`."""

    id: str
    stage: str
    when: Callable[[Case], list[Finding]]
    why: str


RULES = (
    Rule("vantage.proxy", "unusable", proxied.proxy_fails, "What the proxy does not do says nothing of the site."),
    Rule("vantage.offline", "unusable", unusable.offline, "A vantage without network says nothing about sites."),
    Rule("vantage.captive_portal", "unusable", unusable.captive_portal, "A portal answers in everybody's place."),
    Rule("vantage.clock", "unusable", unusable.clock_is_off, "Dates and certificates cannot be judged."),
    Rule("vantage.fake_addresses", "unusable", unusable.fake_addresses, "A local proxy hides the network."),
    Rule("vantage.moved_egress", "unusable", unusable.moved_egress,
         "What another network sees must not be told as this one's."),
    Rule("vantage.wildcard_answer", "unusable", unusable.wildcard_answer,
         "A resolver that invents answers may do so for any name that it does not find."),
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
    Rule("dns.outside_two_answers", "artefact", remote.two_answers,
         "A query sent once has one answer; a second, contradicting one was put in by somebody on the path."),
    Rule("dns.outside_block_address", "artefact", remote.block_address,
         "The resolver answers other names rightly, and nobody else is given such an address."),
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
    Rule("remote.only_with_the_name", "artefact", remote_servers.only_with_the_name,
         "Only the name differs between tries that fail and tries that pass, at servers that answer to every name."),
    Rule("remote.known_block_page", "artefact", remote_servers.known_block_page,
         "The page is documented as this country's block page, and the server has another."),
    Rule("tcp.reset_at_the_sink", "artefact", remote_sink.reset_at_the_sink,
         "Neither end sends resets, so somebody between does."),
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
    Rule("dns.outside_differs", "difference", remote.differs,
         "Most resolvers there answer for other names, and not, or with somebody else's address, for this one."),
    Rule("contact.fails_only_here", "difference", differences.contact_fails_only_here,
         "The control completes the same step at the same address."),
    Rule("tls.wrong_name_only_here", "difference", differences.wrong_name_only_here,
         "The control sees the right certificate at the same address."),
    Rule("tls.stranger_by_name", "difference", proxied.stranger_by_name,
         "Certificate before address, though nobody says which address it was."),
    Rule("remote.only_at_one", "difference", remote_servers.only_at_one,
         "Only the name differs; but the filter may be that server's own."),
    Rule("remote.lasting", "difference", remote_servers.lasts,
         "Two servers do not fall silent and recover together, each just after it was asked for the name."),
    Rule("remote.other_answer", "difference", remote_servers.other_answer,
         "Servers that have nothing in common do not share an answer for one name."),
    Rule("http.page_differs", "difference", differences.page_differs_only_here,
         "Length, headers and title have nothing in common with the control's page."),
    Rule("throttle.only_here", "difference", throttling.throttled,
         "The control is served quickly, and this line is quick for others."),
    Rule("ok.valid_certificate", "ok", innocent.valid_certificate, "Nobody else can show this certificate."),
    Rule("ok.same_page", "ok", innocent.same_page, "The page is the one that the control gets."),
    Rule("ok.mostly_reached", "ok", innocent.mostly_reached, "Loss hits some tries, blocking nearly all."),
    Rule("ok.phrase_passes", "ok", experiments.phrase_passes, "What comes through is not filtered on this path."),
    Rule("ok.nothing_from_outside", "ok", remote.nothing_seen, "What answers from outside answers rightly."),
    Rule("ok.servers_from_outside", "ok", remote_servers.nothing_seen, "What answers as usual is not filtered there."),
    Rule("ok.silent_sink", "ok", remote_sink.nothing_seen, "What comes through in silence is not filtered there."),
    Rule("insufficient.residual", "insufficient", innocent.residual, "A skipped contact is no evidence."),
    Rule("insufficient.no_listener", "insufficient", innocent.no_listener, "What was not sent cannot be judged."),
    Rule("insufficient.date", "insufficient", innocent.bad_date_only_here, "Nodes of one site differ."),
    Rule("insufficient.servers", "insufficient", remote_servers.in_doubt, "A server may have its own mind."),
    Rule("insufficient.sink", "insufficient", remote_sink.in_doubt, "Something else than a censor may end it."),
    Rule("insufficient.no_control", "insufficient", innocent.no_control, "A site down everywhere looks the same."),
    Rule("insufficient.control_failed", "insufficient", innocent.control_failed, "Without its word nothing is sure."),
    Rule("insufficient.from_outside", "insufficient", remote.in_doubt, "Few say little, and the innocent is likelier."),
    Rule("insufficient.ambiguous", "insufficient", innocent.ambiguous, "An honest doubt costs little."),
)  # fmt: skip

Fired = tuple[Rule, Finding]


def fire(case: Case, stage: str) -> list[Fired]:
    """All findings of the rules of one stage; the rules are asked once of each case."""
    if stage not in case.fired:
        rules = _rules(stage, case.measurement.vantage.blind)
        case.fired[stage] = [(rule, f) for rule in rules for f in rule.when(case)]
    return case.fired[stage]


@lru_cache(maxsize=256)
def _rules(stage: str, blind: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.stage == stage and not is_silent(rule.id, blind))

"""Rules for what proves interference: nothing innocent looks like this (CONTRACT.md section 2, artefacts)."""

from itertools import combinations

from probes.address import is_bogon
from probes.certificate import INVALID_CERTIFICATE, load
from probes.dns import Response

from .finding import Finding
from .observation import Answer
from .observe import Case
from .pages import is_blockpage, proving

NOERROR, NXDOMAIN = 0, 3  # DNS response codes, RFC 1035 section 4.1.1
PROOF = 4.0  # log10 likelihood ratio given to an artefact


def two_answers(case: Case) -> list[Finding]:
    """Two answers to one query that share no record or contradict in rcode, at least one of which fails."""
    found = []
    for answer in case.answers:
        if answer.encrypted or answer.checking_disabled:
            continue
        for one, other in combinations([r for r in answer.responses if is_usable(r)], 2):
            liar = _liar(case, answer, one, other)
            if liar is not None:
                found.append(
                    Finding(
                        technique=kind_of_forgery(case, liar), weight=PROOF, hop=answer.hop,
                        text=f"one {answer.query_type} query for {answer.name} to {answer.resolver} was "
                        f"answered twice: "
                        f"{said(one)} after {one.at * 1000:.0f} ms and {said(other)} after {other.at * 1000:.0f} ms",
                    )
                )  # fmt: skip
                break
    return found


def _given(response: Response) -> tuple[str, ...]:
    """The addresses of an answer, those in HTTPS records included (judgement row 4)."""
    return response.addresses() + response.hints()


def is_usable(response: Response) -> bool:
    """Whether an answer says anything of the name, rather than of the resolver."""
    return not response.malformed and response.rcode in (NOERROR, NXDOMAIN)


def contradict(one: Response, other: Response) -> bool:
    """Two answers to one query share no record, or differ in rcode; two that give nothing do not."""
    ours, theirs = set(_given(one)), set(_given(other))
    return bool(ours | theirs) and not (one.rcode == other.rcode and ours & theirs)


def _liar(case: Case, answer: Answer, one: Response, other: Response) -> Response | None:
    """The answer that fails, where two contradict; None where they agree or nobody can say which is false."""
    if not contradict(one, other):
        return None
    for response in sorted((one, other), key=lambda r: not _given(r)):
        if fails(case, answer.hop, response):
            return response
    return None


def fails(case: Case, hop: int, response: Response) -> bool:
    """Whether an answer is false: nobody who can be trusted gives it, or no certificate for the name is there."""
    reference = case.reference.at(hop)
    encrypted = case.vouched_by_encrypted(hop)
    known = reference.dns_known or case.encrypted_answered(hop)
    if not _given(response):
        return response.rcode == NXDOMAIN and bool(reference.addresses | encrypted)
    given = reference.given | encrypted
    if known and not set(_given(response)) & given:
        return True
    tried = [o for o in case.contacts(hop) if o.address in _given(response) and o.server_name]
    return bool(tried) and not any(o.valid_tls for o in tried) and reference.good


def said(response: Response) -> str:
    """What an answer gives, in words."""
    return ", ".join(_given(response)[:3]) or ("NXDOMAIN" if response.rcode == NXDOMAIN else "no address")


def kind_of_forgery(case: Case, response: Response) -> str:
    """The technique that a false answer is."""
    addresses = _given(response)
    if any(is_bogon(a) for a in addresses):
        return "dns.injection.bogon"
    if any(proving(case, case.fingerprints.match_address(a)) for a in addresses):
        return "dns.injection.blockpage"
    return "dns.injection.other" if addresses else "dns.injection"


def bogon_answer(case: Case) -> list[Finding]:
    """An address that no site can have, given by the vantage's resolver and by nobody who can be trusted."""
    found = []
    for answer in case.answers:
        useless = [a for a in answer.addresses if is_bogon(a)]
        if (
            not useless
            or answer.encrypted
            or answer.checking_disabled
            or not (case.reference.at(answer.hop).dns_known or case.encrypted_answered(answer.hop))
        ):
            continue
        given = case.reference.at(answer.hop).given | case.vouched_by_encrypted(answer.hop)
        bogons = [a for a in useless if a not in given]
        nowhere = bool(given) and all(is_bogon(a) for a in given)  # row 29: the zone itself leads nowhere
        if bogons and not nowhere:
            found.append(
                Finding(
                    technique="dns.injection.bogon", weight=PROOF,
                    hop=answer.hop,
                    text=f"{answer.resolver} gave {bogons[0]} for {answer.name}, an address at which no public "
                    "site can be; who can be trusted was not given it",
                )
            )  # fmt: skip
    return found


def known_block_address(case: Case) -> list[Finding]:
    """An answer is the address of a known block page of this country, and the control does not get it."""
    found = []
    for answer in case.answers:
        if answer.encrypted or answer.checking_disabled:
            continue
        known = [(a, rows) for a in answer.addresses if (rows := case.fingerprints.match_address(a))]
        given = case.reference.at(answer.hop).given | case.vouched_by_encrypted(answer.hop) if known else ()
        for address, rows in known:
            names = [f.name for f in proving(case, rows)]
            if names and address not in given:
                found.append(
                    Finding(
                        technique="dns.injection.bogon" if is_bogon(address) else "dns.injection.blockpage",
                        weight=PROOF, hop=answer.hop,
                        text=f"{answer.resolver} gave {address} for {answer.name}, the known block page {names[0]}",
                    )
                )  # fmt: skip
    return found


def untrusted_certificate(case: Case) -> list[Finding]:
    """An untrusted certificate at an address where the control saw a valid one for this name in the same minutes."""
    found = []
    for seen in case.observations:
        if seen.certificate_failure in (None, INVALID_CERTIFICATE) or seen.control_tls != "ok":
            continue
        if seen.certificate_failure != "ssl_unknown_authority":
            continue
        kind = {True: "tls.mitm.self_signed", False: "tls.mitm.ca_signed", None: "tls.mitm"}[
            self_signed(case, seen.chain)
        ]
        found.append(
            Finding(
                technique=kind, weight=PROOF, hop=seen.hop,
                text=f"{seen.address} showed an untrusted certificate for {seen.name}; the control saw a valid one at "
                "the same address",
            )
        )  # fmt: skip
    return found


def self_signed(case: Case, chain: tuple[str, ...]) -> bool | None:
    """Whether the leaf of a chain signed itself; None where it is not to be had."""
    der = case.measurement.certificates.get(chain[0]) if chain else None
    if der is None:
        return None
    try:
        leaf = load(der)
    except ValueError:
        return None
    return leaf.issuer == leaf.subject


def known_block_page(case: Case) -> list[Finding]:
    """A page that is known as this country's block page, and that the control did not get."""
    found = []
    for seen in case.observations:
        if not is_blockpage(case, seen):
            continue
        names = [f.name for f in proving(case, case.matches(seen))]
        if case.is_site(seen.address, seen.hop) is False and seen.hop == 0:
            technique = "dns.injection.blockpage"
        elif seen.hop > 0 or seen.location:
            technique = "http.redirect"
        else:
            technique = "http.blockpage"
        found.append(
            Finding(
                technique=technique, weight=PROOF, hop=seen.hop,
                text=f"the page at {seen.url or seen.address} is the known block page {names[0]}; the control "
                "got another",
            )
        )  # fmt: skip
    return found

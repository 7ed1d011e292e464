"""Rules for what is seen through a proxy, whose far side resolves the names: where a name leads is not known."""

from probes.address import is_ipv6, is_name
from probes.failure import PROXY, PROXY_FAILED, PROXY_REFUSES, is_of_proxy

from .finding import Finding
from .observation import Observation
from .observe import Case
from .unusable import is_offline

STRANGER = 1.6  # log10 likelihood ratio: OONI's for a TLS failure that is no reset
_STRANGERS = frozenset({"ssl_unknown_authority", "ssl_invalid_hostname"})
_SAYS = {
    PROXY: "the proxy could not be reached, did not let us in or broke off, so {} was not contacted",
    PROXY_FAILED: "the proxy could not connect to {} and does not say why",
    PROXY_REFUSES: "the proxy does not allow connections to {}",
}


def proxy_fails(case: Case) -> list[Finding]:
    """The first look ended at the proxy itself, or the proxy was lost before the tries were over.

    That it could not reach this one target, and does not say why, makes a single try void, not the others. Where it
    reaches no control name either, the network behind it is offline.
    """
    first = case.first
    lost = not first.reached and any(t.failure == PROXY for t in case.tries)
    failure = PROXY if lost else first.failure if is_of_proxy(first.failure) else None
    if failure is None or (failure != PROXY and any(is_offline(t) for t in case.measurement.self_tests)):
        return []
    what = _SAYS.get(failure, _SAYS[PROXY]).format(first.name or case.measurement.target)
    return [Finding(cause="not_measurable", hop=first.hop, text=what)]


def stranger_by_name(case: Case) -> list[Finding]:
    """The name leads to somebody whose certificate is not good for it, and the control sees good ones.

    Whether the answer to the proxy was forged or somebody sits on its path cannot be told, so it is no artefact.
    """
    shown = [o for o in case.contacts(case.first.hop) if is_name(o.address) and o.server_name == o.address]
    bad = [o for o in shown if o.certificate_failure in _STRANGERS and o.control_tls == "ok"]
    if not bad or bad[0].attempt != case.first.attempt:
        return []
    return [
        Finding(
            technique="tls", weight=STRANGER, hop=bad[0].hop, address=bad[0].address,
            failures=len({o.attempt for o in bad}), passes=len({o.attempt for o in shown if o.valid_tls}),
            text=f"asked for {bad[0].name}, the proxy leads to somebody whose certificate is not good for it "
            f"({bad[0].certificate_failure}), and the control sees a good one",
        )
    ]  # fmt: skip


def name_is_to_blame(case: Case, seen: Observation) -> bool:
    """Whether a contact that failed by name says anything: the far side may have gone to a node that is down, or over
    a broken IPv6.

    So none of the site's addresses may do through the same proxy what the name does not, and where it is the connect
    that fails, one of theirs must fail too. True for every contact by address.
    """
    if not is_name(seen.address):
        return True
    others = [o for o in case.contacts(seen.hop) if o.port == seen.port and not is_name(o.address) and not o.not_tried]
    if any(_completed(o, seen.layer) for o in others):
        return False
    return seen.layer != "tcp" or any(o.layer == "tcp" and not is_ipv6(o.address) for o in others)


def _completed(other: Observation, layer: str) -> bool:
    passed = {"tcp": other.layer != "tcp" or other.failure is None, "tls": other.valid_tls, "http": other.got_page}
    return passed[layer]

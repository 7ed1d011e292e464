"""Where on the path somebody reacts, read from an experiment with growing TTL."""

from collections import Counter

from probes.experiment import Experiment
from probes.followup.path import CAME, SILENT, heard, lowest_ttl


def censor_hop(experiment: Experiment) -> tuple[int, str] | None:
    """Number of hops and the router there (empty where none is known); None where the tries do not settle it.

    Something came to the trigger twice at this TTL, nothing three times at the one below, and nothing to an innocuous
    one: so it was neither the server, nor a proxy that speaks for everybody. Somebody who answers with the TTL that
    came in is nearer than this, since the answer must find its way back; nobody is further.
    """
    ttl = lowest_ttl(experiment.tries)
    if experiment.kind != "path" or not ttl:
        return None
    triggers = [t for t in experiment.tries if not t.innocuous]
    came = sum(1 for t in triggers if t.ttl == ttl and heard(t))
    silent = Counter(t.ttl for t in triggers if heard(t) is False)
    twins = [heard(t) for t in experiment.tries if t.innocuous and t.ttl == ttl and t.operations]
    if came < CAME or (ttl > 1 and silent[ttl - 1] < SILENT) or not twins or any(h is not False for h in twins):
        return None
    return ttl, next((t.router for t in experiment.tries if t.innocuous and t.ttl == ttl and t.router), "")

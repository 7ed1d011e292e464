"""One measurement of a phrase: requests with it and without it to neutral listeners, and to platforms where named."""

from blocklists import Target
from monitor.judge.followup import Wanted
from probes.measurement import ControlReply, Measurement, SelfTest
from probes.trace import Trace
from probes.url import parse_url

from .control import Control
from .experiments import Experiments, Means
from .listeners import lent
from .self_test import SelfTester
from .vantage import Vantage


async def measure_phrase(
    target: Target, vantage: Vantage, trace: Trace, *, uid: str, control: Control, tester: SelfTester, means: Means
) -> Measurement:
    """The pairs, between two tests of the vantage."""
    _at, before = await tester.test(vantage, since=trace.clock.monotonic() - 300.0)
    replies = await _who_lends(control, tester)
    experiments = Experiments(means, vantage, trace, uid)
    with experiments:
        await experiments.at_listeners(Wanted(phrase=target.phrase), lent(replies), ())
        await experiments.at_platforms(target.phrase)
        tried = (op for e in experiments.so_far() for t in e.tries for op in t.operations)
        flows, pcap = experiments.packets(tried)
    _at, after = await tester.test(vantage, since=trace.clock.monotonic() - 5.0)
    return Measurement(
        uid=uid, time=trace.began, target=target.name, url="", vantage=vantage.facts, category=target.category,
        experiments=experiments.so_far(), flows=flows, pcap=pcap, control_configured=control.configured,
        self_tests=_tests(before, after),
        duration=trace.now(), bodies=dict(trace.bodies), certificates=dict(trace.certificates),
    )  # fmt: skip


async def _who_lends(control: Control, tester: SelfTester) -> list[ControlReply]:
    """The helpers say which listeners they lend beside any answer, here one about a control site."""
    if not control.configured or not tester.urls:
        return []
    return await control.ask(parse_url(tester.urls[0]), [])


def _tests(before: SelfTest, after: SelfTest) -> tuple[SelfTest, ...]:
    return (before,) if before is after else (before, after)

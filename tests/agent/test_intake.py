"""A batch: what is taken, what is refused and why, and what of an upload the service knows better."""

import asyncio
import gzip
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from blocklists import target_of
from monitor.agent import checks, protocol
from monitor.agent.checks import REASONS, Expected, Refused, checked
from monitor.publish.agent_metrics import REFUSALS
from monitor.store import KeptControl
from probes.dns import Record, Response
from probes.experiment import Attempt, Experiment
from probes.measurement import Measurement, SelfTest, VantageFacts
from probes.tcp import TCPConnect

from .service import NOW, TARGETS, Taking, measurement, reply, taking, uid_at

FACTS = VantageFacts(name="inside", kind="agent", country="IR", asn=44244)
EXPECTED = Expected(facts=FACTS, targets={t: target_of(t, category="NEWS") for t in TARGETS}, now=NOW)


def taken(folder: Path, use: Callable[[Taking], Awaitable[None]]) -> None:
    async def main() -> None:
        async with taking(folder) as running:
            await use(running)

    asyncio.run(main())


def refusal(made: Measurement) -> str:
    with pytest.raises(Refused) as caught:
        checked(made, EXPECTED)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return caught.value.reason


def changed(name: str, **changes: Any) -> Measurement:
    """A measurement whose TCP connect, say, is another."""
    made = measurement()
    operations = [msgspec.structs.replace(op, **changes) if type(op).__name__ == name else op for op in made.operations]
    return msgspec.structs.replace(made, operations=tuple(operations))


def facts(**changes: Any) -> VantageFacts:
    return msgspec.structs.replace(measurement().vantage, **changes)


def timed(**apart: float) -> Measurement:
    moment = NOW + timedelta(**apart)
    return measurement(uid=uid_at(moment, 7), time=moment)


MANY = tuple(TCPConnect(started=0, finished=1, address="192.0.2.1", port=443) for _ in range(2001))
BAD: tuple[tuple[str, Measurement], ...] = (
    ("uid", measurement(uid="")),
    ("uid", measurement(uid="m1")),
    ("uid", measurement(uid=measurement().uid[:-1] + "A")),
    ("uid", measurement(uid=measurement().uid + "\n")),
    ("uid", measurement(uid="20261331T250000.000000Z-000000000001")),
    ("uid", measurement(time=NOW)),
    ("time", timed(minutes=10.1)),
    ("time", timed(days=-400.1)),
    ("foreign_vantage", measurement(vantage="beside")),
    ("vantage", measurement(vantage=facts(kind="direct"))),
    ("vantage", measurement(vantage=facts(direction="outside-in"))),
    ("vantage", measurement(vantage=facts(method="sink"))),
    ("vantage", measurement(vantage=facts(blind=("everything",)))),
    ("vantage", measurement(vantage=facts(country="Iran"))),
    ("vantage", measurement(vantage=facts(asn=2**32))),
    ("simulated", measurement(vantage=facts(simulated=True))),
    ("value", measurement(recorded="ooni")),
    ("operations", measurement(operations=MANY)),
    ("operations", measurement(experiments=(Experiment(kind="sni", place="own", tries=(
        Attempt(sent="x", started=0, finished=1, operations=MANY),)),))),
    ("value", changed("TCPConnect", port=65536)),
    ("value", changed("TCPConnect", port=-1)),
    ("value", changed("TCPConnect", local_port=70000)),
    ("value", changed("TCPConnect", started=-0.1)),
    ("value", changed("TCPConnect", started=math.nan)),
    ("value", changed("TCPConnect", finished=math.inf)),
    ("value", changed("TCPConnect", finished=0.0)),
    ("value", changed("TCPConnect", flow=2**60)),
    ("value", changed("TCPConnect", attempt=-1)),
    ("value", changed("HTTPRoundTrip", first_byte=math.nan)),
    ("value", changed("HTTPRoundTrip", title="x" * 300_000)),
    ("value", measurement(duration=math.nan)),
    ("value", measurement(duration=-1.0)),
    ("value", measurement(asns=(("192.0.2.1", 2**70),))),
    ("value", measurement(control=(reply(at=math.inf),))),
    ("value", measurement(self_tests=tuple(SelfTest() for _ in range(20_001)))),
    ("address", changed("TCPConnect", address="not an address")),
    ("address", changed("TCPConnect", address="<script>")),
    ("address", changed("DNSLookup", responses=(Response(at=0.0, records=(Record("A", "1.2.3.4.5"),)),))),
    ("address", measurement(control=(reply(addresses=("nowhere",)),))),
    ("address", measurement(self_tests=(SelfTest(nat64=("::/zero",)),))),
    ("content", measurement(bodies={"0" * 64: b"another"})),
    ("content", measurement(bodies={"name": b""})),
    ("content", measurement(certificates={"0" * 64: b"another"})),
    ("content", measurement(pcap=b"x" * (1024 * 1024 + 1))),
    ("target", measurement(target="https://nowhere.example/", url=TARGETS[0])),
    ("target", measurement(target="phrase:falun", url=TARGETS[0])),
    ("target", measurement(target="javascript:alert(1)", url="javascript:alert(1)")),
    ("target", measurement(target=" https://example.com/", url="https://example.com/")),
    ("target", measurement(target="https://nowhere.example/", expect="x" * 2000)),
)  # fmt: skip


@pytest.mark.parametrize(("reason", "made"), BAD, ids=[f"{n}-{r}" for n, (r, _m) in enumerate(BAD)])
def test_what_is_not_so_is_refused_by_name(reason: str, made: Measurement) -> None:
    assert refusal(made) == reason


def test_every_reason_is_counted_under_its_name() -> None:
    assert set(REASONS) <= set(REFUSALS)
    assert {reason for reason, _made in BAD} == set(REASONS) - {"schema", "judging"}


def test_what_is_at_the_limit_is_taken() -> None:
    for made in (
        timed(minutes=10),
        timed(days=-400),
        changed("TCPConnect", port=0),
        changed("TCPConnect", address="a-b.example"),
    ):
        assert checked(made, EXPECTED).uid == made.uid
    assert len(MANY) == checks.MAX_OPERATIONS + 1
    assert checked(measurement(operations=MANY[1:]), EXPECTED).operations == MANY[1:]


def test_what_the_service_knows_takes_the_place_of_what_is_said() -> None:
    found = checked(measurement(expect="lies"), EXPECTED)
    assert (found.site, found.category, found.expect) == ("example.com", "NEWS", "")
    assert found.vantage == VantageFacts(name="inside", kind="agent", country="IR", asn=44244, blind=("packets",))


def test_what_the_service_does_not_know_is_as_the_agent_says() -> None:
    unknown = msgspec.structs.replace(EXPECTED, facts=VantageFacts(name="inside", kind="agent"))
    found = checked(measurement(target="https://gone.example/a", category="NEWS", expect="Gone"), unknown)
    assert (found.vantage.country, found.vantage.asn, found.vantage.as_name) == ("CN", 1, "Lies")
    assert (found.site, found.category, found.expect) == ("gone.example", "NEWS", "Gone")
    assert checked(measurement(target="https://gone.example/a", category="<b>"), unknown).category == "MISC"


def test_a_phrase_is_taken(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        made = measurement(target="phrase:falun")
        answer = await running.hand_in([made], await running.token())
        assert answer.stored == (made.uid,)

    taken(tmp_path, use)


def test_a_batch_is_judged_stored_and_counted(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        made = [measurement(n, control=(reply(), reply(attempt=3, at=1.9))) for n in range(1, 6)]
        answer = await running.hand_in(made, await running.token())
        assert sorted(answer.stored) == [m.uid for m in made]
        assert answer.rejected == ()
        found = await running.store.measurement(made[0].uid)
        assert found is not None
        assert found[1].outcome == "ok"
        assert found[0].bodies == made[0].bodies
        assert found[0].certificates == made[0].certificates
        assert running.metric("wallwatch_measurements_total", vantage="inside", outcome="ok", technique="") == 5
        assert running.metric("wallwatch_vantage_last_contact_timestamp_seconds", vantage="inside") == NOW.timestamp()

    taken(tmp_path, use)


def test_events_are_counted_though_measurements_come_late(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        token = await running.token()
        good = [measurement(n, minutes=-600 + n, control=(reply(),)) for n in range(4)]
        bad = [
            measurement(100 + n, minutes=-500 + n, reset=True, control=(reply(), reply(attempt=3, at=4.9)))
            for n in range(4)
        ]
        await running.hand_in(bad, token)
        await running.hand_in(good[::-1], token)
        series = running.store.series_state(TARGETS[0], "inside")
        assert (await series).state == "blocked"  # type: ignore[union-attr]
        [event] = await running.store.events()
        assert (event.kind, event.after, event.before) == ("blocked", good[-1].time, bad[0].time)
        assert running.metric("wallwatch_events_total", vantage="inside", kind="blocked") == 1
        assert running.metric("wallwatch_target_blocked", target=TARGETS[0], vantage="inside") == 1

    taken(tmp_path, use)


def test_what_is_known_is_acknowledged_and_not_looked_at(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        token, made = await running.token(), measurement(control=(reply(),))
        await running.hand_in([made], token)
        before = await running.store.measurement(made.uid)
        lies = measurement(uid=made.uid, reset=True, control=(reply(),))
        other = msgspec.structs.replace(lies, vantage=facts(name="beside", kind="direct"), recorded="x")
        for again in (lies, other):
            answer = await running.hand_in([again, again], token)
            assert answer == protocol.Answer(stored=(made.uid,))
        status, document, _headers = await running.post(
            gzip.compress(b'{"uid": "%s", "nonsense": [' % made.uid.encode() + b"]}"), token
        )
        assert (status, document["stored"]) == (200, [made.uid])
        assert await running.store.measurement(made.uid) == before
        assert running.metric("wallwatch_measurements_total", vantage="inside", outcome="ok", technique="") == 1

    taken(tmp_path, use)


def test_the_same_uid_twice_in_a_batch_is_one_measurement(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        made = measurement(control=(reply(),))
        answer = await running.hand_in([made, measurement(reset=True), made], await running.token())
        assert answer.stored == (made.uid,)
        found = await running.store.measurement(made.uid)
        assert found is not None and found[1].outcome == "ok"  # the first counts

    taken(tmp_path, use)


def test_bad_lines_do_not_keep_good_ones_out(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        good, bad = measurement(1, control=(reply(),)), measurement(2, recorded="ooni")
        lines = [b"{", b'{"uid": 7}', msgspec.json.encode(bad), b'{"uid": "x"}', msgspec.json.encode(good)]
        status, document, _headers = await running.post(gzip.compress(b"\n".join(lines)), await running.token())
        assert (status, document["stored"]) == (200, [good.uid])
        assert [(r["line"], r["uid"], r["reason"].split(":")[0]) for r in sorted(document["rejected"], key=lambda r: r["line"])] == [
            (1, "", "schema"), (2, "", "schema"), (3, bad.uid, "value"), (4, "x", "schema"),
        ]  # fmt: skip
        assert (running.refusals("schema"), running.refusals("value")) == (3, 1)

    taken(tmp_path, use)


def test_a_line_of_another_vantage_refuses_the_whole_request(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        good, foreign = measurement(1), measurement(2, vantage="beside")
        status, document, _headers = await running.post(protocol.batch_of([good, foreign]), await running.token())
        assert (status, "vantage" in document["error"]) == (403, True)
        assert await running.store.known([good.uid, foreign.uid]) == set()
        assert running.refusals("foreign_vantage") == 1

    taken(tmp_path, use)


def test_a_kept_control_is_put_to_what_has_none(tmp_path: Path) -> None:
    async def use(running: Taking) -> None:
        made = measurement(1, minutes=-60, reset=True)
        await running.store.keep_control(TARGETS[0], KeptControl(made.time - timedelta(seconds=30), (reply(),)))
        await running.store.keep_control(TARGETS[0], KeptControl(made.time + timedelta(seconds=150), (reply(),)))
        late = measurement(2, minutes=-30, reset=True)
        answer = await running.hand_in([made, late], await running.token())
        assert sorted(answer.stored) == sorted([made.uid, late.uid])
        found, verdict = await stored(running, made)
        assert [(r.at, r.attempt) for r in found.control] == [(-30.0, 0), (150.0, 3)]
        assert found.control_configured
        assert (verdict.outcome, verdict.technique) == ("likely_blocked", "tls.reset")
        found, verdict = await stored(running, late)
        assert found.control == ()
        assert (verdict.outcome, verdict.cause) == ("insufficient", "no_control")

    taken(tmp_path, use)


async def stored(running: Taking, made: Measurement) -> tuple[Measurement, Any]:
    found = await running.store.measurement(made.uid)
    assert found is not None
    return found


def test_what_no_rule_can_judge_is_refused_and_the_rest_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.agent import intake
    from monitor.judge.analyze import analyze as real

    def analyze(made: Measurement, fingerprints: Any) -> Any:
        if len(made.operations) > 4:
            raise ZeroDivisionError
        return real(made, fingerprints)

    monkeypatch.setattr(intake, "analyze", analyze)

    async def use(running: Taking) -> None:
        good, odd = measurement(1, control=(reply(),)), measurement(2, reset=True)
        answer = await running.hand_in([odd, good], await running.token())
        assert answer.stored == (good.uid,)
        assert [(r.line, r.uid) for r in answer.rejected] == [(1, odd.uid)]
        assert running.refusals("judging") == 1

    taken(tmp_path, use)

"""Neutral listeners: one pair each, and a rest where a name failed."""

import asyncio
from datetime import timedelta

from monitor.collect.listeners import Listeners, lent
from monitor.collect.residual import Residual
from probes.clock import Clock
from probes.measurement import ControlReply, NeutralEndpoint

PLACES = [NeutralEndpoint("192.241.1.1", port) for port in (20000, 20001, 443, 80)]
QUIC = NeutralEndpoint("192.241.1.1", 20000, "quic")


def made(rest: float = 360.0) -> tuple[Listeners, Residual]:
    residual = Residual(Clock(), rest=timedelta(seconds=rest))
    return Listeners(residual), residual


def test_each_is_out_once_and_the_usual_port_goes_first() -> None:
    listeners, _residual = made()
    given = [listeners.take("a", PLACES, "tls") for _ in range(5)]
    assert given[0] == ("192.241.1.1", 443)
    assert {place for place in given if place} == {(n.address, n.port) for n in PLACES}
    assert given[4] is None
    assert listeners.take("b", PLACES, "http") == ("192.241.1.1", 80)  # another way out has its own


def test_where_a_name_failed_it_rests_for_the_same_measurement_too() -> None:
    async def run() -> None:
        listeners, residual = made()
        place = listeners.take("a", PLACES[:1], "tls")
        assert place is not None
        await listeners.done("a", place, False, uid="m")
        assert listeners.take("a", PLACES[:1], "tls") == place
        await listeners.done("a", place, True, uid="m")
        assert listeners.take("a", PLACES[:1], "tls") is None
        assert residual.refusal("a", *place, uid="other")

    asyncio.run(run())


def test_quic_is_another_protocol_and_loopback_is_never_given() -> None:
    listeners, _residual = made()
    assert listeners.take("a", PLACES, "quic") is None
    assert listeners.take("a", [QUIC], "quic") == ("192.241.1.1", 20000)
    assert listeners.take("a", [NeutralEndpoint("127.0.0.1", 443), NeutralEndpoint("0.0.0.0", 443)], "tls") is None


def test_each_listener_is_known_once() -> None:
    replies = [
        ControlReply(source="h", url="u", neutral=(PLACES[0], QUIC)),
        ControlReply(source="i", url="u", neutral=(QUIC,)),
    ]
    assert lent(replies) == (PLACES[0], QUIC)

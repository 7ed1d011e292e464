"""Scenarios of the lab about QUIC, about speed, and about where on the path the censor is."""

from monitor.judge.where import censor_hop
from probes.quic import QUICHandshake

from . import plan, rules
from .scenario import Played, Scenario

H3, BIG = "https://h3.example/", "https://big.example/"


def _one_handshake(played: Played) -> None:
    """A clean target costs at most one QUIC handshake more (acceptance 4)."""
    handshakes = [op for op in played.measurement.every_operation() if isinstance(op, QUICHandshake)]
    assert len(handshakes) == 1, handshakes
    assert handshakes[0].failure is None
    assert not played.measurement.experiments


def _none(played: Played) -> None:
    assert not any(isinstance(op, QUICHandshake) for op in played.measurement.every_operation())
    assert not played.measurement.experiments


def _noted(played: Played) -> None:
    assert any(test.quic is False for test in played.measurement.self_tests)
    innocuous = [t for e in played.measurement.experiments if e.kind == "quic" for t in e.tries if t.innocuous]
    assert innocuous
    assert all(t.failure for t in innocuous)


def _hop(trigger: str) -> object:
    """The censor is on the link behind the first router: what dies at the second has passed it."""

    def check(played: Played) -> None:
        found = [censor_hop(e) for e in played.measurement.experiments if e.kind == "path" and e.tries]
        assert found, trigger
        assert any(hop is not None and hop[0] == 2 for hop in found), (trigger, found)

    return check


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="HTTP/3 is offered, and works", row=18, url=H3, check=_one_handshake),
    Scenario(name="HTTP/3 is not offered", row=18, check=_none),
    Scenario(name="QUIC is dropped for the name", row=18, twin="HTTP/3 is offered, and works", url=H3,
             rules=(rules.quic_drop("h3.example"),), outcome="impaired", technique="quic.timeout.sni"),
    Scenario(name="QUIC and TLS are blocked for the name", row=18, twin="HTTP/3 is offered, and works", url=H3,
             rules=(rules.quic_drop("h3.example"), rules.sni_reset("h3.example")), outcome="blocked",
             technique="tls.reset.sni"),
    Scenario(name="UDP port 443 is dropped for every name", row=30, url=H3, rules=(rules.no_quic(),)),
    Scenario(name="all of UDP to servers is dropped", row=30, url=H3, check=_noted,
             rules=(rules.Rule(sees="address", does="drop", protocol="udp",
                               addresses=("93.184.216.6", plan.HELPERS["A"].address)),)),
    Scenario(name="throttled by name", row=19, twin="a line that is slow for everything", url=BIG,
             rules=(rules.throttle("big.example"),), timeout=5.0, outcome="impaired", technique="throttle.sni"),
    Scenario(name="a line that is slow for everything", row=19, url=BIG, slow_line="1mbit"),
    Scenario(name="a site that is slow for everybody", row=19, url="https://slow.example/"),
    Scenario(name="the hop of a reset", twin="a server that resets everybody", path=True,
             rules=(rules.sni_reset("site.example", kind="III"),), outcome="blocked", technique="tls.reset.sni",
             check=_hop("tls")),
    Scenario(name="the hop of a forged answer", twin="clean https", path=True, rules=(rules.gfw_dns("site.example"),),
             outcome="blocked", technique="dns.injection.other", check=_hop("dns")),
)  # fmt: skip

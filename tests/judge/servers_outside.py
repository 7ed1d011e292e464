"""Hand-built measurements from outside: what web and echo servers in a network answered, and a silent sink there."""

from typing import Any

import msgspec

from probes.experiment import AnyOperation, Attempt, Experiment
from probes.failure import RESET, TIMEOUT
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from . import build as b
from .outside import measured

How = str | dict[str, Any] | None
"""How a try ended: None as usual, a failure, or what is unusual of the answer (`leaf`, `valid`, `alert`, `body`, or a
field of the exchange); a failure beside them ends the exchange."""
ALWAYS: tuple[How, ...] = (RESET,) * 5
OWN_ANSWER: dict[str, Any] = {"status": 404, "title": "", "headers": (("Content-Type", "text/html"),)}
PORTS = {"sni": 443, "host": 80, "echo": 7}


def tried(number: int, how: How, *, kind: str, innocuous: bool, at: float) -> Attempt:
    """One contact with a server; two names take turns as the innocuous one."""
    where, name = f"203.0.113.{number}", b.OTHER_NAME if innocuous else b.NAME
    told = dict(how) if isinstance(how, dict) else {"failure": how} if how else {}
    alert, failure = told.pop("alert", None), told.pop("failure", None)
    leaf, valid = told.pop("leaf", f"leaf {number}"), told.pop("valid", False)
    place: dict[str, Any] = {"address": where, "port": PORTS[kind], "flow": 1}
    made: list[AnyOperation] = [TCPConnect(started=at, finished=at + 0.01, **place)]
    cut = bool(failure) and not told  # before anything was answered
    if kind == "sni":
        broken = alert or (failure if cut else None)
        made.append(
            TLSHandshake(started=at + 0.01, finished=at + 0.02, server_name=name, failure=broken,
                         received=7 if alert else 0, certificate_failure=None if valid else b.WRONG_NAME,
                         chain=() if broken else (leaf,), **place)
        )  # fmt: skip
    if not alert and not (kind == "sni" and cut):
        made.append(_exchange(number, name, {} if cut else told, failure, kind=kind, at=at + 0.02, place=place))
    return Attempt(sent=name, innocuous=innocuous, address=where, port=PORTS[kind], started=at, finished=at + 0.1,
                   failure=failure, operations=tuple(made))  # fmt: skip


def _exchange(number: int, name: str, told: dict[str, Any], failure: str | None, *, kind: str, at: float,
              place: dict[str, Any]) -> HTTPRoundTrip:  # fmt: skip
    got: dict[str, Any] = {"expected": not told} if kind == "echo" else dict(OWN_ANSWER)
    body = told.pop("body", f"nothing here, says {number}".encode())
    if not failure or told:
        got |= {"body_length": len(body), "body_sha256": b.sha256(body)}
    got |= told
    return HTTPRoundTrip(started=at, finished=at + 0.05, url=f"http://{name}/", failure=failure, **place, **got)


def server(number: int, *named: How, kind: str = "sni", between: tuple[How, ...] = (), after: tuple[How, ...] = (),
           left_out: str = "") -> Experiment:  # fmt: skip
    """Two control names, a try with the name for each of `named`, after all but the first a control name (as `between`
    says, else as usual), and those `after` the wait."""

    def one(how: How, at: float, *, innocuous: bool) -> Attempt:
        return tried(number, how, kind=kind, innocuous=innocuous, at=at)

    made = [one(None, 5.0, innocuous=True), one(None, 5.2, innocuous=True)]
    for count, how in enumerate(named):
        made.append(one(how, 6.0 + count, innocuous=False))
        if count:
            usual = between[count - 1] if count <= len(between) else None
            made.append(one(usual, 6.5 + count, innocuous=True))
    made += [one(how, 130.0 + count, innocuous=True) for count, how in enumerate(after)]
    return Experiment(kind=kind, place="remote", started=5.0, finished=131.0, tries=tuple(made), left_out=left_out)


def lasting(number: int, how: How = RESET, *, kind: str = "sni", after: How = None) -> Experiment:
    """A server that is cut off for a while once it was asked for the name."""
    return server(number, *[how] * 5, kind=kind, between=(how,) * 4, after=(after,))


def sink(failures: tuple[str | None, ...], *, innocuous: str | None = None, kind: str = "sni",
         left_out: str = "") -> Experiment:  # fmt: skip
    """Pairs of contacts with the sink: None is silence, which is what passes there."""

    def step(without: bool, failure: str | None, number: int) -> AnyOperation:
        name = b.OTHER_NAME if without else b.NAME
        where: dict[str, Any] = {"started": 5.0 + number, "finished": 6.0 + number, "address": b.LISTENER,
                                 "port": 20000 + number, "failure": failure or TIMEOUT}  # fmt: skip
        if kind == "host":
            return HTTPRoundTrip(url=f"http://{name}/", **where)
        return TLSHandshake(server_name=name, **where)

    made = b.pairs(kind, failures, innocuous=innocuous, place="sink", step=step)
    return msgspec.structs.replace(made, left_out=left_out)


def from_outside(*experiments: Experiment, **fields: Any) -> Measurement:
    """A measurement by servers, with the bodies of the block page and the wall where they were seen."""
    seen = {
        op.body_sha256 for e in experiments for t in e.tries for op in t.operations if isinstance(op, HTTPRoundTrip)
    }
    made = measured(*experiments, method="servers", **fields)
    bodies = {b.sha256(body): body for body in (b.BLOCK_BODY, b.WALL_BODY) if b.sha256(body) in seen}
    return msgspec.structs.replace(made, bodies=bodies)

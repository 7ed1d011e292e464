"""Hand-built measurements from outside: what resolvers in a network said, and silent addresses, and certificates."""

from collections.abc import Sequence
from typing import Any

import msgspec

from monitor.collect.vantage import BLIND
from probes.experiment import Attempt, Experiment
from probes.measurement import Measurement, VantageFacts
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from . import build as b

FACTS = VantageFacts(name="outside", kind="remote", country="CN", asn=4134, direction="outside-in")
GOOD_CONTROL = "198.51.100.7"
Answers = Sequence[str | int | tuple[str, ...]]


def query(where: str, *answers: str | int | tuple[str, ...], innocuous: bool = False, at: float = 5.0) -> Attempt:
    name = b.OTHER_NAME if innocuous else b.NAME
    lookup = b.dns(*answers, name=name, resolver="remote", at=at)
    return Attempt(sent=name, innocuous=innocuous, address=where, port=53, started=at, finished=at + 0.1,
                   failure=lookup.failure, operations=(lookup,))  # fmt: skip


def resolver(number: int, *tries: Answers, before: Answers = (GOOD_CONTROL,), after: Answers = (GOOD_CONTROL,),
             left_out: str = "") -> Experiment:  # fmt: skip
    """A control query, a try for each group of answers, and a control query."""
    where = f"203.0.113.{number}"
    made = [query(where, *before, innocuous=True)]
    made += [query(where, *answers, at=6.0 + n) for n, answers in enumerate(tries)]
    made.append(query(where, *after, innocuous=True, at=20.0))
    return Experiment(kind="resolver", place="remote", started=5.0, finished=21.0, tries=tuple(made), left_out=left_out)


def silent(number: int, *answers: str | int | tuple[str, ...], control: Answers = (), left_out: str = "") -> Experiment:
    """An address that should run no resolver: three queries of each name."""
    where = f"203.0.113.{number}"
    tries = [
        query(where, *(control if innocuous else answers), innocuous=innocuous)
        for _ in range(3) for innocuous in (True, False)
    ]  # fmt: skip
    return Experiment(kind="injection", place="remote", tries=tuple(tries), left_out=left_out)


def certificates(**shown: str | None) -> Experiment:
    """What was seen at `a93_184_215_14` and so on: None for a good one, else how it failed."""
    tries = []
    for word, failure in shown.items():
        address = word.removeprefix("a").replace("_", ".")
        where: dict[str, Any] = {"address": address, "port": 443, "flow": 1}
        made: list[Any] = [TCPConnect(started=9.0, finished=9.1, failure=None, **where)]
        if failure and not failure.startswith("ssl_"):
            made = [TCPConnect(started=9.0, finished=9.1, failure=failure, **where)]
        else:
            made.append(
                TLSHandshake(started=9.1, finished=9.2, server_name=b.NAME, certificate_failure=failure, **where)
            )
        tries.append(Attempt(sent=b.NAME, address=address, port=443, started=9.0, finished=9.2, failure=failure,
                             operations=tuple(made)))  # fmt: skip
    return Experiment(kind="certificate", place="remote", tries=tuple(tries))


OURS_ONLY = certificates(a93_184_215_14=None)
STRANGERS = certificates(a93_184_215_14=None, a31_13_94_37=b.WRONG_NAME)
UNREACHABLE = certificates(a93_184_215_14=None, a31_13_94_37="generic_timeout_error")


def measured(*experiments: Experiment, method: str = "resolvers", **fields: Any) -> Measurement:
    """A measurement without operations."""
    made = b.measure(experiments=experiments, **fields)
    facts = msgspec.structs.replace(FACTS, method=method, blind=tuple(sorted(BLIND[method])))
    return msgspec.structs.replace(made, vantage=facts)

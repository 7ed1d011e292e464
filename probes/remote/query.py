"""One DNS query of a remote method, as a try of its own; further answers to it are heard too."""

import asyncio
from collections.abc import Sequence

from probes import dns
from probes.experiment import Attempt
from probes.trace import Trace

from .setting import RemoteSetting, Spot


async def ask(
    trace: Trace, setting: RemoteSetting, spot: Spot, sent: str, *, innocuous: bool, types: Sequence[str] = ("A",)
) -> Attempt:
    """Ask for a name, one packet a type; failed: no answer came, or the answer to the first type says so."""
    branch = trace.branch()

    async def once(query_type: str) -> dns.DNSLookup:
        await setting.turn(spot.address)
        return await dns.lookup(branch, sent, query_type, resolver="remote", server=(spot.address, spot.port))

    async with asyncio.TaskGroup() as group:
        lookups = [group.create_task(once(query_type)) for query_type in types]
    await branch.settle()
    made = [task.result() for task in lookups]
    return Attempt(
        sent=sent, innocuous=innocuous, address=spot.address, port=spot.port,
        started=min(op.started for op in made), finished=branch.now(), failure=made[0].failure,
        operations=tuple(branch.operations),  # type: ignore[arg-type]
    )  # fmt: skip


def responses(attempt: Attempt) -> list[dns.Response]:
    """All answers that came in a try."""
    return [r for op in attempt.operations if isinstance(op, dns.DNSLookup) for r in op.responses]


def addresses(attempt: Attempt) -> tuple[str, ...]:
    """All IPv4 and IPv6 addresses in all answers of a try."""
    return tuple(dict.fromkeys(a for r in responses(attempt) for a in r.addresses()))

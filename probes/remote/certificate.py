"""Is an address the site's? One TLS handshake from here, under its name, at port 443; what it shows is kept.

"Certificate before address" (CERTainty, PoPETs 2023): who compares addresses alone calls every CDN a censor.
"""

import asyncio
from collections.abc import Iterable

from probes import tcp, tls
from probes.address import is_bogon
from probes.experiment import Attempt, Experiment
from probes.failure import NOT_TRIED_BOGON
from probes.tls import TLSHandshake
from probes.trace import Trace

from .setting import RemoteSetting

PORT = 443
MOST = 4  # addresses of one name that are looked at


class Certificates:
    """What has been looked at in one measurement: each name at each address once."""

    def __init__(self, trace: Trace, setting: RemoteSetting) -> None:
        self._trace, self._setting = trace, setting
        self._started = trace.now()
        self._seen: dict[tuple[str, str], asyncio.Task[Attempt]] = {}

    async def valid(self, name: str, addresses: Iterable[str], *, innocuous: bool = False) -> bool:
        """Whether one of the addresses shows a certificate that is good for the name; at most `MOST` are looked at."""
        async with asyncio.TaskGroup() as group:
            for address in addresses:
                room = sum(known == name for known, _address in self._seen) < MOST
                if (name, address) not in self._seen and not is_bogon(address) and room:
                    task = group.create_task(self._look(name, address, innocuous))
                    self._seen[name, address] = task
        looks = [self._seen.get((name, a)) for a in addresses]
        return any([(await task).failure is None for task in looks if task is not None])

    def experiment(self) -> Experiment | None:
        """All of it as a record; None where nothing was looked at."""
        made = sorted((task.result() for task in self._seen.values()), key=lambda t: t.started)
        if not made:
            return None
        finished = max(t.finished for t in made)
        return Experiment(
            kind="certificate", place="remote", started=self._started, finished=finished, tries=tuple(made)
        )

    async def _look(self, name: str, address: str, innocuous: bool) -> Attempt:
        branch = self._trace.branch()
        async with self._setting.gate(address):
            await self._setting.turn(address)
            started = branch.now()
            failure = await _handshake(branch, self._setting, name, address)
        return Attempt(
            sent=name, innocuous=innocuous, address=address, port=PORT, started=started, finished=branch.now(),
            failure=failure, operations=tuple(branch.operations),  # type: ignore[arg-type]
        )  # fmt: skip


async def _handshake(trace: Trace, setting: RemoteSetting, name: str, address: str) -> str | None:
    """None: the certificate is good for the name."""
    refuse = setting.refusal(address, PORT) or (NOT_TRIED_BOGON if is_bogon(address) else "")
    stream = await tcp.connect(trace, address, PORT, refuse=refuse)
    if stream is None:
        return trace.operations[-1].failure
    secured = await tls.handshake(trace, stream, name, authorities=setting.authorities)
    if secured is not None:
        secured.close()
    step = trace.operations[-1]
    assert isinstance(step, TLSHandshake)
    return step.failure or step.certificate_failure

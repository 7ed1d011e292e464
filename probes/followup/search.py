"""What a platform's own search gives for a phrase, and for one that nobody objects to: which notices are in its pages.

Only a page that came over TLS, good for its name at every step, is the platform's own word.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

import msgspec

from probes import failure as failures
from probes.certificate import Authorities
from probes.dns import DNSLookup
from probes.experiment import Attempt, Experiment
from probes.http import HTTPRoundTrip
from probes.resolvers import Resolvers
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.trace import Operation, Trace
from probes.url import URL
from probes.web import Plan, open_page

ENOUGH, MOST = 2, 3  # pages of each phrase that settle it, and tries of each at most
PAUSE = 1.0  # seconds between two requests to a platform, at least
PATIENCE = 20.0  # seconds for one page with its redirects
NO_RESULT_PAGE = "no_result_page"  # a page came, but none that shows results: a bot wall, a login, a new layout
NOT_TRIED_ELSEWHERE = "not_tried: other port"  # the phrase must not go out in clear because a redirect says so
LEFT_OUT_TIME, LEFT_OUT_NEUTRAL = "no time left", "no page comes for the neutral phrase"
LEFT_OUT_ABSENT = "not found in the control country"
_ELSEWHERE = "elsewhere:"
_LAYERS = (HTTPRoundTrip, TLSHandshake, TCPConnect, DNSLookup)


class Platform(Protocol):
    """A search page or a shop's look-up, as `blocklists.searches.Search` knows it."""

    @property
    def name(self) -> str:
        """How the operator calls it."""

    @property
    def neutral(self) -> str:
        """A phrase that surely has results."""

    def takes(self, phrase: str) -> bool:
        """Whether it is asked for such a phrase at all."""

    def page(self, phrase: str) -> URL:
        """Where it is asked. Raises ValueError."""

    def control(self, phrase: str) -> URL | None:
        """Where the same must be found first; None: nowhere. Raises ValueError."""

    def matched(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[str, ...]:
        """Which of its patterns are in a page: `present`, `notice:N`."""


class Withheld(msgspec.Struct, frozen=True):
    """The pages of an experiment, counted: those for the phrase, those for the neutral one, and the notices in them."""

    notices: int = 0
    pages: int = 0
    neutral_notices: int = 0
    neutral_pages: int = 0

    @property
    def differs(self) -> bool:
        """A notice in at least 2 pages for the phrase, in none of as many for the neutral one."""
        return self.notices >= ENOUGH and not self.neutral_notices and self.neutral_pages >= self.notices


def withheld(experiment: Experiment) -> Withheld:
    """The count of an experiment; all zero where it, or its rest, was left out.

    In a shop no try for the phrase is made before it was found in the control country.
    """
    if experiment.kind != "search" or experiment.left_out:
        return Withheld()
    pages = [t for t in experiment.tries if t.failure is None and "present" in t.matched]
    asked, neutral = ([t for t in pages if t.innocuous is innocuous] for innocuous in (False, True))
    return Withheld(sum(map(_has_notice, asked)), len(asked), sum(map(_has_notice, neutral)), len(neutral))


async def search(
    trace: Trace,
    searches: Sequence[Platform],
    phrase: str,
    *,
    resolvers: Resolvers,
    authorities: Authorities,
    deadline: float,
    pause: float = PAUSE,
    gate: Callable[[str], AbstractAsyncContextManager[None]] = lambda _address: nullcontext(),
) -> list[Experiment]:
    """Ask one platform after the other. No page is asked for later than `deadline` (seconds of the measurement)."""

    def plan(url: URL) -> Plan:
        return Plan(
            resolvers=resolvers, authorities=authorities, gate=gate,
            refuse=lambda _address, port: "" if port == url.port else NOT_TRIED_ELSEWHERE,
        )  # fmt: skip

    pause, found = max(pause, PAUSE), list[Experiment]()
    for platform in searches:
        if platform.takes(phrase):
            await trace.clock.sleep(pause if found else 0)  # two names may stand for one platform
            found.append(await _Visit(trace, platform, plan, deadline, pause).run(phrase))
    return found


class _Visit:
    """One platform: the pages asked for, in their order."""

    def __init__(
        self, trace: Trace, platform: Platform, plan: Callable[[URL], Plan], deadline: float, pause: float
    ) -> None:
        self._trace, self._platform, self._plan, self._deadline, self._pause = trace, platform, plan, deadline, pause
        self._tries: list[Attempt] = []

    async def run(self, phrase: str) -> Experiment:
        started = self._trace.now()
        left_out = await self._ask(phrase)
        return Experiment(
            kind="search", place=f"platform:{self._platform.name}", started=started, finished=self._trace.now(),
            tries=tuple(self._tries), left_out=left_out,
        )  # fmt: skip

    async def _ask(self, phrase: str) -> str:
        """Everything in its order; why the rest was left out, or the empty string."""
        try:
            usual, asked, control = (
                self._platform.page(self._platform.neutral), self._platform.page(phrase), self._platform.control(phrase)
            )  # fmt: skip
        except ValueError as error:
            return str(error)
        if control is not None and (left_out := await self._find(control)):
            return left_out
        for _ in range(MOST):
            neutral = await self._open(usual, innocuous=True)
            if neutral is None:
                return LEFT_OUT_TIME
            if neutral.failure:  # the phrase is not sent where nothing could be compared with it
                continue
            if await self._open(asked) is None:
                return LEFT_OUT_TIME
            if self._settled():
                break
        return "" if any(t.innocuous and t.failure is None for t in self._tries) else LEFT_OUT_NEUTRAL

    async def _find(self, control: URL) -> str:
        """Look for the thing in the control country; empty: it is there."""
        for _ in range(ENOUGH):
            there = await self._open(control, role=_ELSEWHERE)
            if there is None:
                return LEFT_OUT_TIME
            if there.failure is None:
                return LEFT_OUT_ABSENT if _has_notice(there) else ""
        return LEFT_OUT_ABSENT

    def _settled(self) -> bool:
        """Enough pages of both, and they agree; or the neutral phrase has a notice too, so that none means anything."""
        count = withheld(Experiment(kind="search", place="", tries=tuple(self._tries)))
        enough = min(count.pages, count.neutral_pages) >= ENOUGH and count.notices in (0, count.pages)
        return enough or count.neutral_notices > 0

    async def _open(self, url: URL, *, innocuous: bool = False, role: str = "") -> Attempt | None:
        """One page, after a pause; None where there is no time for it."""
        if self._tries:
            await self._trace.clock.sleep(self._tries[-1].finished + self._pause - self._trace.now())
        left = self._deadline - self._trace.now()
        if left <= 0:
            return None
        branch, late = self._trace.branch(), False
        branch.bodies = {}  # only a page with a notice is worth keeping
        started = branch.now()
        try:
            async with asyncio.timeout(min(left, PATIENCE)):
                await open_page(branch, url, self._plan(url))
        except TimeoutError:
            late = True
        finished = branch.now()
        await branch.settle()
        self._tries.append(self._record(branch, url, started, finished, late=late, innocuous=innocuous, role=role))
        return self._tries[-1]

    def _record(
        self, branch: Trace, url: URL, started: float, finished: float, *, late: bool, innocuous: bool, role: str
    ) -> Attempt:
        page, matched = _own_page(branch.operations), tuple[str, ...]()
        failure: str | None = failures.TIMEOUT if late else _failure(branch.operations)
        if page is not None:
            matched = self._platform.matched(page.headers, branch.bodies.get(page.body_sha256, b""))
            failure = None if "present" in matched else NO_RESULT_PAGE
            if len(matched) > 1:
                self._trace.bodies |= branch.bodies
        return Attempt(
            sent=str(url), innocuous=innocuous, started=started, finished=finished, failure=failure,
            address=page.address if page else "", port=page.port if page else 0,
            matched=tuple(role + name for name in matched),
            operations=tuple(branch.operations),  # type: ignore[arg-type]
        )  # fmt: skip


def _has_notice(attempt: Attempt) -> bool:
    return any(name.removeprefix(_ELSEWHERE).startswith("notice:") for name in attempt.matched)


def _own_page(operations: Sequence[Operation]) -> HTTPRoundTrip | None:
    """The page at the end of the redirects, if every step to it came over a connection that was the platform's own."""
    valid = {op.flow for op in operations if isinstance(op, TLSHandshake) and op.valid}
    pages = [op for op in operations if isinstance(op, HTTPRoundTrip)]
    if not pages or any(op.flow not in valid or op.failure for op in pages):
        return None
    last = max(pages, key=lambda op: op.hop)
    return last if last.status and not last.location and last.hop == max(op.hop for op in operations) else None


def _failure(operations: Sequence[Operation]) -> str:
    """How the last step failed that was reached; a certificate that is not the platform's comes before all else."""
    for op in operations:
        if isinstance(op, TLSHandshake) and op.certificate_failure:
            return op.certificate_failure
    last = max((op.hop for op in operations), default=0)
    for layer in _LAYERS:
        for op in operations:
            if isinstance(op, layer) and op.hop == last and op.failure:
                return op.failure
    return NO_RESULT_PAGE

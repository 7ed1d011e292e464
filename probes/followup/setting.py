"""What an experiment works with."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import msgspec

from probes.certificate import Authorities

Endpoint = tuple[str, int]  # address, port
PAIRS, ENOUGH = 6, 3  # the contract: at most 6 tries; after 3 pairs without a doubt nobody is bothered further
SPACING = 0.2  # seconds between the beginnings of two tries: at most 5 a second at one place, as Crandall et al. 2015


def _anywhere(_address: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def _nobody_to_tell(_endpoint: Endpoint, _failed: bool) -> None:
    return None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment's means.

    `take()` gives a fresh (address, port) for a pair, None where there is none left; `done(endpoint, failed)` is
    awaited after the pair, `failed` says that the name failed there, so that the endpoint rests. `sent` and
    `innocuous` are the two names. No try begins later than `until` (seconds of the measurement).
    """

    place: str
    take: Callable[[], Endpoint | None]
    sent: str
    innocuous: str
    until: float
    authorities: Authorities
    done: Callable[[Endpoint, bool], Awaitable[None]] = _nobody_to_tell
    gate: Callable[[str], AbstractAsyncContextManager[None]] = _anywhere
    pairs: int = PAIRS
    enough: int = ENOUGH

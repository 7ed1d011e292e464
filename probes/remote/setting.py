"""What a remote method works with: whom it contacts, with what, how often, until when.

A method is `async def method(trace: Trace, setting: RemoteSetting) -> list[Experiment]`, place `remote` (or `sink`).
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

import msgspec

from probes.certificate import Authorities

SPACING = 0.2  # seconds between two packets to one address, over all measurements: at most 5 a second


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a remote method contacts. `protocol`: `dns`, `http`, `https` or `echo`."""

    address: str
    port: int
    protocol: str


def _anywhere(_address: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def _at_once(_address: str) -> None:
    return None


def _never(_address: str, _port: int) -> str:
    return ""


async def _nobody_to_tell(_address: str, _port: int) -> None:
    return None


def _forget(_spot: Spot, _why: str) -> None:
    return None


def _keep_it() -> None:
    return None


async def _have_it() -> None:
    return None


class RemoteSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement's means.

    `places` are in the order in which they shall be contacted, those that lately proved unfit left out; a method stops
    as soon as it has enough of them. `name` is the host in question, `url` the target's URL, `phrase` its words; what
    does not apply is empty. `innocuous` are control names of other sites, at least one.
    `known`: name -> addresses that the control gives for it, for `name` and for innocuous ones.

    `await turn(address)` before each packet (or connection) to it keeps the rate over all measurements; `gate(address)`
    bounds how many contact it at once. `refusal(address, port)` says why it rests (a censor may still be reacting to us
    there), else nothing; `await rest(address, port)` after a name failed there. `unfit(spot, why)`: it is no good, and
    is not contacted again for an hour. No try begins later than `until` (seconds of the measurement).
    `leave()` gives the measurement's place on the network to others while it only waits, `await back()` takes it again;
    both may be called more often than needed.
    """

    places: tuple[Spot, ...]
    name: str
    innocuous: tuple[str, ...]
    until: float
    authorities: Authorities
    url: str = ""
    phrase: str = ""
    contact: str = ""
    known: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)
    gate: Callable[[str], AbstractAsyncContextManager[None]] = _anywhere
    turn: Callable[[str], Awaitable[None]] = _at_once
    refusal: Callable[[str, int], str] = _never
    rest: Callable[[str, int], Awaitable[None]] = _nobody_to_tell
    unfit: Callable[[Spot, str], None] = _forget
    leave: Callable[[], None] = _keep_it
    back: Callable[[], Awaitable[None]] = _have_it

"""`agent`: a vantage on another machine, which measures on its own and hands in when it can."""

import argparse
import asyncio
import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from monitor.agent.agent import Agent
from monitor.agent.assigned import base_of
from monitor.agent.client import Client
from monitor.agent.metrics_port import metrics_port
from monitor.agent.spool import Spool
from monitor.engine import Setup
from monitor.garbage import look_seldom
from monitor.store import StoreError
from monitor.values import host_port

from .inputs import BadInput, config_of
from .serving import stop_on_signal, until_given_up

log = logging.getLogger("wallwatch")
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{16,256}")  # RFC 6750, b64token
_MAX_FILE = 4096  # bytes of a token's file


def agent(arguments: argparse.Namespace) -> int:
    """Measure and hand in until a signal: SIGTERM and SIGINT drain, a second one gives up. The exit code."""
    base = base_of(config_of(arguments))
    token = token_of(base.config.agent.token_file or Path())
    try:
        listen = host_port(arguments.listen) if arguments.listen else None
    except ValueError as error:
        raise BadInput(f"--listen: {error}") from None
    look_seldom()
    return asyncio.run(run_agent(base, token, listen=listen))


def token_of(path: Path) -> str:
    """The token in a file; others who may read it are a warning. Raises BadInput."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE).decode("ascii", "replace").strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise BadInput(f"agent.token_file: {path}: {error.strerror}") from None
    if not text:
        raise BadInput(f"agent.token_file: {path}: is empty")
    if not _TOKEN.fullmatch(text):
        raise BadInput(f"agent.token_file: {path}: must hold the token that `enrol` printed, and nothing else")
    if mode & 0o077 and not _is_credential(path):
        log.warning("%s can be read by others on this machine; `chmod 600` it", path)
    return text


def _is_credential(path: Path) -> bool:
    """Whether systemd handed it over: its ACL for the unit's user looks like a group's right."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.resolve().is_relative_to(Path(folder or "").resolve())


async def run_agent(base: Setup, token: str, *, listen: tuple[str, int] | None = None) -> int:
    """Run an agent over its own setup; the exit code."""
    settings = base.config.agent

    async def work(give_up: Callable[[int], None]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            spool = await stack.enter_async_context(_open(settings.spool, settings.spool_bytes))
            client = await stack.enter_async_context(
                Client(
                    settings.service, token, context=base.authorities.context(), clock=base.clock, proxy=settings.proxy
                )
            )
            made = await stack.enter_async_context(Agent(base, spool=spool, client=client))
            stop_on_signal(made.stop, again=give_up)
            if listen is not None:
                await _serve(stack, made, listen)
            print(f"wallwatch: agent for {settings.service}, {spool.count} measurements wait", file=sys.stderr)
            await made.run()

    return await until_given_up(work, lost="what was under way is lost, what is in the spool is not")


def _open(path: Path, limit: int) -> Spool:
    try:
        return Spool(path, limit=limit)
    except StoreError as error:
        raise BadInput(str(error)) from None


async def _serve(stack: contextlib.AsyncExitStack, made: Agent, listen: tuple[str, int]) -> None:
    try:
        port = await stack.enter_async_context(metrics_port(made.metrics, listen))
    except OSError as error:
        raise BadInput(f"--listen: {listen[0]}:{listen[1]}: {error.strerror or error}") from None
    print(f"wallwatch: metrics on http://{listen[0]}:{port}/metrics", file=sys.stderr)

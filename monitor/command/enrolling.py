"""`enrol` and `revoke`: who may hand measurements in; both work while the service runs."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from monitor.agent.tokens import hash_of, new_token
from monitor.store import Store, StoreError

from .inputs import BadInput, config_of


def enrol(arguments: argparse.Namespace) -> int:
    """Make a token for an agent and print it; only its hash is kept."""
    config, name = config_of(arguments), arguments.name
    agents = [v.name for v in config.vantages if v.kind == "agent"]
    if name not in agents:
        known = f"agents are: {', '.join(agents)}" if agents else "it has no vantage of kind agent"
        raise BadInput(f"{config.path}: no vantage of kind agent is called {name!r}; {known}")
    token = new_token()
    replaced = asyncio.run(_enrol(config.database, name, hash_of(token)))
    if replaced:
        print(f"wallwatch: {name}: the token before this one is revoked", file=sys.stderr)
    print(f"wallwatch: {name}: put this token into the agent's token file; it is shown once", file=sys.stderr)
    print(token)
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    """Revoke an agent's token; also that of a vantage that the configuration no longer has."""
    config, name = config_of(arguments), arguments.name
    if not asyncio.run(_revoke(config.database, name)):
        raise BadInput(f"{config.database}: there is no token of {name!r} to revoke")
    print(f"wallwatch: {name}: its token is revoked", file=sys.stderr)
    return 0


def _open(path: Path) -> Store:
    try:
        return Store.open(path, shared=True)
    except StoreError as error:
        raise BadInput(str(error)) from None


async def _enrol(path: Path, name: str, sha256: str) -> bool:
    async with _open(path) as store:
        try:
            return await store.enrol(name, sha256, datetime.now(UTC))
        except StoreError as error:
            raise BadInput(str(error)) from None


async def _revoke(path: Path, name: str) -> bool:
    async with _open(path) as store:
        try:
            return await store.revoke(name, datetime.now(UTC))
        except StoreError as error:
            raise BadInput(str(error)) from None

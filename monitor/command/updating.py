"""`lists`: are lists sound (`check`), and are there newer ones (`update`)?"""

import argparse
import asyncio
from pathlib import Path

import aiohttp

from blocklists import ListError, check
from blocklists.fingerprints import HEADER as FINGERPRINTS
from blocklists.targets import HEADER as TARGETS
from blocklists.update import Change, compare, remembered, replace
from monitor.config import Config, ConfigError
from monitor.publish.text import printable
from probes.certificate import Authorities

from .downloading import DownloadError, download
from .inputs import BadInput, config_of
from .serving import progress_bar

_TOLD = 3  # faults of a refused list that are named


def lists(arguments: argparse.Namespace) -> int:
    """Check or download lists; exit 2 where any has a fault."""
    if arguments.action == "update":
        if arguments.files:
            raise BadInput("lists update takes no files: it downloads what [lists] in the configuration names")
        return _update(config_of(arguments))
    if not arguments.files:
        raise BadInput("lists check: which files?")
    faults = [fault for path in arguments.files for fault in check(path)]
    if faults:
        raise BadInput("\n".join(str(fault) for fault in faults))
    print(f"{len(arguments.files)} lists without fault")
    return 0


def _update(config: Config) -> int:
    if not config.lists:
        raise BadInput(f'{config.path}: lists: names no list; write "FILE" = "https://…" under [lists]')
    try:
        authorities = Authorities(config.ca_file)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{config.path}: probe.ca_file: {config.ca_file}: {error}"]) from None
    faults = asyncio.run(_all(config, authorities))
    if faults:
        raise BadInput("\n".join(faults))
    return 0


async def _all(config: Config, authorities: Authorities) -> list[str]:
    """Update one list after the other; what was wrong, the old list being kept."""
    faults: list[str] = []
    connector = aiohttp.TCPConnector(ssl=authorities.context())
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=config.timeout, sock_read=3 * config.timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as client:
        for number, (path, url) in enumerate(config.lists):
            progress_bar(number, len(config.lists))
            try:
                print(f"{path}: {await _one(client, path, url, kind=_kind(config, path))}", flush=True)
            except DownloadError as error:
                faults.append(f"{path}: {url} {error}; the old list is kept")
            except ListError as error:
                faults.append(f"{path}: {url} is refused, the old list is kept: {_refusal(error)}")
            except OSError as error:
                faults.append(f"{path}: cannot be written: {error.strerror or error}")
        progress_bar(len(config.lists), len(config.lists))
    return faults


async def _one(client: aiohttp.ClientSession, path: Path, url: str, *, kind: str | None) -> str:
    """Update a list; what became of it, in words."""
    found = await download(client, url, known=remembered(path, url))
    if found.data is None:
        return "unchanged"
    change = compare(path, found.data, kind)
    replace(path, found.data, found.version)
    return "unchanged" if change.same else _told(change)


def _kind(config: Config, path: Path) -> str | None:
    """The header that a list must have for the use that the configuration makes of it."""
    if path in config.fingerprints:
        return FINGERPRINTS
    return TARGETS if path in (*config.targets, config.control_open) else None


def _told(change: Change) -> str:
    text = f"updated, {change.before} → {change.after} rows, {change.added} added, {change.removed} removed"
    if change.skipped:
        first = change.skipped[0]
        text += (
            f"; {len(change.skipped)} unusable rows left out, the first: line {first.line}: {printable(first.reason)}"
        )
    return text


def _refusal(error: ListError) -> str:
    """The first faults of what came, and how many more there are."""
    told = [f"line {fault.line}: {printable(fault.reason)}" for fault in error.faults[:_TOLD]]
    more = len(error.faults) - _TOLD
    return "; ".join(told) + (f" (and {more} more faults)" if more > 0 else "")

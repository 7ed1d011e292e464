"""`run` and `helper`: what stays until it is told to end."""

import argparse
import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from monitor.collect.helper import Helper
from monitor.collect.sink import Sink
from monitor.collect.work import Result
from monitor.config import Config, ConfigError, load, parse_document
from monitor.garbage import look_seldom
from monitor.service import Service, Setup, setup
from monitor.store import Store, StoreError
from monitor.values import host_port, listeners
from probes.certificate import Authorities
from probes.network import DirectNetwork
from probes.resolvers import parse_resolvers

from .inputs import BadInput, config_of

_TURN = 0.001  # seconds for which a thread that computes may keep the event loop waiting each time (Python: 0.005)
_AGAIN = 1.0  # seconds after which a second request to end is one


def run(arguments: argparse.Namespace) -> int:
    """The service, or with `--once` one round and a summary."""
    made = setup(config_of(arguments))
    look_seldom()
    sys.setswitchinterval(_TURN)
    if arguments.once:
        asyncio.run(_once(made))
        return 0
    return asyncio.run(serve(made, lambda: setup(config_of(arguments))))


def _open(made: Setup) -> Store:
    try:
        return Store.open(made.config.database, simulated=made.simulated)
    except StoreError as error:
        raise BadInput(str(error)) from None


def _say_control(made: Setup) -> None:
    if not made.config.helpers and not made.config.control_vantage:
        print("wallwatch: no control is configured: unexplained failures are insufficient", file=sys.stderr)


async def _once(made: Setup) -> None:
    _say_control(made)
    async with _open(made) as store, Service(made, store=store) as service:
        results = await service.once(progress_bar)
    print(summary(results))


def progress_bar(done: int, total: int) -> None:
    """Show how far long work has come, on a terminal only."""
    if sys.stderr.isatty():
        filled = 40 * done // max(1, total)
        end = "\n" if done == total else ""
        print(f"\r[{'#' * filled}{'.' * (40 - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)


def summary(results: list[Result]) -> str:
    """A table of what one round found, and the count of outcomes."""
    lines = []
    for result in sorted(results, key=lambda r: (r.measurement.vantage.name, r.measurement.target)):
        measurement, verdict = result.measurement, result.verdict
        what = f"{verdict.outcome} {verdict.technique or verdict.cause or ''}".strip()
        lines.append(f"{measurement.vantage.name:<12} {measurement.target:<44} {what}")
        if verdict.outcome not in ("ok",):
            lines.append(f"{'':<12} {verdict.reason}")
    counts = Counter(result.verdict.outcome for result in results)
    lines.append(", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or "nothing to measure")
    return "\n".join(lines)


async def serve(made: Setup, read_again: Callable[[], Setup]) -> int:
    """Serve until a signal: SIGHUP reloads, SIGTERM and SIGINT drain, a second one gives up. The exit code."""
    _say_control(made)

    async def work(give_up: Callable[[int], None]) -> None:
        async with _open(made) as store:
            service = Service(made, store=store, read_again=read_again)
            stop_on_signal(service.stop, again=give_up, hang_up=service.reload)
            async with service:
                await _run(service)

    return await until_given_up(work, lost="what was under way is lost")


async def until_given_up(work: Callable[[Callable[[int], None]], Awaitable[None]], *, lost: str) -> int:
    """Do some work, which gets what to call with the number of the signal that ends it at once; the exit code. `lost`:
    what is said then."""
    given_up: list[int] = []
    main = asyncio.current_task()
    assert main is not None

    def give_up(number: int) -> None:
        given_up.append(number)
        main.cancel()

    try:
        await work(give_up)
    except asyncio.CancelledError:
        if not given_up:
            raise
        print(f"wallwatch: ended at once; {lost}", file=sys.stderr)
        return 128 + given_up[0]
    return 0


async def _run(service: Service) -> None:
    config = service.engine.config
    host, port = config.listen
    try:
        await service.serve()
    except OSError as error:
        raise BadInput(f"{config.path}: service.listen: {host}:{port}: {error.strerror or error}") from None
    scheme = "https" if config.certificate else "http"
    print(f"wallwatch: serving on {scheme}://{host}:{service.port}/", file=sys.stderr)
    await service.run()


def stop_on_signal(
    stop: Callable[[], None], *, again: Callable[[int], None] | None = None, hang_up: Callable[[], None] | None = None
) -> None:
    """Call `stop` when the process is asked to end, `again` when it is asked once more, `hang_up` on SIGHUP.

    A second request counts from a second after the first on: who signals a process and its group sends two. SIGHUP
    without `hang_up` is ignored.
    """
    loop = asyncio.get_running_loop()
    first: list[float] = []

    def end(number: int) -> None:
        if again is not None and first and loop.time() - first[0] >= _AGAIN:
            again(number)
        first.append(loop.time())
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, hang_up or (lambda: None))


def helper(arguments: argparse.Namespace) -> int:
    """The control test helper; works without a configuration file."""
    path = arguments.config or Path("config.toml")
    config = load(path) if arguments.config or path.exists() else parse_document({}, path)
    try:
        listen = host_port(arguments.listen) if arguments.listen else config.helper_listen
        neutral = list(listeners(arguments.neutral)) or list(config.helper_neutral)
        sink = list(listeners(arguments.sink)) or list(config.helper_sink)
    except ValueError as error:
        raise BadInput(f"wallwatch helper: {error}") from None
    asyncio.run(_help(config, listen, neutral, sink))
    return 0


async def _help(
    config: Config, listen: tuple[str, int], neutral: list[tuple[str, int]], sinks: list[tuple[str, int]]
) -> None:
    try:
        authorities = Authorities(config.ca_file)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{config.path}: probe.ca_file: {config.ca_file}: {error}"]) from None
    look_seldom()
    server = Helper(
        DirectNetwork(), authorities, resolvers=parse_resolvers(["system"]), public=config.helper_public,
        silent=config.helper_silent,
    )  # fmt: skip
    try:
        await server.start(listen, neutral)
    except OSError as error:
        raise BadInput(f"helper.listen: {listen[0]}:{listen[1]}: {error.strerror or error}") from None
    sink = Sink()
    try:
        sink.open(sinks)
    except OSError as error:
        await server.stop()
        raise BadInput(f"helper.sink: {error.strerror or error}") from None
    ended = asyncio.Event()
    stop_on_signal(ended.set)
    print(f"wallwatch: helper on http://{listen[0]}:{server.port}/", file=sys.stderr)
    async with asyncio.TaskGroup() as group:
        silent = group.create_task(sink.serve())
        await ended.wait()
        silent.cancel()
    await server.stop()

"""The command `wallwatch`: reads the arguments, calls the command, turns faults into one line each.

Exit 0: done, whatever the verdict. 2: bad usage, configuration or input. 1: the program failed.
Results go to standard output, everything else to standard error.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor import __version__, command
from monitor.config import ConfigError

_ABOUT = "Watches Internet censorship and proves what it says."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("wallwatch").setLevel(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # missed jobs are counted, see the metrics
    try:
        return int(arguments.run(arguments) or 0)
    except (ConfigError, command.BadInput) as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            print(f"wallwatch: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wallwatch", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"wallwatch {__version__}")
    parser.add_argument("--config", type=Path, default=None, metavar="FILE", help="default: config.toml")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, about, run, arguments in _COMMANDS:
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="default: config.toml")
        for flags, options in arguments:
            sub.add_argument(*flags, **options)
        sub.set_defaults(run=run)
    return parser


_Argument = tuple[tuple[str, ...], dict[str, Any]]
_COMMANDS: tuple[tuple[str, str, object, tuple[_Argument, ...]], ...] = (
    ("run", "the service: schedules probes, stores, serves pages, API and /metrics", command.run,
     ((("--once",), {"action": "store_true", "help": "one round of everything, then a summary"}),)),
    ("measure", "measures now and prints", command.measure,
     ((("urls",), {"nargs": "+", "metavar": "URL"}),
      (("--vantage",), {"action": "append", "default": [], "metavar": "NAME", "help": "repeatable; default: all"}),
      (("--format",), {"choices": ("text", "json"), "default": "text"}))),
    ("analyze", "judges recorded measurements without any network", command.analyze,
     ((("files",), {"nargs": "+", "metavar": "FILE", "help": "own or OONI's JSON lines, .gz, or -"}),)),
    ("import", "adds recorded measurements to the store", command.import_,
     ((("files",), {"nargs": "+", "metavar": "FILE"}),)),
    ("timeline", "events and present state, per target and vantage", command.timeline,
     ((("--target",), {"default": None, "metavar": "T", "help": "this target only"}),
      (("--vantage",), {"default": None, "metavar": "NAME", "help": "this vantage only"}),
      (("--since",), {"default": None, "metavar": "TIME", "help": "events known at that time or later"}),
      (("--until",), {"default": None, "metavar": "TIME", "help": "as if it ended then"}),
      (("--format",), {"choices": ("text", "json", "csv"), "default": "text"}),
      (("--states",), {"action": "store_true", "help": "the present states instead of the events"}),
      (("--wide",), {"default": None, "metavar": "PERCENT",
                     "help": "targets whose change at once is one event; default: [judge] wide, 75 with --input"}),
      (("--input",), {"default": None, "metavar": "FILE", "help": "exported CSV or JSON lines, .gz, or -"}))),
    ("export", "stored measurements as tables, or as a folder to check and cite", command.export,
     ((("--format",), {"choices": command.FORMATS, "default": "csv", "help": "default: csv"}),
      (("--since",), {"default": None, "metavar": "TIME", "help": "measured at that time or later"}),
      (("--until",), {"default": None, "metavar": "TIME", "help": "measured before that time"}),
      (("--target",), {"default": None, "metavar": "T", "help": "this target only"}),
      (("--vantage",), {"default": None, "metavar": "NAME", "help": "this vantage only"}),
      (("--output",), {"type": Path, "default": None, "metavar": "FOLDER", "help": "default: the table to stdout"}),
      (("--author",), {"default": None, "metavar": "NAME", "help": "whom to cite; default: anonymous"}),
      (("--licence",), {"choices": command.LICENCES, "default": None, "help": "SPDX; default: none is given"}))),
    ("lists", "checks lists, or downloads those named under [lists]", command.lists,
     ((("action",), {"choices": ("check", "update")}),
      (("files",), {"nargs": "*", "type": Path, "metavar": "FILE", "help": "what to check"}))),
    ("agent", "a vantage on another machine: measures on its own, hands in when it can", command.agent,
     ((("--listen",), {"default": None, "metavar": "HOST:PORT", "help": "serve /metrics there; default: nowhere"}),)),
    ("enrol", "makes an agent's token and prints it, once", command.enrol,
     ((("name",), {"metavar": "NAME", "help": "a vantage of kind agent"}),)),
    ("revoke", "makes an agent's token worthless", command.revoke,
     ((("name",), {"metavar": "NAME", "help": "whose token"}),)),
    ("helper", "a control test helper in OONI's Web Connectivity protocol", command.helper,
     ((("--listen",), {"default": None, "metavar": "HOST:PORT", "help": "default: 127.0.0.1:8081"}),
      (("--neutral",), {"action": "append", "default": [], "metavar": "HOST:PORT", "help": "repeatable"}),
      (("--sink",), {"action": "append", "default": [], "metavar": "HOST:PORT", "help": "repeatable"}))),
    ("check", "validates configuration and lists, tests each vantage", command.check, ()),
    ("confirm", "accepts where a vantage's way out ends now", command.confirm,
     ((("name",), {"metavar": "NAME", "help": "the vantage"}),)),
    ("demo", "the whole service against a simulated censored network on this machine", command.demo,
     ((("--for",), {"dest": "seconds", "type": float, "default": None, "metavar": "SECONDS", "help": "end by itself"}),
      (("--listen",), {"default": "127.0.0.1:8080", "metavar": "HOST:PORT"}),
      (("--database",), {"type": Path, "default": None, "metavar": "FILE", "help": "default: a temporary one"}))),
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""README.md and LICENSE.md of a package: what it is, how to check it, what it cannot say, what one may do with it."""

from datetime import datetime

import msgspec

from monitor.publish.text import printable
from monitor.store import Selection
from probes.measurement import rfc3339

from .tables import Summary

LICENCES = {
    "CC-BY-4.0": "Creative Commons Attribution 4.0: https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "Creative Commons Attribution-ShareAlike 4.0: https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0-1.0": "Creative Commons Zero 1.0: https://creativecommons.org/publicdomain/zero/1.0/",
    "ODC-By-1.0": "Open Data Commons Attribution 1.0: https://opendatacommons.org/licenses/by/1-0/",
    "ODbL-1.0": "Open Data Commons Open Database 1.0: https://opendatacommons.org/licenses/odbl/1-0/",
}  # SPDX identifiers
_SIMULATED = """\
> **SIMULATED.** The network was made up by `wallwatch demo` on one machine. Nothing here is about the Internet.

"""
_LIMITS = """\
## What the data cannot say

- Who blocks, or why. They say what happened to one client, at one place, at one time.
- What others see in the same country: other networks, other resolvers, other hours may differ.
- Anything about times at which nothing was measured. A missing row is no evidence of anything.
- That a site was open: `insufficient` and `down` are not `ok`, and must not be counted as such.
- How sure one may be across versions of the rules: scores of different versions are not comparable.
- When exactly something changed: an event lies in (`after`, `before`].

## Privacy

The vantage's own address is never recorded.
{facts}
What a program cannot find of it is told in Wallwatch's docs/ethics.md.
"""
_FACTS = {
    "csv": "The tables hold no address of any kind, but for targets that are one.",
    "jsonl": "The address of its nameserver, those of the first routers, the values of cookies, and addresses that\n"
    "pages printed are replaced, also in the packets; each document says so in `redacted`. Addresses in DNS answers,\n"
    "of servers and of controls are as they were.",
}
_RULES = """\
Verdicts agree where `analyze` has the rules of that version, and the fingerprints that the service had.
"""
_OTHERS = """\
The pages in `facts.bodies` and the certificates were written by others, whose rights no licence given here touches.
"""
_NONE = """\
No licence was chosen when these data were exported, so none is given: whoever runs the service decides. Ask before you
pass them on.

To the operator: `wallwatch export --licence CC-BY-4.0 --author "YOUR NAME"` says that everybody may use the data who
names you. That is what most research data come with, and a suggestion only.
"""


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `format`: csv or jsonl; `licence`: an SPDX identifier of LICENCES, or empty."""

    format: str
    selection: Selection
    version: str
    author: str = ""
    licence: str = ""

    @property
    def table(self) -> str:
        """The file with the measurements."""
        return f"measurements.{self.format}"


def title(summary: Summary, *, simulated: bool) -> str:
    """One line: how much, from where, when."""
    name = "SIMULATED Wallwatch measurements" if simulated else "Wallwatch measurements"
    what = f"{_some(len(summary.targets), 'target')} from {_some(len(summary.vantages), 'vantage')}"
    if summary.period is None:
        return f"{name} of {what}"
    first, last = (time.date().isoformat() for time in summary.period)
    return f"{name} of {what}, {first}" + (f" to {last}" if last != first else "")


def abstract(summary: Summary, *, simulated: bool) -> str:
    """Two sentences."""
    counted = f"{_some(summary.n, 'measurement')} and {_some(len(summary.events), 'event')} of blocking and unblocking."
    return ("SIMULATED: a made-up network. " if simulated else "") + counted


def readme(package: Package, summary: Summary, files: dict[str, str], *, simulated: bool) -> str:
    """README.md; `files` are the others, with what each is."""
    listed = "".join(f"| `{name}` | {about} |\n" for name, about in files.items())
    return (
        f"# {title(summary, simulated=simulated)}\n\n{_SIMULATED if simulated else ''}"
        f"Which sites a network blocks, and how, as measured by Wallwatch.\n{abstract(summary, simulated=False)}\n\n"
        f"| selection | |\n| --- | --- |\n{_selection(package, summary)}\n"
        f"| file | holds |\n| --- | --- |\n{listed}\n"
        f"{_checks(package)}\n{_LIMITS.format(facts=_FACTS[package.format])}"
    )


def licence(package: Package) -> str:
    """LICENSE.md: what the operator chose, and nothing in their place."""
    rest = "\n" + _OTHERS if package.format == "jsonl" else ""
    if not package.licence:
        return "# Licence\n\n" + _NONE + rest
    by = f" by {printable(package.author)}" if package.author else ""
    return f"# Licence\n\nThese data are published{by} under {LICENCES[package.licence]}\n{rest}"


def _selection(package: Package, summary: Summary) -> str:
    selection = package.selection
    rows = {
        "target": _code(selection.target) if selection.target else "all",
        "vantage": _code(selection.vantage) if selection.vantage else "all",
        "since (included)": _time(selection.since, "the first measurement"),
        "until (excluded)": _time(selection.until, "the last measurement"),
        "first measurement": _time(summary.period and summary.period[0], "none"),
        "last measurement": _time(summary.period and summary.period[1], "none"),
        "measurements": str(summary.n),
        "rules versions": ", ".join(map(str, sorted(summary.rules_versions))) or "none",
        "written by": f"wallwatch {package.version}",
    }
    return "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _checks(package: Package) -> str:
    again = "    wallwatch analyze measurements.jsonl                # the verdicts, computed again from the facts\n"
    events = (
        "`events.csv` also rests on measurements before `since`; a timeline of the selection alone may lack its first "
        "events.\n"
        if package.selection.since
        else ""
    )
    return (
        "## How to check it\n\n    sha256sum -c SHA256SUMS\n"
        f"    wallwatch timeline --input {package.table}     # the events, computed again\n"
        + (again if package.format == "jsonl" else "")
        + f"\n{events}{_RULES if package.format == 'jsonl' else ''}"
        "A target may begin with `=`, `+`, `-` or `@`. Import the tables into a spreadsheet as text.\n"
    )


def _some(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _time(time: datetime | None, otherwise: str) -> str:
    return rfc3339(time) if time is not None else otherwise


def _code(text: str) -> str:
    """A name from the network as code in a table's cell."""
    shown = printable(text).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"

"""The tables of an export: each column, what it holds, and where that is defined. Codebook and tables read this."""

from collections.abc import Mapping

import msgspec

from blocklists import CATEGORIES
from monitor.judge.rules import RULES

from . import words

_CONTRACT = "docs/glossary.md"
_RULES = "docs/rules.md"
_COMMANDS = "docs/commands.md"
_ISO = "ISO 3166-1 alpha-2"
_TIME = "RFC 3339, UTC"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column. `null`: what an empty cell means; empty where there is none. `values`: all that may stand there."""

    name: str
    type: str  # text, time, integer, number, boolean or list (words with a space between them)
    meaning: str
    unit: str = ""
    values: Mapping[str, str] = {}
    null: str = ""
    source: str = _COMMANDS


def _time(name: str, meaning: str, **more: str) -> Column:
    return Column(name=name, type="time", unit=_TIME, meaning=meaning, **more)  # type: ignore[arg-type]


def _count(name: str, meaning: str) -> Column:
    return Column(name=name, type="integer", unit="measurements", meaning=meaning)


_TARGET = Column(name="target", type="text", meaning="what was asked about: a URL as given", source=_CONTRACT)
_VANTAGE = Column(name="vantage", type="text", meaning="the name of the place measured from", source=_CONTRACT)
_SITE = Column(
    name="site", type="text", meaning="the registrable domain of the target", null="not known",
    source="https://publicsuffix.org/",
)  # fmt: skip
_CATEGORY = Column(
    name="category", type="text", meaning="what kind of site the list says it is", values=CATEGORIES,
    null="on no list", source="https://github.com/citizenlab/test-lists",
)  # fmt: skip
_COUNTRY = Column(
    name="country", type="text", meaning="the vantage's country, as configured", unit=_ISO, null="not known",
    source=_ISO,
)  # fmt: skip
_ASN = Column(
    name="asn", type="integer", meaning="the number of the vantage's autonomous system, as configured",
    null="not known", source="RFC 6793",
)  # fmt: skip
_OUTCOME = Column(name="outcome", type="text", meaning="what the rules conclude", values=words.OUTCOMES, source=_RULES)
_TECHNIQUE = Column(
    name="technique", type="text", meaning="how it was done, by the strongest evidence", values=words.TECHNIQUES,
    null="no interference was concluded", source=_RULES,
)  # fmt: skip
_EVENT_TECHNIQUE = msgspec.structs.replace(
    _TECHNIQUE, meaning="how it is done since; for unblocked: how it was done until then", null="not known"
)
_UID = Column(name="uid", type="text", meaning="a unique name of the measurement that sorts by time")
_SIMULATED = Column(
    name="simulated", type="boolean", meaning="whether the network was made up", values=words.FLAGS,
    source="docs/commands.md",
)  # fmt: skip

MEASUREMENTS = (
    _time("time", "when the measurement began"),
    _TARGET, _VANTAGE, _OUTCOME, _TECHNIQUE, _UID, _SITE, _CATEGORY, _COUNTRY, _ASN,
    Column(name="score", type="number", unit="probability, 0 to 1", source=_RULES,
           meaning="that interference was present - not comparable between versions of the rules"),
    Column(name="cause", type="text", meaning="why it is down or insufficient", values=words.CAUSES,
           null="the outcome is neither down nor insufficient", source=_RULES),
    Column(name="rules", type="list", meaning="the rules that fired, the deciding one first",
           values={rule.id: rule.why.replace(";", ",") for rule in RULES}, null="none fired", source=_RULES),
    Column(name="rules_version", type="integer", meaning="the version of the rules that concluded this", source=_RULES),
    Column(name="duration_s", type="number", unit="s", meaning="how long the measurement took, all tries included"),
    Column(name="techniques", type="list", meaning="all techniques seen, lowest layer first",
           values=words.TECHNIQUES, null="no interference was concluded", source=_RULES),
    _SIMULATED,
)  # fmt: skip
EVENTS = (
    _TARGET, _VANTAGE,
    Column(name="kind", type="text", meaning="what changed", values=words.EVENT_KINDS, source=_RULES),
    _time("after", "the last measurement of the old state: the change came later",
          null="there is none"),
    _time("before", "the first measurement of the new state: the change came then or earlier"),
    _time("detected_at", "the measurement at which the change was known, the second of the new state"),
    _EVENT_TECHNIQUE,
    Column(name="confidence", type="number", unit="probability, 0 to 1", meaning="that the change is real",
           source=_RULES),
    _count("measurements", "how many measurements in a row showed the new state when it was known"),
    Column(name="witness", type="list", meaning="uids of what shows it: the last old, the first new ones"),
)  # fmt: skip
_SPAN = (
    _time("first", "the first selected measurement"),
    _time("last", "the last selected measurement"),
    _count("n", "selected measurements"),
)
TARGETS = (_TARGET, _SITE, _CATEGORY, *_SPAN)
VANTAGES = (
    _VANTAGE,
    Column(name="kind", type="text", meaning="how packets leave, at the last measurement", values=words.VANTAGE_KINDS),
    _COUNTRY, _ASN,
    Column(name="direction", type="text", meaning="which way was measured", values=words.DIRECTIONS),
    *_SPAN,
    *(_count(outcome, f"selected measurements with this outcome: {meaning}")
      for outcome, meaning in words.OUTCOMES.items()),
)  # fmt: skip
CODEBOOK = (
    Column(name="table", type="text", meaning="the file"),
    Column(name="column", type="text", meaning="the column, in the file's order"),
    Column(name="type", type="text", meaning="text, time, integer, number, boolean, list (words with a space between "
           "them) or object"),
    Column(name="unit", type="text", meaning="the unit or notation", null="none"),
    Column(name="meaning", type="text", meaning="what it says"),
    Column(name="values", type="text", meaning="what may stand there: `value = meaning`, with `; ` between them",
           null="not a closed list"),
    Column(name="null", type="text", meaning="what an empty cell means", null="never empty"),
    Column(name="source", type="text", meaning="where it is defined: a standard, or a page of Wallwatch's documents"),
)  # fmt: skip
DOCUMENTS = (
    _UID,
    _time("time", "when the measurement began"),
    _TARGET,
    Column(name="vantage", type="object", meaning="name, kind, country, asn, direction, as in vantages.csv, "
           "and `blind`: words for what cannot be measured from there, `method`: how a remote vantage measures"),
    Column(name="verdict", type="object", meaning="outcome, technique, techniques, cause, score, rules, rules_version, "
           "as in the table, and `reason`: a sentence that a person can quote", source=_RULES),
    Column(name="observations", type="list", meaning="objects: one a contact with an address, derived from facts"),
    Column(name="lookups", type="list", meaning="objects: one a DNS lookup, derived from facts"),
    Column(name="control", type="object", meaning="replies: what each control saw", null="null: there was no control"),
    Column(name="software", type="object", meaning="name and version of the program that wrote this"),
    Column(name="facts", type="object", meaning="the whole record, from which the verdict can be computed again, with "
           "`operations` (the plain client's), `experiments` (contacts that no plain client makes) and `flows` "
           "(packets of suspicious connections); bodies and `pcap` (a capture file in base64) only where the outcome "
           "is not ok"),
    Column(name="redacted", type="list", meaning="what of the facts was replaced or left out before publishing",
           values=words.REDACTED, null="the key is missing: nothing was", source="docs/ethics.md"),
    Column(name="simulated", type="boolean", meaning="true where the network was made up by `wallwatch demo`",
           null="the key is missing: measured on a real network"),
)  # fmt: skip

TABLES: Mapping[str, tuple[Column, ...]] = {
    "measurements.csv": MEASUREMENTS,
    "measurements.jsonl": DOCUMENTS,
    "events.csv": EVENTS,
    "targets.csv": TARGETS,
    "vantages.csv": VANTAGES,
    "codebook.csv": CODEBOOK,
}


def header(table: str) -> tuple[str, ...]:
    """The names of a table's columns, in order."""
    return tuple(column.name for column in TABLES[table])

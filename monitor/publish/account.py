"""The account of one measurement as plain text, like a page of a lab notebook."""

from collections.abc import Sequence

from monitor.judge.rules import RULES
from monitor.judge.verdict import Verdict
from probes.measurement import Measurement, VantageFacts, rfc3339

from . import replies
from .evidence import Part, Step
from .experiments import Try
from .notebook import Notebook, notebook
from .operations import Line
from .packets import HEAD, Seen
from .text import pad, printable, seconds, width, wrap

COLUMNS = 108
_ROUTER = 40  # columns; the longest address has 39
_LEFT, _RIGHT = 56, 45  # with number and rule between: COLUMNS
ABOUT = "contacts that no plain client makes, each beside an innocuous one"
WHY = {rule.id: rule.why for rule in RULES}


def account(measurement: Measurement, verdict: Verdict) -> str:
    """The whole account; lines end in a newline. Nothing from the network can move a terminal's cursor."""
    found = notebook(measurement)
    first = [part for part in found.parts if part.attempt == 0]
    again = [part for part in found.parts if part.attempt > 0]
    rows = _header(measurement)
    for part in first:
        rows += ["", *_part(part)]
    if again:
        rows += ["", "Further tries", *(row for part in again for row in _brief(part))]
    if found.more_steps:
        rows.append(f"     and {found.more_steps} more steps")
    rows += _experiments(found) + _packets(found, measurement) + _control(measurement) + _self_tests(measurement)
    rows += ["", *_verdict(verdict)]
    return "\n".join(row.rstrip() for row in rows) + "\n"


def _header(measurement: Measurement) -> list[str]:
    rows = []
    if measurement.vantage.simulated:
        rows += ["*** SIMULATED: this network is made up, nothing here is about the Internet ***", ""]
    recorded = f", recorded by {printable(measurement.recorded, 60)}" if measurement.recorded else ""
    for name, value in (
        ("target", printable(measurement.target)),
        ("vantage", vantage_words(measurement.vantage)),
        ("time", f"{rfc3339(measurement.time)}, {seconds(measurement.duration)}{recorded}"),
        ("measurement", printable(measurement.uid, 90)),
    ):
        rows += _field(name, value)
    return rows


def vantage_words(vantage: VantageFacts) -> str:
    """`home (direct, CN, AS4134)`. What it cannot see is said once, by the verdict's reason."""
    details = [vantage.kind, vantage.country, f"AS{vantage.asn}" if vantage.asn else ""]
    if vantage.direction != "inside-out":
        details += [vantage.direction, vantage.method]
    return f"{printable(vantage.name, 64)} ({', '.join(printable(d, 40) for d in details if d)})"


def _part(part: Part) -> list[str]:
    head = pad(" " * 5 + "the vantage saw", 5 + _LEFT) + "│ the control saw"
    rows = [*wrap(part.title, COLUMNS), head, "─" * (5 + _LEFT) + "┼" + "─" * (_RIGHT + 1)]
    for step in part.steps:
        rows += _step(step)
    return rows


def _step(step: Step) -> list[str]:
    """A step's own words on the left, the control's on the right, line by line."""
    left = wrap(f"+{step.at:.3f} s  {step.what}", _LEFT - 1)
    left += _indented(step.vantage, _LEFT - 1)
    for certificate in step.certificates[:1]:
        words = certificate.fault or f"for {certificate.subject}, by {certificate.issuer}, {certificate.dates}"
        left += _indented([Line(f"leaf: {words}")], _LEFT - 1)
    right = [row for line in step.control for row in _hanging(line.text, _RIGHT)]
    rows = []
    for index in range(max(len(left), len(right) + 1)):
        number = f"{step.number:>3}. " if index == 0 else " " * 5
        mine = left[index] if index < len(left) else ""
        theirs = right[index - 1] if 0 < index <= len(right) else ""
        rows.append(f"{number}{pad(mine, _LEFT)}│ {theirs}")
    return rows


def _indented(lines: Sequence[Line], columns: int) -> list[str]:
    rows = []
    for line in lines:
        mark = "✗ " if line.tone == "bad" else "  "
        first, *rest = wrap(line.text, columns - 4)
        rows += [mark + first, *("    " + row for row in rest)]
    return rows


def _hanging(text: str, columns: int) -> list[str]:
    first, *rest = wrap(text, columns - 2)
    return [first, *("  " + row for row in rest)]


def _brief(part: Part) -> list[str]:
    rows = [f"  {row}" for row in wrap(part.title, COLUMNS - 2)]
    for step in part.steps:
        first, *rest = wrap(f"+{step.at:.3f} s  {step.brief}", COLUMNS - 9)
        rows += [f"{step.number:>5}. {first}", *(" " * 9 + row for row in rest)]
    return rows


def _experiments(found: Notebook) -> list[str]:
    rows = ["", f"Experiments: {ABOUT}"] if found.experiments else []
    for told in found.experiments:
        rows += ["", *(f"  {row}" for row in wrap(f"+{told.at:.3f} s  {told.question}", COLUMNS - 2))]
        rows += _hops(told.tries) if told.hops else [row for one in told.tries for row in _try(one)]
        if told.more:
            rows.append(f"         and {told.more} more tries")
        for name, value in (("count", told.count), ("left out", told.left_out)):
            if value:
                rows += [f"         {row}" for row in wrap(f"{name}: {value}", COLUMNS - 9)]
    if found.more_experiments:
        rows.append(f"     and {found.more_experiments} more experiments")
    return rows


def _try(one: Try) -> list[str]:
    marked = "innocuous" if one.innocuous else "in question"
    first, *rest = wrap(f"+{one.at:.3f} s  {marked}: {one.sent}, {one.where}", COLUMNS - 7)
    rows = [f"{one.number:>5}. {first}", *(" " * 9 + row for row in rest)]
    seen = one.lines if one.answers else [Line("; ".join(line.text for line in one.lines))] if one.lines else []
    return rows + [" " * 9 + row for row in _indented((one.ended, *seen), COLUMNS - 9)]


def _hops(tries: Sequence[Try]) -> list[str]:
    """The tries of a path as a table, a row each."""
    routers = [wrap(one.router or "–", _ROUTER)[0] for one in tries]  # a record from elsewhere may hold any text
    wide = max(map(width, [*routers, "ran out at"]))
    rows = [" " * 7 + f"{'at':<12}{'TTL':>3}  {pad('ran out at', wide)}  what was sent: how it ended"]
    for one, router in zip(tries, routers, strict=True):
        at, ttl = printable(f"+{one.at:.3f} s", 14), printable(str(one.ttl or "–"), 3)
        head = f"{one.number:>5}. {at:<12}{ttl:>3}  {pad(router, wide)}  "
        marked = f"{one.sent} (innocuous)" if one.innocuous else one.sent
        said = "; ".join(line.text for line in (one.ended, *one.lines))
        first, *rest = wrap(f"{marked}: {said}", COLUMNS - width(head))
        rows += [head + first, *(" " * width(head) + row for row in rest)]
    return rows


def _packets(found: Notebook, measurement: Measurement) -> list[str]:
    rows = ["", "Packets: each reset beside the server's SYN-ACK"] if found.packets else []
    for seen in found.packets:
        rows += [f"  {row}" for row in wrap(seen.title, COLUMNS - 2)]
        rows += _table(seen) + [f"    {row}" for said in seen.said for row in _hanging(said, COLUMNS - 4)]
    if found.more_packets:
        rows.append(f"     and {found.more_packets} more connections")
    if measurement.pcap:
        rows.append(f"  all packets as a file: {len(measurement.pcap)} bytes, `facts.pcap` in the JSON")
    return rows


def _table(seen: Seen) -> list[str]:
    """Columns as wide as what is in them; the last one, a reset's payload, may be long."""
    cells = (HEAD, *seen.rows) if seen.rows else ()
    widths = [max(width(row[column]) for row in cells) for column in range(len(HEAD))] if cells else []
    rows = []
    for row in cells:
        *head, last = (pad(cell, wide) for cell, wide in zip(row, widths, strict=True))
        start = " " * 4 + "  ".join(head) + "  "
        first, *rest = wrap(last.rstrip(), COLUMNS - width(start))
        rows += [start + first, *(" " * width(start) + more for more in rest)]
    return rows


def _control(measurement: Measurement) -> list[str]:
    if not measurement.control:
        why = "the control gave no reply" if measurement.control_configured else "no control is configured"
        return ["", f"Control: {why}"]
    rows = ["", "Control, each reply"]
    for reply in measurement.control[:32]:
        rows += _block(
            f"+{reply.at:.3f} s  {replies.source(reply)}  {printable(reply.url, 120)}", replies.summary(reply)
        )
    return rows


def _self_tests(measurement: Measurement) -> list[str]:
    rows = ["", "The vantage about itself"] if measurement.self_tests else []
    for test in measurement.self_tests[:8]:
        rows += _block(f"{test.at:+.3f} s", replies.self_test(test))
    return rows


def _block(head: str, lines: Sequence[Line]) -> list[str]:
    rows = [f"  {row}" for row in wrap(head, COLUMNS - 2)]
    return rows + [f"    {row}" for row in _indented(lines, COLUMNS - 4)]


def _verdict(verdict: Verdict) -> list[str]:
    rows = [f"VERDICT  {verdict.outcome.upper()}" + (f"  {verdict.technique}" if verdict.technique else "")]
    if len(verdict.techniques) > 1:
        rows += _field("techniques", ", ".join(verdict.techniques))
    if verdict.cause:
        rows += _field("cause", verdict.cause)
    rows += _field("score", f"{verdict.score:.3f} (probability that interference was present)")
    for rule in verdict.rules:
        rows += _field("rule", f"{printable(rule, 60)}: {WHY.get(rule, 'a rule of another version')}")
    rows += _field("rules", f"version {verdict.rules_version}")
    return rows + _field("reason", printable(verdict.reason, 600))


def _field(name: str, value: str) -> list[str]:
    first, *rest = wrap(value, COLUMNS - 13)
    return [f"{name:<12} {first}", *(" " * 13 + row for row in rest)]

"""What a server answers to any name: its usual answer, and whether another answer is like it.

A server may write the name that it was asked for into its answer, and parts of a page change by themselves. So the name
is masked, and pages are compared by status, title and length where they are not equal to the byte.
"""

import re
from collections.abc import Sequence

import msgspec

from probes.experiment import Attempt
from probes.http import HTTPRoundTrip
from probes.tls import TLSHandshake

RATIO = 0.7  # of the shorter page's length to the longer one's, as for the same page (CONTRACT.md section 2)
_MASK = "\N{WHITE SQUARE}"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One whole answer. `leaf`: SHA-256 of the certificate, empty without TLS; `where` and `title` are masked;
    `echoed`: whether what was sent came back byte for byte, None where that is not asked."""

    leaf: str = ""
    status: int = 0
    kind: str = ""  # the media type
    where: str = ""  # of a redirect
    title: str = ""
    length: int = 0
    digest: str = ""
    echoed: bool | None = None


def answer_of(attempt: Attempt) -> Answer | None:
    """What came for one try; None where it failed, or where TLS ended with the server's own alert."""
    page = page_of(attempt)
    if attempt.failure is not None or page is None or page.failure is not None:
        return None
    return Answer(
        leaf=leaf_of(attempt), status=page.status, title=_masked(page.title, attempt.sent),
        kind=page.header("content-type").partition(";")[0].strip().lower(),
        where=_masked(page.location, attempt.sent), length=page.body_length, digest=page.body_sha256,
        echoed=page.expected,
    )  # fmt: skip


def page_of(attempt: Attempt) -> HTTPRoundTrip | None:
    """The exchange of a try that got so far."""
    return next((op for op in attempt.operations if isinstance(op, HTTPRoundTrip)), None)


def leaf_of(attempt: Attempt) -> str:
    """SHA-256 of the certificate that was shown; empty where none was."""
    return next((op.chain[0] for op in attempt.operations if isinstance(op, TLSHandshake) and op.chain), "")


def alike(one: Answer, other: Answer) -> bool:
    """Whether the same server gave both, for all that can be seen."""
    if one.echoed is not None or other.echoed is not None:
        return bool(one.echoed and other.echoed)  # the texts differ by the name
    if (one.leaf, one.status, one.where, one.kind) != (other.leaf, other.status, other.where, other.kind):
        return False
    if one.digest == other.digest:
        return True
    shorter, longer = sorted((one.length, other.length))
    return one.title == other.title and shorter > RATIO * longer


def _masked(text: str, name: str) -> str:
    """The text with the name replaced, however it is written."""
    return re.sub(re.escape(name), _MASK, text, flags=re.IGNORECASE) if name else text


def usual_of(tries: Sequence[Attempt]) -> Answer | None:
    """The template: the answer to the first two innocuous tries; None where it is not the same to both."""
    answers = [answer_of(t) for t in tries if t.innocuous][:2]
    if len(answers) < 2 or answers[0] is None or answers[1] is None or not alike(answers[0], answers[1]):
        return None
    return answers[0]


def came_through(attempt: Attempt, usual: Answer) -> bool:
    """Whether the server itself answered: as usual, with an alert, as the site itself, or by a redirect to it.

    A server may know the name and serve it: then it shows the site's own certificate, or sends the client on to it.
    """
    if attempt.failure is not None:
        return False
    shaken = next((op for op in attempt.operations if isinstance(op, TLSHandshake)), None)
    if shaken is not None and (shaken.failure is not None or shaken.valid):
        return True
    answer = answer_of(attempt)
    return answer is not None and (alike(answer, usual) or _leads_to(answer.where))


def _leads_to(where: str) -> bool:
    """Whether a masked redirect leads to the name that was asked for, or to a host below it."""
    host = where.partition("://")[2].partition("/")[0].partition(":")[0]
    return host == _MASK or host.endswith("." + _MASK)

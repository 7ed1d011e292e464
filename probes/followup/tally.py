"""How the tries of an experiment went, counted; and when that is a difference (CONTRACT.md section 2, artefacts)."""

from collections.abc import Sequence

import msgspec

from probes.experiment import Attempt

FAILURES = 2  # of at most 6 tries with the name, against none of as many with an innocuous one


class Tally(msgspec.Struct, frozen=True):
    """Tries with the name that failed and passed, and innocuous ones that failed and passed."""

    failed: int = 0
    passed: int = 0
    innocuous_failed: int = 0
    innocuous_passed: int = 0

    @property
    def differs(self) -> bool:
        """At least 2 failures with the name, none in as many innocuous tries."""
        tries = self.failed + self.passed
        return (
            self.failed >= FAILURES and not self.innocuous_failed and self.innocuous_passed >= min(tries, self.failed)
        )

    def decided(self, enough: int) -> bool:
        """Every try of at least `enough` pairs went the same way: with the name it fails, without it passes."""
        return self.differs and not self.passed and self.failed >= enough


def tally(tries: Sequence[Attempt]) -> Tally:
    """The count of the tries that were made."""
    made = [t for t in tries if not (t.failure or "").startswith("not_tried")]
    count = [sum(1 for t in made if t.innocuous == i and (t.failure is not None) == f)
             for i, f in ((False, True), (False, False), (True, True), (True, False))]  # fmt: skip
    return Tally(*count)

"""The words of a conclusion (CONTRACT.md section 2)."""

import msgspec

OUTCOMES = ("insufficient", "ok", "down", "impaired", "likely_blocked", "blocked")
OUTCOME_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}
STOPPED = frozenset({"blocked", "likely_blocked"})
INTERFERED = frozenset({"blocked", "likely_blocked", "impaired"})
DOWN_CAUSES = ("dead", "certificate", "server_refusal", "redirects", "other")
INSUFFICIENT_CAUSES = (
    "offline",
    "captive_portal",
    "no_control",
    "control_failed",
    "clock",
    "residual",
    "not_measurable",
    "ambiguous",
)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules conclude from one measurement.

    `technique` has the strongest evidence, `techniques` are all, lowest layer first; `rules` are ids of rules that
    fired, the deciding one first; `score` is the probability, 0 to 1, that interference was present.
    """

    outcome: str
    technique: str | None = None
    techniques: tuple[str, ...] = ()
    cause: str | None = None
    score: float = 0.0
    rules: tuple[str, ...] = ()
    rules_version: int = 0
    reason: str = ""

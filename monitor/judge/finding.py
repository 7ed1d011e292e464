"""What one rule found in a case."""

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`weight`: log10 of the likelihood ratio for interference (negative: against). `failures` and `passes` count
    tries, where the rule is about repetition; `text` is a sentence a person can quote."""

    text: str
    technique: str | None = None
    weight: float = 0.0
    cause: str | None = None
    failures: int = 0
    passes: int = 0
    hop: int = 0
    address: str = ""

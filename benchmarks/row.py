"""One line of the table."""

import msgspec


class Row(msgspec.Struct, frozen=True):
    """`name` says what was measured; `promise` is the bound that it must once keep, empty where there is none."""

    benchmark: str
    name: str
    value: float
    unit: str
    promise: str = ""

    @property
    def figure(self) -> str:
        """The value, with as many digits as mean something."""
        if self.value >= 100 or self.value == int(self.value):
            return f"{self.value:,.0f}"
        return f"{self.value:.1f}" if self.value >= 10 else f"{self.value:.2f}"

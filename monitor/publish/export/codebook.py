"""The columns as a page for people and as a table for programs."""

from collections.abc import Iterator, Sequence

from . import cells
from .columns import TABLES, Column, header

_CONVENTIONS = """\
Tables are CSV as RFC 4180 has it, with LF at the end of a line: one header row, UTF-8, a point in numbers. An empty
cell is no value, never zero or false. Times are RFC 3339 in UTC, to the microsecond. A list is words with a space
between them. Files named `docs/…` are Wallwatch's documents.
"""


def page(tables: Sequence[str]) -> str:
    """CODEBOOK.md for these tables."""
    return "# Codebook\n\n" + _CONVENTIONS + "".join(_section(table) for table in tables)


def lines(tables: Sequence[str]) -> Iterator[bytes]:
    """codebook.csv for these tables."""
    yield cells.line(header("codebook.csv"))
    for table in tables:
        for column in TABLES[table]:
            values = "; ".join(f"{value} = {meaning}" for value, meaning in column.values.items())
            yield cells.line(
                (table, column.name, column.type, column.unit, column.meaning, values, column.null, column.source)
            )


def _section(table: str) -> str:
    head = f"\n## {table}\n\n| column | type | unit | meaning | empty means | defined in |\n{'| --- ' * 6}|\n"
    rows = "".join(_row(column) for column in TABLES[table])
    return head + rows + "".join(_values(column) for column in TABLES[table] if column.values)


def _row(column: Column) -> str:
    shown = (f"`{column.name}`", column.type, column.unit, column.meaning, column.null or "never empty", column.source)
    return "| " + " | ".join(text.replace("|", "\\|") for text in shown) + " |\n"


def _values(column: Column) -> str:
    return f"\nValues of `{column.name}`:\n\n" + "".join(
        f"- `{value}`: {meaning}\n" for value, meaning in column.values.items()
    )

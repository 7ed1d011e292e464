"""What is handed to others: tidy tables and full documents, with all that is needed to read, check and cite them.

    cells       one value, one line of CSV
    words       what each outcome, cause, technique and kind of event means
    columns     the tables: every column, what it holds and where that is defined
    tables      stored measurements → rows of the tables
    documents   stored measurements → JSON lines, without what could lead to the vantage
    addresses   IP addresses in text that others wrote: found and replaced
    redact      the facts of a measurement without what could lead to the vantage
    capture     its packets, likewise
    codebook    the columns as CODEBOOK.md and codebook.csv
    citation    CITATION.cff
    readme      README.md and LICENSE.md
    package     the folder: all of it or nothing, with SHA256SUMS

The same data gives the same bytes: nothing here reads a clock, a locale or chance.
"""

from . import readme
from .documents import lines as document_lines
from .package import Package, PackageError, write
from .tables import measurement_lines

__all__ = ["Package", "PackageError", "document_lines", "measurement_lines", "readme", "write"]

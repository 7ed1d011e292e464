"""What is kept: one SQLite file, one thread that writes it, a few that read it.

    store          Store: the one object that others hold
    writer         the writing thread: batches, durable before anybody is told, retried while the disk is full
    readers        the reading threads, each with a connection of its own
    database       the file: opened, locked against a second service, refused with one clear line
    schema         the tables, as named migrations
    records        Measurement ↔ bytes
    measurements   measurements: saved with all that belongs to them, loaded, listed
    verdicts       verdicts, one for each version of the rules, and the daily counts of outcomes
    daily          a target's outcomes over time, counted by day or by any other step
    contents       bodies and certificates, once per hash
    series         where each target stands at each vantage, and the events
    rounds         what a restarted service must know: rounds, and residual blocking that we triggered
    snapshot       one state of the file, read throughout
    selection      target, vantage and dates, as a condition

Judging is `judge`'s: `series` only hands it the next point, in the transaction that stores the measurement.
"""

from .error import StoreError
from .measurements import Row
from .records import RecordError
from .selection import Selection
from .store import Store

__all__ = ["RecordError", "Row", "Selection", "Store", "StoreError"]

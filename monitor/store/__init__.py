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
    vantages       each vantage's newest measurement, its counts, since when it tells nothing
    contents       bodies and certificates, once per hash
    series         where each target stands at each vantage, and the events
    agents         the agents' tokens (their hashes), and when each was last heard of
    controls       what the control said of the targets that agents measure
    egress         where each vantage's way out ends, as it was confirmed
    rounds         what a restarted service must know: rounds, and residual blocking that we triggered
    snapshot       one state of the file, read throughout
    selection      target, vantage and dates, as a condition

Judging is `judge`'s: `series` only hands it the next point, in the transaction that stores the measurement.
"""

from .agents import Contact, Token
from .controls import KeptControl, Span
from .error import StoreError
from .measurements import Row
from .records import RecordError
from .selection import Selection
from .store import Store

__all__ = ["Contact", "KeptControl", "RecordError", "Row", "Selection", "Span", "Store", "StoreError", "Token"]

"""What to test, and what is known about how it is blocked: data files, and the code that reads them.

    release.csv · controls.csv        targets: what must be watched, and what must be reachable everywhere
    phrases.csv                       phrases that are censored where whole sites are not
    fingerprints_{dns,http}.csv       known block pages, and pages that only look like one
    history.csv                       blocks and unblocks that others documented
    searches.toml                     search pages and shops that can be asked what they withhold
    resets.csv                        what resets of known censors look like

    table                             a CSV file as rows, with every fault by file and line
    targets · phrases · fingerprints  what the rows mean: Target, Phrase, Fingerprint
    history · resets                  likewise: Change, ResetPattern
    searches · search_keys            likewise, of the one list that is no table: Search
    places                            likewise, of a list that is the operator's own: Place
    networks · network · mmdb         whose an address is, by a local table: Network
    categories · sites                the words of a target: its category, its registrable domain
    kinds                             `check`: whichever list it is, is it sound?

Nothing here touches the network or imports `monitor`; of `probes` only URLs and addresses are used.
"""

from .categories import CATEGORIES
from .fingerprints import Fingerprint, Fingerprints, load_fingerprints
from .history import Change, load_history
from .kinds import check
from .phrases import Phrase, load_phrases
from .resets import ResetPattern, load_resets
from .sites import site_of
from .table import Fault, ListError
from .targets import Target, load, target_of

__all__ = [
    "CATEGORIES",
    "Change",
    "Fault",
    "Fingerprint",
    "Fingerprints",
    "ListError",
    "Phrase",
    "ResetPattern",
    "Target",
    "check",
    "load",
    "load_fingerprints",
    "load_history",
    "load_phrases",
    "load_resets",
    "site_of",
    "target_of",
]

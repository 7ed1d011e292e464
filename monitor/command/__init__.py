"""What each command does; `monitor.cli` says how it is called."""

from .agent import agent
from .analysis import analyze, import_
from .checking import check
from .confirming import confirm
from .demonstration import demo
from .enrolling import enrol, revoke
from .export import FORMATS, LICENCES, export
from .inputs import BadInput
from .measuring import measure
from .serving import helper, run
from .timeline import timeline
from .updating import lists

__all__ = [
    "FORMATS", "LICENCES", "BadInput", "agent", "analyze", "check", "confirm", "demo", "enrol", "export", "helper",
    "import_", "lists", "measure", "revoke", "run", "timeline",
]  # fmt: skip

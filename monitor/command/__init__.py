"""What each command does; `monitor.cli` says how it is called."""

from .analysis import analyze, import_
from .checking import check
from .demonstration import demo
from .export import FORMATS, LICENCES, export
from .inputs import BadInput
from .measuring import measure
from .serving import helper, run
from .timeline import timeline
from .updating import lists

__all__ = [
    "FORMATS", "LICENCES", "BadInput", "analyze", "check", "demo", "export", "helper", "import_", "lists", "measure",
    "run", "timeline",
]  # fmt: skip

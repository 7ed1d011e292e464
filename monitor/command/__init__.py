"""What each command does; `monitor.cli` says how it is called."""

from .analysis import analyze, import_
from .checking import check, lists
from .demonstration import demo
from .inputs import BadInput
from .measuring import measure
from .serving import helper, run

__all__ = ["BadInput", "analyze", "check", "demo", "helper", "import_", "lists", "measure", "run"]

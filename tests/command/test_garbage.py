"""What has been loaded is left out of the search for garbage, and garbage in cycles is found all the same."""

import subprocess
import sys

_STORY = """
import gc, weakref
from monitor.garbage import look_seldom
import monitor.service
look_seldom()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
class Node: pass
node = Node()
node.itself, gone = node, []
weakref.finalize(node, gone.append, 1)
del node
kept = []
while not gone and len(kept) < 100_000:
    kept.append([])
assert gone and len(kept) < 20_000, len(kept)
print("found")
"""


def test_cycles_are_found_though_seldom() -> None:
    done = subprocess.run([sys.executable, "-c", _STORY], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("found\n", 0), done.stderr

"""Records the chains of Docker 28.5 in the same world: `python -m tests.differential.record`.

What it writes into `data` is what `iptables-save` prints there, and nobody edits it: a change of the world
means to record it anew. Builds the tree of that release (some minutes) unless it is there.
"""

from __future__ import annotations

import sys

from tests.differential.play import recorded
from tests.differential.world import World
from tests.rig.docker_host import why_unavailable
from tests.rig.engines import NEWEST
from tests.rig.namespace import FAMILIES


def main() -> int:
    """Run from the command line."""
    if reason := why_unavailable():
        print(f"no world can be built here: {reason}", file=sys.stderr)
        return 2
    world = World(tree=NEWEST.debian())
    try:
        for family in FAMILIES:
            recorded(family).write_text(world.baseline[family])
    finally:
        world.delete()
    return 0


if __name__ == "__main__":
    sys.exit(main())

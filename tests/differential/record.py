"""Records the chains of Docker 28.5 in the same world: `python -m tests.differential.record`.

It writes the output of `iptables-save` to `data`. Do not edit these files: record them again after a change
of the world. Builds the tree of that release (some minutes) unless it exists.
"""

from __future__ import annotations

import sys

from tests.differential.play import recorded_save
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
            recorded_save(family).write_text(world.baseline[family])
    finally:
        world.delete()
    return 0


if __name__ == "__main__":
    sys.exit(main())

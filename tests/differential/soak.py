"""Compares thousands of packets by chance: `python -m tests.differential.soak --cases 10000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.differential.play import Player, table
from tests.differential.world import World
from tests.lab.docker_host import why_unavailable


def main() -> int:
    """Run from the command line; status 1 when simulator and kernel disagree anywhere."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="how many packets (10,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run")
    parser.add_argument("--first", type=int, default=0, help="the number of the first ruleset (0)")
    parser.add_argument("--backend", choices=("nft", "legacy"), default="nft", help="of iptables (nft)")
    parser.add_argument("--write-to", type=Path, help="a folder for a file about each disagreement")
    options = parser.parse_args()
    if reason := why_unavailable():
        print(f"no world can be built here: {reason}", file=sys.stderr)
        return 2
    print(f"{options.cases} cases, --seed {options.seed} --backend {options.backend}", flush=True)
    world = World(options.backend)
    try:
        player = Player(world, options.seed, write_to=options.write_to)
        tally = player.play(options.cases, first=options.first, say=lambda text: print(text, flush=True))
    finally:
        world.delete()
    print(table(tally))
    return 1 if tally.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())

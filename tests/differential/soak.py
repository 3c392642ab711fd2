"""Compares thousands of random packets: `python -m tests.differential.soak --cases 10000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.differential.play import Player, Tally, table
from tests.differential.world import World
from tests.rig.docker_host import why_unavailable
from tests.rig.namespace import BACKENDS, Backend


def main() -> int:
    """Run from the command line; the status is 1 if simulator and kernel disagree anywhere."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="how many packets (10,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run")
    parser.add_argument("--first", type=int, default=0, help="the number of the first ruleset (0)")
    parser.add_argument(
        "--backend", choices=BACKENDS, help="of iptables (nft for four fifths of the cases, then legacy)"
    )
    parser.add_argument("--write-to", type=Path, help="a folder for a file about each disagreement")
    options = parser.parse_args()
    if reason := why_unavailable():
        print(f"no world can be built here: {reason}", file=sys.stderr)
        return 2
    print(f"{options.cases} cases, --seed {options.seed}", flush=True)
    tally = Tally()
    for backend, cases in _shares(options.cases, options.backend).items():
        world = World(backend)
        try:
            player = Player(world, options.seed, tally=tally, write_to=options.write_to)
            player.play(cases, first=options.first, say=lambda text: print(text, flush=True))
        finally:
            world.delete()
    print(table(tally))
    return 1 if tally.disagreements else 0


def _shares(cases: int, backend: Backend | None) -> dict[Backend, int]:
    """Return the number of cases for each backend."""
    if backend is not None:
        return {backend: cases}
    return {"nft": cases - cases // 5, "legacy": cases // 5}


if __name__ == "__main__":
    sys.exit(main())

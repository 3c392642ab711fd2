"""Run dockerfw beside ufw, firewalld and fail2ban: every operation in both orders, and walks by chance.

scripts/firewalls                       all of it, on this machine's kernel, in namespaces
scripts/firewalls --record              and record it, with the tables of docs/firewalls.md
scripts/firewalls --only ufw --seeds 7 --steps 40 --jobs 1
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial

import django

from tests.firewalls.neighbours import NEIGHBOURS, PACKAGES, SUITE
from tests.rig.trees import tree

Done = tuple[str, list[dict[str, object]]]


def main() -> int:
    """Run what was asked for; status 0 when dockerfw was never wrong."""
    options = _arguments()
    names = options.only or list(NEIGHBOURS)
    # Built once, before several ask for it.
    tree(SUITE, PACKAGES)
    wrong = 0
    with tempfile.TemporaryDirectory() as data, ProcessPoolExecutor(options.jobs) as pool:
        os.environ["DOCKERFW_DATA_DIR"] = data
        _prepare()
        work = [] if options.walks_only else [partial(tour_of, name) for name in names]
        work += [partial(walk_of, name, seed, options.steps) for seed in options.seeds for name in names]
        futures: list[Future[Done]] = [pool.submit(each) for each in work]
        for future in as_completed(futures):
            kind, found = future.result()
            for each in found:
                _print(kind, each)
                wrong += len(each["wrong"])  # type: ignore[arg-type]
            if options.record:
                _record(kind, found)
    print(f"{'never' if not wrong else f'{wrong} times'} wrong")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/firewalls", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(NEIGHBOURS), help="one of them, not all")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1], help="a walk by chance for each")
    parser.add_argument("--steps", type=int, default=10, help="how long a walk is")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--walks-only", action="store_true", help="leave the operations in order out")
    parser.add_argument("--record", action="store_true", help="keep what was seen, and render the page anew")
    return parser.parse_args()


def tour_of(name: str) -> Done:
    """Take one neighbour's day, in a process of its own."""
    _prepare()
    from dataclasses import asdict

    from tests.firewalls.tour import tour

    return "rows", [asdict(row) for row in tour(name)]


def walk_of(name: str, seed: int, steps: int) -> Done:
    """Take one walk, in a process of its own."""
    _prepare()
    from dataclasses import asdict

    from tests.firewalls.tour import walk

    return "walks", [asdict(walk(name, seed, steps))]


def _prepare() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
    django.setup()
    from dockerfw.agent import drift_monitor

    drift_monitor.SETTLE_SECONDS = 0.0


def _record(kind: str, found: list[dict[str, object]]) -> None:
    from tests.firewalls.record import record

    record(kind, found, _versions())


def _versions() -> dict[str, str]:
    def first(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]

    return {
        "Docker": first("dockerd", "--version").split()[2].rstrip(","),
        "iptables": first("iptables-nft", "--version").split()[1].lstrip("v"),
        "Linux": platform.release().partition("-")[0],
    }


def _print(kind: str, each: dict[str, object]) -> None:
    what = each["operation"] if kind == "rows" else f"seed {each['seed']}, {len(each['steps'])} steps"  # type: ignore[arg-type]
    print(f"{each['neighbour']}: {what}: lost {each['lost'] or 'nothing'}", flush=True)
    for words in each["wrong"]:  # type: ignore[attr-defined]
        print(f"  WRONG {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

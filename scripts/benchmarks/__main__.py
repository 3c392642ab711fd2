"""`python -m scripts.benchmarks [--json] [--most SIZE] [PART…]`: run the named measurements, or all."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final, NoReturn

from scripts.benchmarks.loading import measure_lists, measure_sets, measure_small
from scripts.benchmarks.looking import measure_look
from scripts.benchmarks.measure import ALL_SIZES, Measure, Row, print_rows
from scripts.benchmarks.packets import measure_packets
from scripts.benchmarks.pure import measure_parse, measure_plan
from scripts.benchmarks.refused import measure_refused
from scripts.benchmarks.samples import measure_samples
from scripts.benchmarks.tracing import measure_trace
from scripts.benchmarks.whole import RUNNING, measure_running
from tests.rig.namespace import why_unavailable

PURE: Final[Mapping[str, Measure]] = {
    "parse": measure_parse,
    "plan": measure_plan,
    "trace": measure_trace,
    "look": measure_look,
    "small": measure_small,
    "sets": measure_sets,
    "lists": measure_lists,
    "packets": measure_packets,
    "refused": measure_refused,
    "samples": measure_samples,
}
NEEDS_ROOT: Final = frozenset({"look", "small", "sets", "lists", "packets", "refused"})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one sentence what is wrong, and leave with status 2."""
        self.exit(2, f"scripts/bench: {message}.\n")


def main() -> int:
    """Run the parts in a fixed order; memory is measured last."""
    parser = _Parser(prog="scripts/bench", description="Measure dockerfw beside its peers.")
    names = [*PURE, *RUNNING]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {', '.join(names)} (all)")
    parser.add_argument("--json", action="store_true", help="print one JSON list of all figures")
    parser.add_argument(
        "--most", type=_size, default=ALL_SIZES, metavar="SIZE", help="leave out larger sizes"
    )
    options = parser.parse_args()
    chosen = options.parts or names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}, only {', '.join(names)}")
    reason = why_unavailable()
    if not reason and os.geteuid() != 0 and NEEDS_ROOT & set(chosen):
        reason = f"only root can join namespaces, which {', '.join(sorted(NEEDS_ROOT & set(chosen)))} needs"
    if reason:
        print(f"scripts/bench needs network namespaces: {reason}", file=sys.stderr)
        return 1
    measure(chosen, options.most, as_json=options.json)
    return 0


def measure(chosen: list[str], most: int, *, as_json: bool) -> None:
    """Measure the chosen parts, and print each table when it is done, or all figures as JSON at the end."""
    found: list[Row] = []

    def take(part: str, rows: list[Row]) -> None:
        found.extend(rows)
        if rows and not as_json:
            print_rows(part, rows)

    if not as_json:
        print(f"Python {platform.python_version()}, Linux {platform.release()}")
    for part, measure_part in PURE.items():
        if part in chosen:
            take(part, measure_part(most))
    running = [part for part in RUNNING if part in chosen]
    if running:
        measure_running(running, most, take)
    if as_json:
        print(json.dumps([asdict(row) for row in found], indent=1))


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rules")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

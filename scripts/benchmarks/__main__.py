"""`python -m scripts.benchmarks [--json] [--write] [--most SIZE] [PART…]`: run the named measurements.

Without names it runs those that have rows on the page about performance, and prints its tables in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final, NoReturn

from scripts.benchmarks.loading import measure_lists, measure_sets, measure_small
from scripts.benchmarks.looking import measure_look
from scripts.benchmarks.measure import (
    ALL_SIZES,
    DOCUMENTED,
    Measure,
    Row,
    fill_tables,
    print_rows,
    show_tables,
)
from scripts.benchmarks.packets import measure_packets
from scripts.benchmarks.pure import measure_parse, measure_plan
from scripts.benchmarks.refused import measure_refused
from scripts.benchmarks.samples import measure_samples
from scripts.benchmarks.tracing import measure_trace
from scripts.benchmarks.whole import RUNNING
from tests.rig.namespace import why_unavailable

PARTS: Final[Mapping[str, Measure]] = {
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
    **RUNNING,
}
# No row of the page's table is theirs.
ON_DEMAND: Final = frozenset({"small", "sets", "lists", "refused", "samples"})
NEEDS_ROOT: Final = frozenset({"look", "small", "sets", "lists", "packets", "refused"})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one sentence what is wrong, and leave with status 2."""
        self.exit(2, f"scripts/bench: {message}.\n")


def main() -> int:
    """Run the parts in a fixed order."""
    parser = _Parser(prog="scripts/bench", description="Measure dockerfw beside its peers.")
    names = list(PARTS)
    usual = [name for name in names if name not in ON_DEMAND]
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"any of: {', '.join(names)} ({', '.join(usual)})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list of all figures")
    parser.add_argument(
        "--write", action="store_true", help="put the figures into the tables of docs/performance.md"
    )
    parser.add_argument(
        "--most", type=_size, default=ALL_SIZES, metavar="SIZE", help="leave out larger sizes"
    )
    options = parser.parse_args()
    chosen = options.parts or usual
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}, only {', '.join(names)}")
    if reason := why_unavailable():
        print(f"scripts/bench needs network namespaces: {reason}", file=sys.stderr)
        return 1
    rows = measure(chosen, options.most, as_json=options.json)
    page = fill_tables(DOCUMENTED.read_text(), rows, keep=bool(options.parts) or options.most < ALL_SIZES)
    if options.write:
        DOCUMENTED.write_text(page)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    elif not options.parts:
        print(f"\nThe tables of docs/performance.md with the figures of this run\n\n{show_tables(page)}")
        print_rows("failed", [row for row in rows if row.error])
    return 1 if any(row.error for row in rows) else 0


def measure(chosen: list[str], most: int, *, as_json: bool) -> list[Row]:
    """Measure the chosen parts, and print the table of each when it is done, unless JSON is wanted."""
    found: list[Row] = []
    if not as_json:
        print(f"Python {platform.python_version()}, Linux {platform.release()}")
    for part, measure_part in PARTS.items():
        if part in chosen:
            rows = list(_rows(part, measure_part, most))
            found += rows
            if rows and not as_json:
                print_rows(part, rows)
    return found


def _rows(part: str, measure_part: Measure, most: int) -> Iterator[Row]:
    """Yield the figures of a part and tell of each; what fails is one more row, and ends this part alone."""
    began = time.monotonic()
    try:
        if part in NEEDS_ROOT and os.geteuid() != 0:
            raise PermissionError("only root can join namespaces")
        for row in measure_part(most):
            seconds = time.monotonic() - began
            print(f"{part}, {seconds:.0f} s: {row.what}, {row.size:,}: {row.cells()[3]}", file=sys.stderr)
            yield row
    except Exception as error:  # noqa: BLE001 - other parts can be measured all the same
        traceback.print_exc()
        yield Row(part, 0, None, "", error=f"{type(error).__name__}: {error}"[:200])


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rules")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

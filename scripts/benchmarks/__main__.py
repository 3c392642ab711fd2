"""`python -m scripts.benchmarks [PART…]`: run the measurements that were named, or all."""

from __future__ import annotations

import argparse
import platform
import sys

from scripts.benchmarks.pure import measure_parse, measure_plan
from scripts.benchmarks.running import measure_apply, measure_memory, measure_pages, measure_running
from scripts.benchmarks.tracing import measure_trace
from tests.rig.namespace import why_unavailable

PURE = {"parse": measure_parse, "plan": measure_plan, "trace": measure_trace}
RUNNING = {"pages": measure_pages, "apply": measure_apply, "memory": measure_memory}


def main() -> int:
    """Run the parts in a fixed order; memory is measured last."""
    names = [*PURE, *RUNNING]
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure dockerfw beside its peers.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {', '.join(names)} (all)")
    chosen = parser.parse_args().parts or names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(names)}")
    reason = why_unavailable()
    if reason:
        print(f"scripts/bench needs a network namespace: {reason}", file=sys.stderr)
        return 1
    print(f"Python {platform.python_version()}, Linux {platform.release()}")
    for name, part in PURE.items():
        if name in chosen:
            part()
    running = [part for name, part in RUNNING.items() if name in chosen]
    if running:
        measure_running(running)
    return 0


if __name__ == "__main__":
    sys.exit(main())

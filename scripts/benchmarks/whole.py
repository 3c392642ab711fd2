"""The measurements that share one running stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from scripts.benchmarks.applies import measure_apply
from scripts.benchmarks.first import measure_first
from scripts.benchmarks.long import measure_audit, measure_history
from scripts.benchmarks.measure import Row
from scripts.benchmarks.memory import measure_memory
from scripts.benchmarks.pages import measure_pages
from scripts.benchmarks.running import Site
from scripts.benchmarks.weights import measure_weights

RUNNING: Final[Mapping[str, Callable[[Site, int], list[Row]]]] = {
    "pages": measure_pages,
    "weights": measure_weights,
    "first": measure_first,
    "apply": measure_apply,
    "memory": measure_memory,
    "history": measure_history,
    "audit": measure_audit,
}


def measure_running(parts: Iterable[str], most: int, take: Callable[[str, list[Row]], None]) -> None:
    """Start the stack once for all of these parts, and hand over the figures of each when it is done."""
    site = Site()
    try:
        for part in parts:
            take(part, RUNNING[part](site, most))
    finally:
        site.stack.delete()

"""The measurements that need a running stack. Each starts one of its own, so that none changes the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from scripts.benchmarks.applies import measure_apply
from scripts.benchmarks.first import measure_first
from scripts.benchmarks.long import measure_audit, measure_history
from scripts.benchmarks.measure import Measure, Row
from scripts.benchmarks.memory import measure_memory
from scripts.benchmarks.pages import measure_pages
from scripts.benchmarks.running import Site
from scripts.benchmarks.weights import measure_foreign, measure_weights


def _measure(part: Callable[[Site, int], Iterable[Row]], most: int) -> Iterator[Row]:
    site = Site()
    try:
        yield from part(site, most)
    finally:
        site.stack.delete()


RUNNING: Final[Mapping[str, Measure]] = {
    "pages": partial(_measure, measure_pages),
    "weights": partial(_measure, measure_weights),
    "foreign": partial(_measure, measure_foreign),
    "first": partial(_measure, measure_first),
    "apply": partial(_measure, measure_apply),
    "memory": partial(_measure, measure_memory),
    "history": partial(_measure, measure_history),
    "audit": partial(_measure, measure_audit),
}

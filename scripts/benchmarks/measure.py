"""Time calls, and print figures beside their floors as a table or as JSON."""

from __future__ import annotations

import functools
import gc
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Measure = Callable[[int], "list[Row]"]
"""A measurement. It takes the largest size to measure, and returns its figures."""

ALL_SIZES = sys.maxsize
DOCUMENTED: Final = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
HEADS: Final = ("what", "size", "before", "now", "floor", "ratio", "growth", "aim")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of `size` rules, allowances, networks or ports.

    `floor` is the figure of a peer in the same run, in the same unit. `ratio` is the figure by its floor, or
    the median of such ratios where the two were measured in pairs.
    """

    what: str
    size: int
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    aim: str | None = None

    def cells(self, before: str = "", growth: float | None = None) -> tuple[str, ...]:
        """Return the row as a table shows it."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        now, floor = (
            "" if value is None else f"{_number(value)} {self.unit}".rstrip()
            for value in (self.value, self.floor)
        )
        grown = "" if growth is None else f"{growth:.2f}"
        return self.what, f"{self.size:,}", before, now, floor, ratio, grown, self.aim or ""


def milliseconds(
    what: str,
    size: int,
    seconds: float,
    floor: float | None = None,
    *,
    aim: str | None = None,
    ratio: float = 0,
) -> Row:
    """Return the row of a time; the ratio is that of the two times if none is given."""
    if floor is None:
        return Row(what, size, seconds * 1000, "ms", aim=aim)
    return Row(what, size, seconds * 1000, "ms", floor * 1000, ratio or seconds / floor, aim)


def forget_results() -> None:
    """Empty what functions of the engine remember, as in a process that was never asked."""
    for each in gc.get_objects():
        # (isinstance asks lazy objects, which then make what they stand for.)
        if type(each) is functools._lru_cache_wrapper and each.__module__.startswith("dockerfw."):
            each.cache_clear()
    gc.collect()


def up_to(most: int, sizes: Iterable[int]) -> list[int]:
    """Return the sizes that are to be measured."""
    return [size for size in sizes if size <= most]


def best_of(
    calls: Sequence[Callable[[], object]], *, rounds: int, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Return the best time of each call in seconds, of the processor unless `clock` is another.

    The calls take turns, so that a busy moment hits all.
    """
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            gc.collect()
            began = clock()
            call()
            best[index] = min(best[index], clock() - began)
    return best


def in_turn(calls: Sequence[Callable[[], float]], *, rounds: int) -> list[tuple[float, ...]]:
    """Return what the calls measured in each round.

    They take turns, forwards and then backwards, so that a busy moment hits all and a slow change none more.
    """
    found = []
    for number in range(rounds):
        order = range(len(calls))[:: -1 if number % 2 else 1]
        measured = {index: calls[index]() for index in order}
        found.append(tuple(measured[index] for index in range(len(calls))))
    return found


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def medians(rounds: Iterable[Sequence[float]]) -> list[float]:
    """Return the median of each call of `in_turn`."""
    return [median(column) for column in zip(*rounds, strict=True)]


def paired_ratio(rounds: Iterable[Sequence[float]], one: int, other: int) -> float:
    """Return the median of the ratios of two calls of `in_turn`, each ratio being of one round."""
    return median(values[one] / values[other] for values in rounds)


def exponent(costs: Mapping[int, float]) -> float:
    """Return the exponent of a power law through the first size above 0 and the last."""
    first, last = min(size for size in costs if size), max(costs)
    return math.log(costs[last] / costs[first]) / math.log(last / first)


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a Markdown table, with the growth exponent from the smallest size to the largest."""
    before = _read_documented(DOCUMENTED.read_text())
    costs: dict[str, dict[int, float]] = {}
    for row in rows:
        costs.setdefault(row.what, {})[row.size] = row.value
    shown = [HEADS, ("---",) * len(HEADS)]
    for row in rows:
        found = {size: cost for size, cost in costs[row.what].items() if size and cost > 0}
        grown = exponent(found) if len(found) > 1 and row.size == max(found) else None
        shown.append(row.cells(before.get((row.what, f"{row.size:,}"), ""), grown))
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    print(f"\n{title}, load {os.getloadavg()[0]:.1f}\n")
    for what, *others in shown:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print(f"| {' | '.join([what.ljust(widths[0]), *cells])} |", flush=True)


def _read_documented(text: str) -> Mapping[tuple[str, str], str]:
    """Return the column "before" of the tables in a page that have the columns of `print_rows`."""
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()]
    return {(row[0], row[1]): row[2] for row in rows if len(row) == len(HEADS)}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"

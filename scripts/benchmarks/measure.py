"""Time calls, and print figures beside their floors as a table or as JSON."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Measure = Callable[[int], "list[Row]"]
"""A measurement. It takes the largest size to measure, and returns its figures."""

_HEADS = ("", "size", "figure", "floor", "ratio", "aim")
ALL_SIZES = sys.maxsize


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
    aim: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the row as a table shows it."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        figures = [
            "" if value is None else f"{_number(value)} {self.unit}".rstrip()
            for value in (self.value, self.floor)
        ]
        return self.what, f"{self.size:,}", *figures, ratio, self.aim


def milliseconds(
    what: str, size: int, seconds: float, floor: float | None = None, *, aim: str = "", ratio: float = 0
) -> Row:
    """Return the row of a time; the ratio is that of the two times if none is given."""
    if floor is None:
        return Row(what, size, seconds * 1000, "ms", aim=aim)
    return Row(what, size, seconds * 1000, "ms", floor * 1000, ratio or seconds / floor, aim)


def up_to(most: int, sizes: Iterable[int]) -> list[int]:
    """Return the sizes that are to be measured."""
    return [size for size in sizes if size <= most]


def best_of(calls: Sequence[Callable[[], object]], *, rounds: int) -> list[float]:
    """Return the best time of each call in seconds, the calls taking turns so that a busy moment hits all."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            gc.collect()
            began = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - began)
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


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print rows in columns, the first to the left and the others to the right."""
    shown = [_HEADS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    print(f"\n{title}")
    for cells in shown:
        first, *others = zip(cells, widths, strict=True)
        print(
            "  "
            + "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"

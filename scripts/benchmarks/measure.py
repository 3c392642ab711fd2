"""Time calls, and print figures beside their floors as a table or as JSON."""

from __future__ import annotations

import functools
import gc
import math
import os
import re
import resource
import statistics
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Measure = Callable[[int], "Iterable[Row]"]
"""A measurement. It takes the largest size to measure, and returns or yields its figures."""

ALL_SIZES = sys.maxsize
_Cells = tuple[str, ...]
DOCUMENTED: Final = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
HEADS: Final = ("what", "size", "before", "now", "floor", "ratio", "growth", "aim", "result")
# The rest of an error is in JSON, and all of it on stderr.
LONGEST_ERROR: Final = 80
_AIM: Final = re.compile(r"(at most|under|at least)? ?([\d,.]+) ?(.*)")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of `size` rules, allowances, networks or ports.

    `floor` is the figure of a peer in the same run, in the same unit. `ratio` is the figure by its floor, or
    the median of such ratios where the two were measured in pairs. What failed has an `error` and no value.
    """

    what: str
    size: int
    value: float | None
    unit: str
    floor: float | None = None
    ratio: float | None = None
    aim: str | None = None
    error: str | None = None

    @property
    def result(self) -> str:
        """Return "met" or "missed", "failed" without a figure, and "" without an aim in figures."""
        if self.error is not None:
            return "failed"
        found = _AIM.fullmatch(self.aim or "")
        if found is None:
            return ""
        value = self.ratio if found[3] == "x" else self.value if found[3] == self.unit else None
        if value is None:
            return ""
        wanted = float(found[2].replace(",", ""))
        met = {"at least": value >= wanted, "under": value < wanted}.get(found[1], value <= wanted)
        return "met" if met else "missed"

    def cells(self, before: str = "", growth: float | None = None) -> _Cells:
        """Return the row as a table shows it."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        now, floor = (
            "" if value is None else f"{_number(value)} {self.unit}".rstrip().replace(" /", "/")
            for value in (self.value, self.floor)
        )
        grown = "" if growth is None else f"{round(growth, 2) + 0:.2f}"
        now = now if self.error is None else textwrap.shorten(self.error.replace("|", "/"), LONGEST_ERROR)
        return self.what, f"{self.size:,}", before, now, floor, ratio, grown, self.aim or "", self.result


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


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


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

    The calls take turns, so that a busy moment hits all. None finds what the one before remembered.
    """
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            forget_results()
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
    shown = [HEADS, ("---",) * len(HEADS), *_cells(rows, _read_before(DOCUMENTED.read_text()))]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    print(f"\n{title}, load {os.getloadavg()[0]:.1f}\n")
    for what, *others in shown:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print(f"| {' | '.join([what.ljust(widths[0]), *cells])} |", flush=True)


def fill_tables(page: str, rows: Sequence[Row], *, keep: bool) -> str:
    """Put figures into the tables of a page that have the columns of `print_rows`, or one line a page.

    The others become empty, unless `keep` is true. In a table of pages the heads say what and at which size.
    """
    found = {cells[:2]: cells for cells in _cells(rows, _read_before(page))}
    lines: list[str] = []
    heads: _Cells = ("",)
    for line in page.splitlines():
        cells = _split(line)
        if len(heads) != len(cells):
            heads = cells
        elif heads == HEADS and cells[1][:1].isdigit():
            old = cells if keep else (*cells[:3], "", "", "", "", cells[7], "not measured")
            line = _line(found.get(cells[:2], old))
        elif heads[0] == "page" and cells[0] != "---":
            keys = [
                (f"{cells[0]}: {what}", size) for what, _, size in (head.partition(" at ") for head in heads)
            ]
            figures = [
                found[key][3] if key in found else old if keep else ""
                for key, old in zip(keys[1:], cells[1:], strict=True)
            ]
            line = _line((cells[0], *figures))
        lines.append(line)
    return "\n".join([*lines, ""])


def show_tables(page: str) -> str:
    """Return the tables of a page that `fill_tables` fills."""
    tables = [
        part for part in page.split("\n\n") if part.startswith(("| page |", f"| {HEADS[0]} | {HEADS[1]} | "))
    ]
    return "\n\n".join(tables)


def _cells(rows: Sequence[Row], before: Mapping[_Cells, str]) -> list[_Cells]:
    """Return the lines of a table of these rows."""
    costs: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.value and row.value > 0 and row.size:
            costs.setdefault(row.what, {})[row.size] = row.value
    shown = []
    for row in rows:
        found = costs.get(row.what, {})
        grown = exponent(found) if len(found) > 1 and row.size == max(found) else None
        shown.append(row.cells(before.get((row.what, f"{row.size:,}"), ""), grown))
    return shown


def _read_before(page: str) -> dict[_Cells, str]:
    """Return the column "before" of the tables in a page that have the columns of `print_rows`."""
    lines = [_split(line) for line in page.splitlines()]
    return {cells[:2]: cells[2] for cells in lines if len(cells) == len(HEADS)}


def _split(line: str) -> _Cells:
    """Return the cells of a line of a table; a line of text is one cell."""
    return tuple(cell.strip() for cell in line[1:-1].split("|")) if line.startswith("|") else (line,)


def _line(cells: _Cells) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"

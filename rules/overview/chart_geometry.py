"""The geometry of a chart: samples gathered in bins of equal length, and lines and areas as SVG paths.

It reads nothing and knows no colours. What is unknown is a gap: it is never drawn as zero, and no line
crosses it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

Sample = tuple[datetime, float | None]
_Place = tuple[float, float]

_STEPS: Final = (1, 2, 4, 6, 8, 10)
_LARGEST: Final = 1e300


@dataclass(frozen=True, slots=True)
class Bin:
    """A stretch of time with the highest sample in it, None where nothing is known of it."""

    start: datetime
    end: datetime
    value: float | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart in a box of `width` by `height`.

    `line` and `area` are path data with a piece for each stretch that is known, empty without any. `top` is
    the value at the upper edge; zero is the lower one.
    """

    width: int
    height: int
    line: str
    area: str
    top: float

    @property
    def middle(self) -> float:
        """The value at half of the height."""
        return self.top / 2


def gather(samples: Iterable[Sample], since: datetime, until: datetime, seconds: int) -> tuple[Bin, ...]:
    """Return the bins of `seconds` from `since` to `until`, each with its highest sample.

    Bins begin at multiples of their length, so that those of a later call are the same ones. The last bin may
    end after `until`. Samples that are negative or no number are unknown.
    """
    first = math.floor(since.timestamp() / seconds)
    last = math.ceil(until.timestamp() / seconds)
    highest: dict[int, float] = {}
    for moment, value in samples:
        if value is None or not 0 <= value < math.inf:
            continue
        number = math.floor(moment.timestamp() / seconds)
        highest[number] = max(value, highest.get(number, 0.0))
    start = datetime.fromtimestamp(first * seconds, UTC)
    length = timedelta(seconds=seconds)
    return tuple(
        Bin(start + length * index, start + length * (index + 1), highest.get(first + index))
        for index in range(max(0, last - first))
    )


def regather(bins: Sequence[Bin], seconds: int) -> tuple[Bin, ...]:
    """Return longer bins made of these."""
    if not bins:
        return ()
    return gather(((each.start, each.value) for each in bins), bins[0].start, bins[-1].end, seconds)


def draw(bins: Sequence[Bin], width: int, height: int, *, margin: int = 2) -> Drawing:
    """Draw bins, oldest first, from the left to the right edge; `margin` is kept free above and below."""
    top = round_up(max((each.value for each in bins if each.value is not None), default=0.0))
    room = height - 2 * margin
    lines, areas = [], []
    for run in _runs([each.value for each in bins]):
        places = [
            (_across(number, len(bins), width), margin + room - room * min(1.0, value / top))
            for number, value in run
        ]
        if len(places) == 1:
            # A point alone would be invisible. It is drawn as wide as its bin.
            (x, y), half = places[0], width / len(bins) / 2
            places = [(max(0.0, x - half), y), (min(float(width), x + half), y)]
        lines.append(f"M{_path(places)}")
        areas.append(f"M{_number(places[0][0])} {height}L{_path(places)}L{_number(places[-1][0])} {height}Z")
    return Drawing(width, height, "".join(lines), "".join(areas), top)


def round_up(value: float) -> float:
    """Return the round number that ends an axis: the next one of 1, 2, 4, 6, 8, 10 at its power of ten."""
    if value <= 1:
        return 1.0
    value = min(value, _LARGEST)
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)


def _across(number: int, count: int, width: int) -> float:
    return width / 2 if count == 1 else width * number / (count - 1)


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Yield the stretches without a gap, each value with its number."""
    for known, run in groupby(enumerate(values), key=lambda each: each[1] is not None):
        if known:
            yield [(number, value) for number, value in run if value is not None]


def _path(places: Iterable[_Place]) -> str:
    return "L".join(f"{_number(x)} {_number(y)}" for x, y in places)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

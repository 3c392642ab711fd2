"""One figure of a host over time as a page shows it: its bins, its extremes and what is unknown of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.overview.chart_geometry import Bin, Sample, gather, regather

TICKS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over time.

    `name` is that of its series, `title` its heading, `row_seconds` the length of a row in its table, and
    `newest` is the last sample that is known.
    """

    name: str
    title: str
    bins: tuple[Bin, ...]
    row_seconds: int
    newest: tuple[datetime, float] | None = None

    @property
    def known(self) -> tuple[tuple[Bin, float], ...]:
        """The bins of which something is known, with their values."""
        return tuple((each, each.value) for each in self.bins if each.value is not None)

    @property
    def highest(self) -> Bin | None:
        """The first of the highest bins, None where nothing is known."""
        return max((bin for bin, _ in self.known), key=lambda each: each.value or 0.0, default=None)

    @property
    def lowest(self) -> Bin | None:
        """The first of the lowest bins, None where nothing is known."""
        return min((bin for bin, _ in self.known), key=lambda each: each.value or 0.0, default=None)

    @property
    def bin_seconds(self) -> int:
        """The length of a bin."""
        return int((self.bins[0].end - self.bins[0].start).total_seconds()) if self.bins else 0

    @property
    def unknown_seconds(self) -> int:
        """For how long nothing is known, from the first known bin on."""
        first = next((number for number, each in enumerate(self.bins) if each.value is not None), None)
        missing = [] if first is None else [each for each in self.bins[first:] if each.value is None]
        return self.bin_seconds * len(missing)

    @property
    def ticks(self) -> tuple[datetime, ...]:
        """Moments at equal distances from the left to the right edge."""
        if not self.bins:
            return ()
        start, length = self.bins[0].start, self.bins[-1].start - self.bins[0].start
        return tuple(start + length * number / (TICKS - 1) for number in range(TICKS))

    @property
    def length(self) -> timedelta:
        """The time from the left to the right edge."""
        return self.bins[-1].end - self.bins[0].start if self.bins else timedelta()

    @property
    def rows(self) -> tuple[Bin, ...]:
        """The same in fewer, longer bins, for a table: the newest first."""
        return tuple(reversed(regather(self.bins, self.row_seconds)))


def figure_of(
    name: str,
    title: str,
    samples: Iterable[Sample],
    *,
    since: datetime,
    until: datetime,
    bin_seconds: int,
    row_seconds: int,
) -> Figure:
    """Return a figure of the samples between two moments."""
    samples = tuple(samples)
    newest = max(((at, value) for at, value in samples if value is not None), default=None)
    return Figure(name, title, gather(samples, since, until, bin_seconds), row_seconds, newest)

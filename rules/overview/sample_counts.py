"""Divide what lies between two looks at a host among minutes, quarters of an hour and days.

A counter that is lower than before was set back: what it counted in between is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rules.overview.sample_names import DAY, MINUTE, QUARTER, is_count, steps_of

# So far apart two looks may be to tell something about a step. Between others the root worker was silent.
LONGEST: Final[Mapping[int, float]] = {MINUTE: 330.0, QUARTER: 1800.0, DAY: 7200.0}
# Faster than any network card, so such a counter was set by a program.
MOST_A_SECOND: Final = 200_000_000.0


@dataclass(frozen=True, slots=True)
class Interval:
    """The time between two looks, in UTC seconds since 1970."""

    begin: float
    end: float

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return self.end - self.begin

    def parts(self, step: int) -> Iterator[tuple[int, float]]:
        """Yield the begin of each step that it touches, with the seconds of it that lie in that step."""
        at = int(self.begin // step) * step
        while at < self.end:
            yield at, min(self.end, at + step) - max(self.begin, at)
            at += step


@dataclass(frozen=True, slots=True)
class Amount:
    """What a sample holds: the value of a series, and the seconds of its step that are known."""

    value: float
    seconds: float

    def joined_with(self, other: Amount, name: str) -> Amount:
        """Return both together: counts are added up, of other numbers the highest is kept."""
        value = self.value + other.value if is_count(name) else max(self.value, other.value)
        return Amount(value, self.seconds + other.seconds)


SampleKey = tuple[str, int, int]
"""The name of a series, a step, and its begin."""


@dataclass(slots=True)
class Gathered:
    """The samples of one interval."""

    interval: Interval
    samples: dict[SampleKey, Amount] = field(default_factory=dict)

    @property
    def since(self) -> int:
        """The moment from which the samples tell something."""
        told = 0 < self.interval.length <= max(LONGEST.values())
        return int(self.interval.begin if told else self.interval.end)

    def add_count(self, name: str, count: float) -> None:
        """Add what was counted, evenly over the interval, to each step for which that says something."""
        for step in steps_of(name):
            if 0 < self.interval.length <= LONGEST[step]:
                for at, seconds in self.interval.parts(step):
                    share = count * seconds / self.interval.length
                    self.samples[name, step, at] = Amount(share, seconds)

    def add_level(self, name: str, value: float) -> None:
        """Add a number as it was at the end of the interval; after a long one it is known of that alone."""
        for step in steps_of(name):
            last = int(self.interval.end // step) * step
            if 0 < self.interval.length <= LONGEST[step]:
                self.samples |= {
                    (name, step, at): Amount(value, seconds) for at, seconds in self.interval.parts(step)
                }
            self.samples.setdefault((name, step, last), Amount(value, 0.0))


def counted_between(before: int, after: int, seconds: float) -> int | None:
    """Return what a counter counted between two looks, None if it was set in between."""
    counted = after - before
    return counted if 0 <= counted <= MOST_A_SECOND * seconds else None

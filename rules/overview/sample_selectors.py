"""Read what was recorded of a host over time, for charts.

What is not known is None and never 0: before the first sample, while the root worker or the clerk was silent,
and where the rules or their counters changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import F, Max, QuerySet, Sum
from django.utils import timezone

from rules.models import Host, Sample, SampleSeries
from rules.overview.sample_names import (
    DAY,
    KEPT,
    MINUTE,
    QUARTER,
    REFUSED,
    RULE_PREFIX,
    RULES_COUNTED,
    is_count,
    steps_of,
    unit_of,
)

MOST_POINTS: Final = 300

# The steps that are shown, each with the recorded step that it is added up from.
_SHOWN: Final[tuple[tuple[int, int], ...]] = (
    (MINUTE, MINUTE),
    (5 * MINUTE, MINUTE),
    (QUARTER, QUARTER),
    (4 * QUARTER, QUARTER),
    (24 * QUARTER, QUARTER),
    (DAY, DAY),
    (7 * DAY, DAY),
)

Point = tuple[datetime, float | None]
_Row = tuple[int, int, float, float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """The points of a series, one every `step` seconds, each with the begin of its step.

    Counts are a rate by minute. Of numbers that go up and down a point is the highest one.
    """

    name: str
    unit: str
    step: int
    points: tuple[Point, ...]

    @property
    def is_known(self) -> bool:
        """Return True if at least one point is known."""
        return any(value is not None for _, value in self.points)

    @property
    def most(self) -> float | None:
        """The highest point, None while none is known."""
        return max((value for _, value in self.points if value is not None), default=None)


def series(host: Host, name: str, *, since: datetime, until: datetime) -> Series:
    """Return a series between two moments with at most 300 points, by two queries.

    Names are those of sample_names.py, `set:NAME` and `rule:ID`. Raises KeyError for another one.
    """
    unit = unit_of(name)
    shown, recorded = _choose_step(name, since, until)
    begin, end = _span(shown, since, until)
    found = _read(host, name, (shown, recorded), begin, end)
    return Series(name, unit, shown, _points(found, shown, begin, end))


def series_of(host: Host, names: Iterable[str], *, since: datetime, until: datetime) -> Mapping[str, Series]:
    """Return several series that are recorded each minute, by the two queries that one takes.

    Raises KeyError for an unknown name.
    """
    units = {name: unit_of(name) for name in names}
    shown, recorded = _choose_step(REFUSED, since, until)
    begin, end = _span(shown, since, until)
    known = {each.pk: each.name for each in SampleSeries.objects.filter(host=host, name__in=units)}
    found: dict[str, dict[int, float | None]] = {name: {} for name in units}
    for key, at, total, seconds, peak in _rows(known, (shown, recorded), begin, end):
        found[known[key]][at] = _value(known[key], total, seconds, peak)
    return {
        name: Series(name, unit, shown, _points(found[name], shown, begin, end))
        for name, unit in units.items()
    }


def latest(host: Host, name: str) -> Point | None:
    """Return the newest point of a series, None unless it is current. It takes one query.

    Raises KeyError for an unknown name.
    """
    unit_of(name)
    step = steps_of(name)[0]
    newest = Sample.objects.filter(series__host=host, series__name=name, step=step).order_by("-at").first()
    if newest is None:
        return None
    at = datetime.fromtimestamp(newest.at, UTC)
    if timezone.now() - at > timedelta(seconds=2 * step + 5 * MINUTE):
        return None
    return at, _value(name, newest.value, newest.seconds, newest.value)


def _choose_step(name: str, since: datetime, until: datetime) -> tuple[int, int]:
    """Return the step to show, and the recorded one below it, which is still kept for that time."""
    now, length = timezone.now(), (until - since).total_seconds()
    for shown, recorded in _SHOWN:
        # A page may have asked for the time that is kept a moment ago.
        kept = recorded == DAY or since >= now - KEPT[recorded] - timedelta(minutes=5)
        if recorded in steps_of(name) and kept and length <= (MOST_POINTS - 1) * shown:
            return shown, recorded
    return _SHOWN[-1]


def _span(shown: int, since: datetime, until: datetime) -> tuple[int, int]:
    """Return the begin of the first point and the end, in seconds since 1970."""
    end = int(until.timestamp())
    return max(int(since.timestamp()) // shown, end // shown - MOST_POINTS + 1) * shown, end


def _points(found: Mapping[int, float | None], shown: int, begin: int, end: int) -> tuple[Point, ...]:
    return tuple((datetime.fromtimestamp(at, UTC), found.get(at)) for at in range(begin, end, shown))


def _rows(keys: Iterable[int], steps: tuple[int, int], begin: int, end: int) -> QuerySet[Sample, _Row]:
    """Return the series, the begin, sum, known seconds and highest value of each point."""
    shown, recorded = steps
    return (
        Sample.objects.filter(series__in=list(keys), step=recorded, at__gte=begin, at__lt=end)
        .annotate(point=F("at") - F("at") % shown)
        .values_list("series_id", "point")
        .annotate(total=Sum("value"), known=Sum("seconds"), peak=Max("value"))
    )


def _read(host: Host, name: str, steps: tuple[int, int], begin: int, end: int) -> Mapping[int, float | None]:
    """Return the known points by the begin of their steps."""
    names = (name, RULES_COUNTED) if name.startswith(RULE_PREFIX) else (name,)
    known = {each.name: each for each in SampleSeries.objects.filter(host=host, name__in=names)}
    mine = known.get(name)
    if mine is None:
        return {}
    found: dict[int, float | None] = {}
    counted: dict[int, float] = {}
    for key, at, total, seconds, peak in _rows([each.pk for each in known.values()], steps, begin, end):
        if key == mine.pk:
            found[at] = _value(name, total, seconds, peak)
        else:
            counted[at] = seconds
    if name.startswith(RULE_PREFIX):
        # A sample is stored where a counter moved. The others are 0 where all rules were counted.
        return {at: found.get(at, 0.0) for at in counted if at + steps[0] > mine.since} | found
    return found


def _value(name: str, total: float, seconds: float, peak: float) -> float | None:
    if not is_count(name):
        return peak
    return total * MINUTE / seconds if seconds > 0 else None

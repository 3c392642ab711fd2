"""Read a host's figures over time, for the dashboard's tiles and for the page of charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rules.models import Host
from rules.overview.chart_figures import Figure, figure_of
from rules.overview.sample_names import (
    ACCEPTED,
    CHECKS_FAILING,
    CONNTRACK,
    OPEN_PORTS,
    PENDING,
    REFUSED,
    SESSIONS,
)
from rules.overview.sample_selectors import Series, series_of

TITLES: Final = {
    REFUSED: "Refused packets per minute",
    ACCEPTED: "New connections per minute",
    OPEN_PORTS: "Ports open to the internet",
    CHECKS_FAILING: "Failing checks",
    PENDING: "Pending changes",
    CONNTRACK: "Tracked connections",
    SESSIONS: "Open sessions",
}
# A tile does not call a number current that is older.
CURRENT: Final = timedelta(minutes=10)

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Range:
    """A length of time that charts show, with that of a bin and of a table's row, in seconds."""

    name: str
    words: str
    seconds: int
    bin_seconds: int
    row_seconds: int


RANGES: Final = {
    each.name: each
    for each in (
        Range("1h", "1 h", _HOUR, _MINUTE, 5 * _MINUTE),
        Range("24h", "24 h", _DAY, 15 * _MINUTE, _HOUR),
        Range("7d", "7 days", 7 * _DAY, 2 * _HOUR, 6 * _HOUR),
        Range("60d", "60 days", 60 * _DAY, _DAY, 2 * _DAY),
        Range("3y", "3 years", 3 * 365 * _DAY, 7 * _DAY, 28 * _DAY),
    )
}
DAY: Final = RANGES["24h"]
# The points of a day are five minutes long, so those of its last hour are too.
LAST_HOUR: Final = Range("last-hour", "last hour", _HOUR, 5 * _MINUTE, 5 * _MINUTE)


def figures(host: Host, names: Iterable[str], span: Range, now: datetime) -> tuple[Figure, ...]:
    """Return figures of a host from `span` before now on, by two queries."""
    since, until = _limits(span, now)
    return _draw_up(series_of(host, names, since=since, until=until), span, now)


def figures_of_day(host: Host, names: Iterable[str], now: datetime) -> tuple[Figure, ...]:
    """Return figures of the last 24 hours, by two queries; those of the last hour if nothing is older.

    In 24 hours the first minutes of a new installation would be a dot.
    """
    since, until = _limits(DAY, now)
    found = series_of(host, names, since=since, until=until)
    of_day = _draw_up(found, DAY, now)
    return _draw_up(found, LAST_HOUR, now) if begins_in_last_hour(of_day, now) else of_day


def begins_in_last_hour(found: Iterable[Figure], now: datetime) -> bool:
    """Return True if something is known of these figures, and nothing of the time before the last hour."""
    begins = [each.known[0][0].end for each in found if each.known]
    return bool(begins) and min(begins) > now - timedelta(seconds=_HOUR)


def _limits(span: Range, now: datetime) -> tuple[datetime, datetime]:
    until = now.replace(second=0, microsecond=0)
    return until - timedelta(seconds=span.seconds), until


def _draw_up(found: Mapping[str, Series], span: Range, now: datetime) -> tuple[Figure, ...]:
    since, until = _limits(span, now)
    return tuple(
        figure_of(
            name,
            TITLES[name],
            one.points,
            since=since,
            until=until,
            bin_seconds=span.bin_seconds,
            row_seconds=span.row_seconds,
        )
        for name, one in found.items()
    )

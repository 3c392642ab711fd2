"""What `-m time` asks: dates, times of the day, days of the week and of the month (xt_time.c).

The kernel compares whole seconds of the host's clock in UTC, and both ends of a range belong to it. The
moment is in the state of a packet, so that rules are compiled once for all moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from dockerfw.iptables.matches import Option
from dockerfw.iptables.name_spellings import DAYS
from dockerfw.simulation import sentences
from dockerfw.simulation.conditions import (
    AnyCondition,
    Condition,
    MatchQuestion,
    condition,
    undecided_condition,
)
from dockerfw.simulation.state import PacketState

LAST_MOMENT: Final = 2**31 - 1
"""2038-01-19T03:14:07Z, after which no `-m time` matches: iptables takes no later --datestop."""

_DAY: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_LENGTH: Final = len("2027-01-31T18:00:00")
_CLOCK_LENGTH: Final = len("18:00:00")
_KNOWN: Final = frozenset(
    ("--datestart", "--datestop", "--timestart", "--timestop", "--weekdays", "--monthdays", "--contiguous")
)


def read_time(question: MatchQuestion) -> list[AnyCondition]:
    """Read the options of `-m time`; with --kerneltz it is undecided, because the time zone is not known."""
    named = {option.name: option for option in question.options}
    odd = len(named) != len(question.options) or any(option.negated for option in question.options)
    if odd or not named.keys() <= _KNOWN:
        return [undecided_condition(question)]
    try:
        return list(_conditions(named))
    except (ValueError, OverflowError):
        return [undecided_condition(question)]


@dataclass(frozen=True, slots=True)
class _Daily:
    """The part of a day, in seconds from midnight, both ends included; `contiguous` as in the option."""

    start: int
    stop: int
    contiguous: bool

    def holds(self, at: int) -> bool:
        """Return True if a moment is in the part; equal ends stand for the whole day, as in the kernel."""
        second = at % _DAY
        if self.start < self.stop:
            return self.start <= second <= self.stop
        return second >= self.start or second <= self.stop

    def day_of(self, at: int) -> date:
        """Return the day that counts: the one before, if the times are contiguous and began there."""
        began_before = self.contiguous and self.start >= self.stop and at % _DAY <= self.stop
        return _datetime(at - _DAY if began_before else at).date()


def _conditions(named: Mapping[str, Option]) -> Iterator[AnyCondition]:
    """Yield what the options ask. Raises ValueError for a value that iptables does not print."""
    if "--datestart" in named:
        yield _from(_read_date(named["--datestart"]))
    if "--datestop" in named or "--datestart" not in named:
        yield _until(_read_date(named["--datestop"]) if "--datestop" in named else LAST_MOMENT)
    start, stop = named.get("--timestart"), named.get("--timestop")
    first, last = _read_clock(start) if start else 0, _read_clock(stop) if stop else _DAY - 1
    daily = _Daily(first, last, "--contiguous" in named)
    if start or stop:
        words = sentences.daily_times(_clock_text(first), _clock_text(last))
        yield condition(
            sentences.TIME_OF_DAY,
            words,
            False,
            lambda state: None if state.at is None else daily.holds(state.at),
        )
    if "--weekdays" in named:
        weekdays = frozenset(DAYS.index(name) for name in _read_names(named["--weekdays"]))
        shown = ", ".join(DAYS[day] for day in sorted(weekdays))
        yield condition(
            sentences.DAY_OF_WEEK,
            shown,
            False,
            lambda state: None if state.at is None else daily.day_of(state.at).weekday() in weekdays,
        )
    if "--monthdays" in named:
        days = frozenset(int(name) for name in _read_names(named["--monthdays"]))
        yield condition(
            sentences.DAY_OF_MONTH,
            ", ".join(map(str, sorted(days))),
            False,
            lambda state: None if state.at is None else daily.day_of(state.at).day in days,
        )


def _from(moment: int) -> Condition:
    text = moment_text(moment)

    def decide(state: PacketState) -> bool | None:
        return None if state.at is None else moment <= state.at <= LAST_MOMENT

    return Condition(sentences.time_not_before(text), sentences.time_before(text), decide)


def _until(moment: int) -> Condition:
    text = moment_text(moment)

    def decide(state: PacketState) -> bool | None:
        return None if state.at is None else state.at <= moment

    return Condition(sentences.time_not_after(text), sentences.time_after(text), decide)


def moment_text(moment: int) -> str:
    """Return a moment, in UTC seconds, in words: `2027-01-31 18:00:00 UTC`."""
    return f"{_datetime(moment):%Y-%m-%d %H:%M:%S} UTC"


def seconds_of(text: str) -> int | None:
    """Return the UTC seconds of a time such as `2027-01-31T18:00:00Z`, None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // timedelta(seconds=1)


def _datetime(moment: int) -> datetime:
    return _EPOCH + timedelta(seconds=moment)


def _read_date(option: Option) -> int:
    (text,) = option.values
    if len(text) != _DATE_LENGTH:
        raise ValueError(text)
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def _read_clock(option: Option) -> int:
    (text,) = option.values
    if len(text) != _CLOCK_LENGTH:
        raise ValueError(text)
    clock = time.fromisoformat(text)
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _read_names(option: Option) -> list[str]:
    """Return the days; none are left of a negated list of all days."""
    if not option.values:
        return []
    (text,) = option.values
    return text.split(",")


def _clock_text(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"

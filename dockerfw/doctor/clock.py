"""Check the clocks: the wall clock was not set, no time lies in the future, and Redis has the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown
from dockerfw.messages.orders import AHEAD_SECONDS

# The root worker refuses orders from further in the future than this.
SKEW_SECONDS: Final = 60.0
JUMP_SECONDS: Final = 5.0
SYNC: Final = "timedatectl status; timedatectl set-ntp true"


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """Times in seconds since 1970, None where they are not known.

    `offset` is the wall clock less CLOCK_BOOTTIME now, `began` the same when the root worker started in this
    boot. `event` is the newest time in the database, `file` that of what the root worker wrote. `sequence` is
    the time in the last sequence number that it accepted, 0 without one.
    `command` is the name of the command line.
    """

    now: float
    offset: float
    began: float | None
    event: float | None
    file: float | None
    redis: float | None
    sequence: float | None
    command: str = "dockerfw"


def judge_clock(facts: ClockFacts) -> Iterator[Finding]:
    """Judge all of it."""
    yield _jump(facts)
    yield _future("clock.database", "the newest entry of the database", facts.event, facts.now)
    yield _future("clock.state", "the newest file of the root worker", facts.file, facts.now)
    yield _redis(facts)
    yield _sequence(facts)


def _jump(facts: ClockFacts) -> Finding:
    check = "clock.jump"
    if facts.began is None:
        return unknown(check, "the root worker has not reported since this boot")
    moved = facts.offset - facts.began
    if abs(moved) <= JUMP_SECONDS:
        return ok(check, "The wall clock has not been set since the root worker started.")
    way = "forward" if moved > 0 else "back"
    text = f"The wall clock was set {way} by {_span(abs(moved))} since the root worker started."
    return note(check, f"{text} Deadlines are not affected, but times on the pages are.", SYNC)


def _future(check: str, what: str, at: float | None, now: float) -> Finding:
    if at is None:
        return unknown(check, f"the time of {what} is not known")
    ahead = at - now
    if ahead > SKEW_SECONDS:
        text = f"{what[0].upper()}{what[1:]} is {_span(ahead)} ahead of the clock: the clock was set back."
        return problem(check, f"{text} The root worker may refuse orders as too old or too new.", SYNC)
    return ok(check, f"{what[0].upper()}{what[1:]} is not in the future.")


def _redis(facts: ClockFacts) -> Finding:
    check = "clock.redis"
    if facts.redis is None:
        return unknown(check, "the time of Redis is not known")
    apart = abs(facts.redis - facts.now)
    if apart > SKEW_SECONDS:
        text = f"The clock of Redis differs from this host's by {_span(apart)}."
        return problem(check, f"{text} The root worker refuses orders when the clocks disagree.", SYNC)
    return ok(check, "Redis and this host have the same time.")


def _sequence(facts: ClockFacts) -> Finding:
    check = "clock.sequence"
    if facts.sequence is None:
        return unknown(check, "the last sequence number cannot be read")
    ahead = facts.sequence - facts.now
    if ahead > AHEAD_SECONDS:
        text = f"The last accepted sequence number is {_span(ahead)} ahead of the clock."
        return problem(
            check, f"{text} The root worker refuses every order.", f"{facts.command} reset-sequence"
        )
    return ok(check, "The last accepted sequence number is not ahead of the clock.")


def _span(seconds: float) -> str:
    if seconds < 180:
        return f"{seconds:.0f} seconds"
    if seconds < 3 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 3 * 86_400 else f"{seconds / 86_400:.0f} days"

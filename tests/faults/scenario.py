"""One fault, from the order to the proof that nothing was lost.

A scenario is drawn at random: what breaks, at which point, how the window shall end. `play` breaks it and
then looks: the kernel holds exactly the old or exactly the new rules, in both families, within five seconds
of the deadline; what is foreign is untouched; the boot files are one complete confirmed set; and the last
word reaches the clerk once, with nobody doing anything about it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from rules.host.bootfiles import MODES
from rules.host.clock import boottime
from rules.host.records import WindowRecord
from tests.faults.docker_noise import DockerNoise
from tests.faults.rig import Rig
from tests.kernel.namespace import end_process

LATE_SECONDS = 5.0
LOADING = (
    "after-lock",
    "after-validate",
    "after-snapshot",
    "after-rehearse",
    "window-written",
    "watchdog-armed",
    "after-watchdog",
    "loaded-ipv4",
    "after-load-ipv4",
    "loaded-ipv6",
    "after-load-ipv6",
    "after-read-back",
    "report-settled",
    "after-report",
)
KEEPING = ("answer-begin", "answer-begun", "keep-begin", "keep-written", "keep-switch", "keep-switched")
GOING_BACK = ("rollback-begin", "rollback-ipv4", "rollback-ipv6", "rollback-loaded")
ENDING = ("end-settled", "end-closed")
POINTS = {
    "keep": (*LOADING, *KEEPING, *ENDING),
    "rollback": (*LOADING, "answer-begin", *GOING_BACK, *ENDING),
    "silence": (*LOADING, "watchdog-due", *GOING_BACK, *ENDING),
    "extend": (*LOADING, "answer-begin", "extend-written", *GOING_BACK, *ENDING),
}
VICTIMS = (
    ("job",),
    ("worker",),
    ("watchdog",),
    ("here",),
    ("job", "worker"),
    ("job", "watchdog"),
    ("worker", "watchdog"),
    ("job", "worker", "watchdog"),
)
BREAKS = ("fails", "killed", "hangs", "late-fails", "late-killed", "late-hangs")
FAMILY = ("IPv4", "IPv6")
NOISE = 0.4
KINDS = {
    "kill": 10,
    "disk full": 3,
    "read-only": 3,
    "redis": 4,
    "restore": 6,
    "orphan": 2,
    "stop": 2,
    "twins": 1,
    "clock": 2,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What breaks (`kind`, and `how`), where, and how the window shall end."""

    kind: str
    how: tuple[str, ...]
    point: str
    ending: str
    noise: bool

    @property
    def row(self) -> str:
        """The row of the table that it counts in."""
        return f"{self.kind} {'+'.join(self.how)}".strip()


class Lost(AssertionError):  # noqa: N818 - it states a fact
    """Something was lost."""


def deal(faults: int, dice: random.Random) -> list[Scenario]:
    """Deal so many scenarios. Kills go through every point with every victim before one comes twice."""
    kills: list[Scenario] = []
    dealt = []
    for _ in range(faults):
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        if kind != "kill":
            dealt.append(_draw(kind, dice))
            continue
        if not kills:
            kills = _every_kill(dice)
        dealt.append(kills.pop())
    return dealt


def _every_kill(dice: random.Random) -> list[Scenario]:
    ends: dict[str, list[str]] = {}
    for ending, points in POINTS.items():
        for point in points:
            ends.setdefault(point, []).append(ending)
    kills = [
        Scenario("kill", how, point, dice.choice(endings), dice.random() < NOISE)
        for point, endings in ends.items()
        for how in VICTIMS
    ]
    dice.shuffle(kills)
    return kills


def _draw(kind: str, dice: random.Random) -> Scenario:
    ending = dice.choices(["keep", "rollback", "silence", "extend"], [4, 3, 4, 1])[0]
    point = dice.choice(POINTS[ending])
    how: tuple[str, ...] = ()
    if kind == "restore":
        point = dice.choice(["after-watchdog", "rollback-begin"])
        if point == "rollback-begin" and ending == "keep":
            ending = "silence"
        how = (dice.choice(BREAKS), dice.choice(FAMILY), "load" if "watch" in point else "way back")
    elif kind == "orphan":
        point = "after-watchdog"
        how = (
            *dice.choice((("job",), ("job", "worker"), ("job", "worker", "watchdog"))),
            dice.choice(FAMILY),
        )
    elif kind == "stop":
        # Before that nothing is loaded, and a job that hangs is the worker's to end, after its time limit.
        point = dice.choice(POINTS[ending][POINTS[ending].index("window-written") :])
        how = (dice.choice(("here", "watchdog")),)
    elif kind == "redis":
        how = (dice.choice(["before", "during", "during", "until after"]),)
    elif kind == "clock":
        how = (dice.choice(["-3600", "3600", "86400"]),)
    return Scenario(kind, how, point, ending, dice.random() < NOISE)


def play(rig: Rig, scenario: Scenario) -> tuple[str, float]:
    """Play it; return the last word, and how many seconds after the deadline the rules were right.

    Raises Lost.
    """
    rig.forget_points()
    before, boot = rig.held(), rig.boot_apply()
    noise = DockerNoise(rig.namespace) if scenario.noise else None
    watched = Watched(rig, scenario, before)
    try:
        with _broken(rig, scenario, watched):
            watched.until_over()
        late = watched.see_that_the_kernel_is_right(noise)
        noise = None
        return watched.see_the_last_word(boot), late
    finally:
        if noise is not None:
            noise.stop()


class Watched:
    """One order and what becomes of it."""

    def __init__(self, rig: Rig, scenario: Scenario, before: dict[Any, list[str]]) -> None:
        self.rig = rig
        self.scenario = scenario
        self.order: dict[str, Any] = {}
        self.last: WindowRecord | None = None
        self._before = before
        self._right: float | None = None
        self._answered = 0.0
        self._began = time.monotonic()
        self._open = True

    def send(self) -> None:
        """Send the order."""
        port = random.Random(self.rig.sequence).randrange(1024, 60000)
        self.order = self.rig.order(str(port), "22")
        self._began = time.monotonic()

    def look(self) -> bool:
        """Answer if it is time to; say whether the apply is over as far as the host is concerned."""
        window = self.rig.window()
        if window is not None and window.apply == self.order["apply"]:
            self.last = window
            if window.phase == "awaiting" and time.monotonic() - self._answered > 2:
                self._answer(window)
            return boottime() > window.deadline + LATE_SECONDS
        if self.last is not None:
            return True
        return bool(self.rig.finals(self.order)) or time.monotonic() - self._began > 45

    def _answer(self, window: WindowRecord) -> None:
        kind, seconds = self.scenario.ending, None
        if kind == "extend" and window.seconds >= 15:
            kind = "rollback"
        elif kind == "extend":
            seconds = 15
        if kind != "silence":
            with contextlib.suppress(RedisError, OSError):
                self.rig.answer(self.order, kind, seconds)
                self._answered = time.monotonic()

    def until(self, point: str) -> int | None:
        """Return who came to the point; None when the apply is over and nobody did."""
        while (pid := self.rig.reached(point)) is None:
            if self.look():
                return None
            time.sleep(0.01)
        return pid

    def until_over(self) -> None:
        """Wait until the window is closed, or five seconds after its deadline."""
        while not self.look():
            # Where nothing can be written the window's file stays, and only the kernel tells.
            if self.last is not None and boottime() > self.last.deadline and self._right is None:
                self._note_if_right()
            time.sleep(0.02)
        if self._right is None:
            self._note_if_right()

    def _note_if_right(self) -> None:
        if self.scenario.noise or self.rig.held() == self._before:
            self._right = boottime()

    def see_that_the_kernel_is_right(self, noise: DockerNoise | None) -> float:
        """See that both families hold the old rules, or both the new; return how late that was seen."""
        if noise is not None:
            noise.stop()
        deadline = self.last.deadline if self.last is not None else boottime()
        end = max(deadline + LATE_SECONDS, boottime() + 0.5)
        while not (right := self.rig.held() == self._before or self._holds_new()) and boottime() < end:
            time.sleep(0.05)
        late = (self._right or boottime()) - deadline
        if not right:
            raise Lost(
                f"{late:.1f} s after the deadline the kernel holds {difference(self.rig, self._before)}"
            )
        return max(0.0, late) if self.last is not None and self.last.phase == "awaiting" else 0.0

    def _holds_new(self) -> bool:
        foreign = {family: foreign_of(lines) for family, lines in self._before.items()}
        now = {family: foreign_of(lines) for family, lines in self.rig.held().items()}
        return now == foreign and self.rig.holds(self.order)

    def see_the_last_word(self, boot: tuple[str, list[str]]) -> str:
        """See that the clerk gets one last word, and that kernel and boot files are as it says; return it."""
        end = time.monotonic() + 40
        while not (finals := self.rig.finals(self.order)) or self.rig.window() is not None:
            self.look()
            if time.monotonic() > end:
                raise Lost(f"no last word ({finals or 'none'}), window {self.rig.window()}")
            time.sleep(0.05)
        if len(finals) > 1:
            raise Lost(f"several last words: {finals}")
        kept = next(iter(finals)).startswith("confirmed")
        if kept and not self._holds_new():
            raise Lost("confirmed, but the kernel does not hold it")
        if not kept and self.rig.held() != self._before:
            raise Lost(f"{finals}, but the kernel holds {difference(self.rig, self._before)}")
        wanted = (self.order["apply"], sorted(MODES)) if kept else boot
        if self.rig.boot_apply() != wanted:
            raise Lost(f"{finals}, but the boot files are {self.rig.boot_apply()}, not {wanted}")
        return next(iter(finals)).split()[0]


def foreign_of(lines: list[str]) -> list[str]:
    """Return what is not dockerfw's; the article's leftovers in the first rules count as dockerfw's."""
    return [line for line in lines if "FILTERS" not in line]


def difference(rig: Rig, before: dict[Any, list[str]]) -> dict[Any, list[str]]:
    """Return the lines in which each family differs from before."""
    return {
        family: sorted(set(lines).symmetric_difference(before[family]))
        for family, lines in rig.held().items()
    }


@contextlib.contextmanager
def _broken(rig: Rig, scenario: Scenario, watched: Watched) -> Iterator[None]:
    """Send the order, break what the scenario says where it says, and mend it in the end."""
    with contextlib.ExitStack() as mending:
        if scenario.kind == "redis" and scenario.how == ("before",):
            # The order is lost with Redis, and is sent again when it is back.
            with contextlib.suppress(RedisError, OSError):
                watched.send()
            rig.redis.stop()
            time.sleep(0.5)
            rig.redis.start()
            watched.send()
        else:
            with rig.halted_at(scenario.point):
                watched.send()
                pid = watched.until(scenario.point)
                if pid is not None:
                    _break(rig, scenario, pid, mending)
            if pid is not None and scenario.kind == "orphan":
                _orphan(rig, scenario, watched)
        yield


def _orphan(rig: Rig, scenario: Scenario, watched: Watched) -> None:
    """Kill those who started a restore that is still going to load its text."""
    while not rig.taken(4 if "IPv4" in scenario.how else 6).exists() and not watched.look():
        time.sleep(0.01)
    rig.kill(*scenario.how)


def _break(rig: Rig, scenario: Scenario, pid: int, mending: contextlib.ExitStack) -> None:
    match scenario.kind:
        case "kill":
            rig.kill(*scenario.how, here=pid)
        case "stop":
            for stopped in rig.watchdogs() if scenario.how == ("watchdog",) else [pid]:
                mending.callback(rig.kill, "here", here=stopped)
                os.kill(stopped, signal.SIGSTOP)
        case "disk full":
            rig.disk.fill()
            mending.callback(rig.disk.heal)
        case "read-only":
            rig.disk.make_read_only()
            mending.callback(rig.disk.heal)
        case "redis":
            rig.redis.stop()
            if scenario.how == ("during",):
                time.sleep(0.3)
                rig.redis.start()
            else:
                mending.callback(rig.redis.start)
        case "orphan":
            rig.control(4 if "IPv4" in scenario.how else 6).write_text("slow")
        case "restore":
            rig.control(4 if "IPv4" in scenario.how else 6).write_text(scenario.how[0])
        case "twins":
            twin = rig.start_worker()
            mending.callback(end_process, twin)
            if twin.wait(20) != 1:
                raise Lost("a second worker served")
        case "clock":
            rig.clock.write_text(scenario.how[0])
            mending.callback(rig.clock.unlink)

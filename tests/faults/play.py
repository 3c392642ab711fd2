"""One fault, from the order to the proof that nothing was lost.

`play` breaks what the scenario says and then checks: the kernel holds exactly the old or exactly the new
rules, in both families, within five seconds of the deadline; other rules are untouched; the boot files are
one complete confirmed set; and the last outcome is recorded once, without any help.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dockerfw.host.clock import boottime
from dockerfw.store.bootfiles import MODES
from dockerfw.store.records import WindowRecord
from tests.faults.docker_noise import DockerNoise
from tests.faults.office import NotSent
from tests.faults.rig import Rig
from tests.faults.scenario import Scenario
from tests.rig.namespace import PATIENCE, end_process

LATE_SECONDS = 5.0
HANGS_SECONDS = 1.5


class Lost(AssertionError):  # noqa: N818 - it states a fact
    """Something was lost."""


@dataclass(frozen=True, slots=True)
class Played:
    """The last outcome, the seconds from the deadline until the rules were right, and whether the fault hit.

    An apply that ends in another way may not reach the checkpoint where the fault waits.
    """

    word: str
    late: float
    broke: bool


def play(rig: Rig, scenario: Scenario) -> Played:
    """Play the scenario. Raises Lost."""
    rig.forget_points()
    before, boot = rig.held(), rig.boot_apply()
    confirmed = rig.books.confirmed() if rig.books is not None else None
    noise = DockerNoise(rig.namespace, rig.backend) if scenario.noise else None
    watched = Watched(rig, scenario, before)
    try:
        with _broken(rig, scenario, watched):
            watched.until_over()
        late = watched.check_kernel(noise)
        noise = None
        word = watched.check_last_outcome(boot)
        watched.check_books(confirmed)
        return Played(word, late, watched.broke)
    finally:
        if noise is not None:
            noise.stop()


class Watched:
    """One order and its outcome."""

    def __init__(self, rig: Rig, scenario: Scenario, before: dict[Any, list[str]]) -> None:
        self.rig = rig
        self.scenario = scenario
        self.order: dict[str, Any] = {}
        self.broke = True
        # The seconds that a process was held at the checkpoint by this test.
        self.halted = 0.0
        self.last: WindowRecord | None = None
        self._before = before
        self._right: float | None = None
        self._answered = 0.0
        self._began = time.monotonic()
        self._open = True

    def send(self) -> None:
        """Send the order."""
        port = random.randrange(1024, 60000)
        self.order = self.rig.office.order(str(port), "22")
        self._began = time.monotonic()

    def look(self) -> bool:
        """Answer if it is time to; return True if the apply is over for the host."""
        window = self.rig.window()
        if window is not None and window.apply == self.order["apply"]:
            self.last = window
            if window.phase == "awaiting" and time.monotonic() - self._answered > 2:
                self._answer(window)
            return boottime() > window.deadline + LATE_SECONDS
        if self.last is not None:
            return True
        return bool(self.rig.office.finals(self.order)) or time.monotonic() - self._began > 45

    def _answer(self, window: WindowRecord) -> None:
        kind, seconds = self.scenario.ending, None
        if kind == "extend" and window.seconds >= 15:
            kind = "rollback"
        elif kind == "extend":
            seconds = 15
        if kind != "silence":
            self.rig.office.answer(self.order, kind, seconds)
            self._answered = time.monotonic()

    def until(self, point: str) -> int | None:
        """Return the process that reached the checkpoint, None if the apply ended without that."""
        while (pid := self.rig.reached(point)) is None:
            if self.look():
                # The last checkpoint comes right after the window is closed.
                time.sleep(0.2)
                return self.rig.reached(point)
            time.sleep(0.01)
        return pid

    def until_over(self) -> None:
        """Wait until the window is closed, or its deadline is over and the rules are right."""
        # Where nothing can be written the window's file stays, and only the kernel tells.
        while self._right is None and not self.look():
            if self.last is not None and boottime() > self.last.deadline:
                self._note_if_right()
            time.sleep(0.02)
        if self._right is None:
            self._note_if_right()

    def _note_if_right(self) -> None:
        # Containers start and stop meanwhile; other rules are compared when that is over.
        part = own_of if self.scenario.noise else list
        now = self.rig.held()
        if all(part(now[family]) == part(lines) for family, lines in self._before.items()):
            self._right = boottime()

    def check_kernel(self, noise: DockerNoise | None) -> float:
        """Check that both families hold the old rules or both the new; return the delay in seconds."""
        if noise is not None:
            noise.stop()
        deadline = self.last.deadline if self.last is not None else boottime()
        end = max(deadline + LATE_SECONDS, boottime() + 0.5)
        while not (right := self.rig.held() == self._before or self._holds_new()) and boottime() < end:
            time.sleep(0.05)
        # If the old rules were never seen, the new ones were kept: nothing had to be restored.
        seen = self._right if right else boottime()
        late = max(0.0, seen - deadline - self.halted) if seen is not None else 0.0
        if not right or late > LATE_SECONDS:
            raise Lost(
                f"{late:.1f} s after the deadline the kernel holds {difference(self.rig, self._before)}"
            )
        return late if self.last is not None and self.last.phase == "awaiting" else 0.0

    def _holds_new(self) -> bool:
        foreign = {family: foreign_of(lines) for family, lines in self._before.items()}
        now = {family: foreign_of(lines) for family, lines in self.rig.held().items()}
        return now == foreign and self.rig.holds(self.order)

    def check_last_outcome(self, boot: tuple[str, list[str]]) -> str:
        """Check that the clerk gets one last outcome, and that kernel and boot files fit it; return it."""
        end = time.monotonic() + 60
        while not (finals := self.rig.office.finals(self.order)) or self.rig.window() is not None:
            self.look()
            if time.monotonic() > end:
                raise Lost(f"no last outcome ({finals or 'none'}), window {self.rig.window()}")
            time.sleep(0.05)
        if len(finals) > 1:
            raise Lost(f"several last outcomes: {finals}")
        kept = next(iter(finals)).startswith("confirmed")
        if kept and not self._holds_new():
            raise Lost("confirmed, but the kernel does not hold it")
        if not kept and self.rig.held() != self._before:
            raise Lost(f"{finals}, but the kernel holds {difference(self.rig, self._before)}")
        wanted = (self.order["apply"], sorted(MODES)) if kept else boot
        if self.rig.boot_apply() != wanted:
            raise Lost(f"{finals}, but the boot files are {self.rig.boot_apply()}, not {wanted}")
        return next(iter(finals)).split()[0]

    def check_books(self, confirmed_before: int | None) -> None:
        """Check that the database fits kernel and boot files, and says it once."""
        if self.rig.books is not None:
            lie = self.rig.books.lie(self.order, confirmed_before, given_up=self.scenario.kind == "clock")
            if lie:
                raise Lost(lie)


def foreign_of(lines: list[str]) -> list[str]:
    """Return the other rules; the article's leftovers in the first rules count as dockerfw's."""
    return [line for line in lines if "FILTERS" not in line]


def own_of(lines: list[str]) -> list[str]:
    """Return dockerfw's rules."""
    return [line for line in lines if "FILTERS" in line]


def difference(rig: Rig, before: dict[Any, list[str]]) -> dict[Any, list[str]]:
    """Return the lines in which each family differs from before."""
    return {
        family: sorted(set(lines).symmetric_difference(before[family]))
        for family, lines in rig.held().items()
    }


@contextlib.contextmanager
def _broken(rig: Rig, scenario: Scenario, watched: Watched) -> Iterator[None]:
    """Send the order, inject the fault at its checkpoint, and repair it at the end."""
    with contextlib.ExitStack() as mending:
        if scenario.kind == "redis" and scenario.how == ("before",):
            # The order is lost with Redis, and is sent again when it is back.
            if rig.books is None:
                watched.send()
            rig.redis.stop()
            if rig.books is not None:
                with contextlib.suppress(NotSent):
                    watched.send()
                    raise Lost("an order was taken without Redis")
            time.sleep(0.5)
            rig.redis.start()
            watched.send()
        elif scenario.kind == "redis hangs" and scenario.how == ("before",):
            rig.redis.hang()
            time.sleep(HANGS_SECONDS)
            rig.redis.go_on()
            watched.send()
        else:
            with rig.halted_at(scenario.point):
                watched.send()
                pid = watched.until(scenario.point)
                watched.broke = pid is not None
                if pid is not None:
                    began = boottime()
                    _break(rig, scenario, pid, mending)
                    watched.halted = boottime() - began
            if pid is not None and scenario.kind == "orphan":
                _orphan(rig, scenario, watched)
        yield


def _orphan(rig: Rig, scenario: Scenario, watched: Watched) -> None:
    """Kill the processes that started a restore which has yet to load its text."""
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
        case "redis hangs":
            rig.redis.hang()
            mending.callback(rig.redis.go_on)
            if scenario.how == ("during",):
                threading.Timer(HANGS_SECONDS, rig.redis.go_on).start()
            elif "watchdog killed" in scenario.how:
                rig.kill("watchdog")
        case "clerk" | "database":
            assert rig.books is not None
            mending.enter_context(rig.books.broken(scenario.how[0]))
        case "orphan":
            rig.control(4 if "IPv4" in scenario.how else 6).write_text("slow")
        case "restore":
            rig.control(4 if "IPv4" in scenario.how else 6).write_text(scenario.how[0])
        case "twins":
            twin = rig.start_worker()
            mending.callback(end_process, twin)
            status = twin.wait(PATIENCE)
            if status != 1:
                raise Lost(f"a second worker was not refused: it ended with status {status}")
        case "clock":
            rig.clock.write_text(scenario.how[0])
            mending.callback(rig.clock.unlink)

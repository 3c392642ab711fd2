"""Faults drawn at random: what breaks, where, on which kind of host, and how the window ends.

`play` injects them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.rig.namespace import Backend

LOADING = (
    "after-lock",
    "after-validate",
    "after-snapshot",
    "sets-created",
    "sets-filled",
    "after-sets",
    "after-rehearse",
    "window-written",
    "after-watchdog",
    "loaded-ipv4",
    "after-load-ipv4",
    "loaded-ipv6",
    "after-load-ipv6",
    "after-read-back",
    "report-settled",
    "after-report",
)
KEEPING = (
    "answer-begin",
    "answer-begun",
    "keep-begin",
    "keep-written",
    "keep-switch",
    "keep-switched",
    "sessions-begin",
    "sessions-ended",
)
GOING_BACK = ("rollback-begin", "rollback-ipv4", "rollback-ipv6", "rollback-loaded")
ENDING = ("end-settled", "end-closed")
POINTS = {
    "keep": (*LOADING, *KEEPING, *ENDING),
    "rollback": (*LOADING, "answer-begin", *GOING_BACK, *ENDING),
    # It leaves the processor to the load first: an answer comes sooner.
    "silence": (*LOADING, "watchdog-armed", "watchdog-due", *GOING_BACK, *ENDING),
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
    "redis hangs": 4,
    "restore": 6,
    "orphan": 2,
    "stop": 2,
    "twins": 1,
    "clock": 2,
}
# What only a host with real books has.
KINDS_OF_BOOKS = {"clerk": 4, "database": 4}
BOOKS = 0.5
HANGS = (("before",), ("during",), ("until after",), ("until after", "watchdog killed"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What breaks (`kind`, and `how`), where, and how the window shall end."""

    kind: str
    how: tuple[str, ...]
    point: str
    ending: str
    noise: bool
    backend: Backend = "nft"
    books: bool = False

    @property
    def row(self) -> str:
        """The row of the table that it counts in."""
        return f"{self.kind} {'+'.join(self.how)}".strip()


def deal(faults: int, dice: random.Random, backends: Sequence[Backend] = ("nft",)) -> list[Scenario]:
    """Deal so many scenarios, those for one kind of host after each other.

    Kills go through every point with every victim before one comes twice.
    """
    kills: list[Scenario] = []
    dealt = []
    for _ in range(faults):
        backend, books = dice.choice(backends), dice.random() < BOOKS
        kinds = {**KINDS, **(KINDS_OF_BOOKS if books else {})}
        kind = dice.choices(list(kinds), list(kinds.values()))[0]
        if kind == "kill" and not kills:
            kills = _every_kill(dice)
        scenario = kills.pop() if kind == "kill" else _draw(kind, dice)
        dealt.append(replace(scenario, backend=backend, books=books))
    return sorted(dealt, key=lambda scenario: (scenario.backend, scenario.books))


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
        how = (dice.choice(BREAKS), dice.choice(FAMILY), "load" if "watch" in point else "roll back")
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
    elif kind == "redis hangs":
        how = dice.choice(HANGS)
        if "watchdog killed" in how:
            # Before the window is open that ends the apply, which "kill" tries.
            point = dice.choice(POINTS[ending][POINTS[ending].index("report-settled") :])
    elif kind == "clerk":
        how = (dice.choice(("killed", "stopped")),)
    elif kind == "database":
        how = (dice.choice(("locked", "full")),)
    elif kind == "clock":
        how = (dice.choice(["-3600", "3600", "86400"]),)
    return Scenario(kind, how, point, ending, dice.random() < NOISE)

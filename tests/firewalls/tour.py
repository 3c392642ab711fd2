"""Another firewall's day beside dockerfw: each operation in both orders, and random walks.

This module has the order of steps and the record of each. world.py checks whether dockerfw's reports are
true.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.firewalls.neighbours import Operation
from tests.firewalls.world import Told, World, world

NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of dockerfw's rules when a neighbour was told to do something after them.

    `lost` are the kinds of differences, `who` whom dockerfw suspects, `beside` what it says of nftables' own
    tables. `back` is what brought the full state back: self-repair, *Restore*, or a restart of
    the engine and then *Restore*; "nothing" was needed where nothing was lost.
    """

    neighbour: str
    version: str
    operation: str
    lost: tuple[str, ...]
    who: tuple[str, ...]
    beside: str
    back: str
    packets: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk by chance: its steps in order, and where dockerfw was wrong."""

    neighbour: str
    seed: int
    steps: tuple[str, ...]
    lost: int
    packets: int
    wrong: tuple[str, ...]


class _Day:
    """Takes steps in a world and gathers what was wrong."""

    def __init__(self, world_: World) -> None:
        self.world = world_
        self.wrong: list[str] = []
        self.packets = 0

    def look(self, after: str) -> Told:
        told = self.world.look()
        self.wrong += [f"after {after}: {each}" for each in told.wrong]
        self.packets += told.packets
        return told

    def foreign(self, after: str, changed: Sequence[str]) -> None:
        self.wrong += [f"{after} changed what is not ours: {line}" for line in changed]

    def suspected(self, operation: Operation, told: Told) -> None:
        owner = self.world.neighbour.owner
        if told.drift.findings and not any(owner in who for who in told.who):
            self.wrong.append(f"after {operation.name}: {owner} is not suspected, but {told.who}")


def tour(name: str, only: Sequence[str] | None = None) -> Iterator[Row]:
    """Take a neighbour through its operations; before each, ours are loaded beside what it left.

    With `only` the others are done too, and not looked at.
    """
    with world(name) as here:
        version = here.neighbour.version
        for operation in here.neighbour.operations():
            if only is not None and operation.name not in only:
                here.neighbour.perform(operation)
                continue
            yield _row(here, name, version, operation)


def _row(here: World, name: str, version: str, operation: Operation) -> Row:
    day = _Day(here)
    day.foreign("our load", here.load(here.revision % 2))
    if lost := day.look("our load").codes:
        day.wrong.append(f"the rules loaded beside it are not active: {sorted(lost)}")
    here.neighbour.perform(operation)
    told = day.look(operation.name)
    day.suspected(operation, told)
    return Row(
        neighbour=name,
        version=version,
        operation=operation.name,
        lost=tuple(sorted(told.codes)),
        who=told.who,
        beside=told.beside,
        back=_back(day, operation, told),
        packets=day.packets,
        wrong=tuple(day.wrong),
    )


def _back(day: _Day, operation: Operation, told: Told) -> str:
    """Bring the full state back by as little as needed, and start the engine anew between; name what did."""
    here = day.world
    lost = told.codes
    back = NOTHING
    if lost:
        healed, changed = here.heal()
        day.foreign("healing", changed)
        lost = day.look(f"{operation.name} and healing").codes
        back = "self-repair" if healed and not lost else ""
    here.restart_engine()
    after = day.look(f"{operation.name} and an engine that was started again").codes
    if after:
        day.foreign("restoring", here.restore())
        if left := day.look("restoring").codes:
            day.wrong.append(f"not restored after {operation.name}: {sorted(left)}")
        restored = "Restore" if lost else "Restore, after a restart of Docker"
        back = f"{back}, then {restored}" if back not in ("", NOTHING) else restored
    elif not back:
        back = "a restart of Docker"
    return back


def walk(name: str, seed: int, steps: int) -> Walk:
    """Take steps of both sides in an order chosen by chance, and hold each against the kernel."""
    chance = random.Random(f"{name} {seed}")
    taken, losses = [], 0
    with world(name) as here:
        day = _Day(here)
        for _ in range(steps):
            step, operation = _step(chance, here)
            taken.append(step)
            if operation is not None:
                here.neighbour.perform(operation)
            elif step == "heal":
                day.foreign(step, here.heal()[1])
            elif step == "engine":
                here.restart_engine()
            elif step == "restore":
                day.foreign(step, here.restore())
            else:
                day.foreign(step, here.load(chance.randrange(2)))
            told = day.look(f"step {len(taken)}, {step}")
            losses += bool(told.codes)
            if step in ("load", "restore") and told.codes:
                day.wrong.append(f"step {len(taken)}, {step}: not active, {sorted(told.codes)}")
    return Walk(name, seed, tuple(taken), losses, day.packets, tuple(day.wrong))


def _step(chance: random.Random, here: World) -> tuple[str, Operation | None]:
    if chance.random() < 0.45:
        return chance.choice(("load", "heal", "restore", "engine")), None
    running = here.neighbour.running
    fitting = [each for each in here.neighbour.operations() if each.needs in (None, running)]
    chosen = chance.choice(fitting)
    return chosen.name, chosen

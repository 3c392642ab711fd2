"""Plays random rulesets: loads one, sends packets through it, and compares each with the simulator.

A difference counts only if it appears every time the packet is sent again.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dockerfw.chains.container_sets import is_container_set
from dockerfw.chains.names import own_sets_named
from dockerfw.chains.render import render, write_restore
from dockerfw.chains.static_sets import StaticSet, creation_text
from dockerfw.document.document import parse_document
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import surroundings_of, with_loaded_sets
from dockerfw.reach.bound_sets import with_bound_sets
from dockerfw.simulation.packet import Packet
from dockerfw.simulation.services import simulate_service
from dockerfw.simulation.simulate import Prepared, prepare, simulate
from dockerfw.simulation.trace import Trace
from tests.differential.aim import aim
from tests.differential.bindings import Bindings, make_bindings
from tests.differential.comparison import compare, is_sent_back, report
from tests.differential.documents import make_document
from tests.differential.evidence import Range, RigError
from tests.differential.packets import blur, make_shot, to_packet
from tests.differential.pools import Dice
from tests.differential.rulesets import make_foreign, make_sets
from tests.differential.sources import answer, edge, service_of
from tests.differential.world import World
from tests.rig.namespace import FAMILIES, Family

PACKETS: Final = 25
"""The number of cases for each ruleset of one family."""

_DATA: Final = Path(__file__).with_name("data")
"""The rules of Docker 28.5 for the same containers; the engine of the world may be older."""

_AGAIN: Final = 2
_SAYS: Final = {"passes": ("ACCEPT",), "refused": ("DROP", "REJECT")}

_DIGESTED: Final = re.compile(r"dockerfw[46]-([abcs])[0-9a-f]{20}")
_SETS: Final = {
    "a": "addresses of containers",
    "b": "a list",
    "c": "ports of containers",
    "s": "static sources",
}

Simulate = Callable[[Prepared, Packet], Trace]


@dataclass(slots=True)
class Tally:
    """The counts of a run."""

    cases: int = 0
    rulesets: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    vague: Counter[str] = field(default_factory=Counter)
    """Verdicts for packets with some fields hidden from the simulator."""
    sources: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    """Rules that counted a packet, by their matches."""
    disagreements: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One family's ruleset in the kernel and in the simulator."""

    title: str
    sets: str
    bindings: Bindings
    range: Range
    prepared: Prepared


def recorded_save(family: Family) -> Path:
    """Return the file with the chains of Docker 28.5, which `tests.differential.record` writes."""
    return _DATA / f"docker-28.v{family}.save"


class Player:
    """Plays in a world; `ask` is the simulator, so that a test can replace it with a wrong one."""

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        ask: Simulate = simulate,
        tally: Tally | None = None,
        write_to: Path | None = None,
    ) -> None:
        """Start, or continue a tally; disagreements are also written to files in `write_to`."""
        self.world = world
        self.seed = seed
        self.tally = tally or Tally()
        self._ask = ask
        self._write_to = write_to
        newer = {family: recorded_save(family).read_text() for family in FAMILIES}
        self._engines = (("own", world.baseline), ("own", world.baseline), ("docker 28", newer))

    def play(self, cases: int, *, first: int = 0, say: Callable[[str], None] = print) -> Tally:
        """Compare `cases` more cases, starting with ruleset number `first`."""
        began = time.monotonic()
        goal = self.tally.cases + cases
        number = first
        while self.tally.cases < goal:
            self._play_ruleset(number, goal, say)
            number += 1
        self.tally.seconds += time.monotonic() - began
        return self.tally

    def _play_ruleset(self, number: int, goal: int, say: Callable[[str], None]) -> None:
        dice = Dice(random.Random(f"{self.seed}-{number}"))
        loaded = self._load(number, dice)
        for each in loaded:
            self.tally.rulesets += 1
            for count in range(min(PACKETS, goal - self.tally.cases)):
                self._case(each, f"{each.title}, packet {count}", dice, say)

    def _load(self, number: int, dice: Dice) -> list[_Loaded]:
        world, sets = self.world, make_sets(dice)
        document = parse_document(make_document(dice))
        bindings = make_bindings(dice, document, world.listening)
        engine, baselines = dice.one(self._engines)
        world.host.run("ipset", "-exist", "restore", stdin=sets)
        static: list[StaticSet] = []
        names: set[str] = set()
        for family in FAMILIES:
            foreign = make_foreign(dice, family, baselines[family])
            world.host.restore(foreign, world.backend, family, noflush=False)
            live = parse_save(world.host.save(world.backend, family))
            rendering = render(document, family, number, live=live, moment=_now())
            bound = bindings.names((rendering,))
            own = (*bound, *(one.name for one in rendering.sets))
            world.load_sets(own, bindings.filling(bound) + creation_text(rendering.sets))
            static += rendering.sets
            names.update(own)
            world.host.restore(write_restore(rendering, family, live=live), world.backend, family)
        world.destroy_sets_except(names)
        with world.host.entered():
            snapshot = observe("differential")
        assert not snapshot.errors, snapshot.errors
        surroundings = with_loaded_sets(surroundings_of(snapshot), static)
        if dice.chance(0.5):
            # As before the load, when the sets of rules by name do not exist yet.
            found = {name: each for name, each in surroundings.sets.items() if not is_container_set(name)}
            external = document.settings.external_interfaces
            surroundings = replace(surroundings, sets=MappingProxyType(found))
            surroundings = with_bound_sets(surroundings, world.listening, external, bindings.definitions)
        return [
            _Loaded(
                f"seed {self.seed}, ruleset {number}, IPv{family}, {world.backend}, {engine}",
                sets,
                bindings,
                Range(world, family),
                prepare(parse_save(snapshot.saves[family]), surroundings, family),
            )
            for family in FAMILIES
        ]

    def _case(self, loaded: _Loaded, title: str, dice: Dice, say: Callable[[str], None]) -> None:
        loaded = replace(loaded, prepared=loaded.prepared.at(int(time.time())))
        shot = make_shot(dice, loaded.range.family)
        if dice.chance(0.6):
            shot = aim(dice, shot, loaded.bindings)
        service = service_of(self.world, shot)
        found = simulate_service(loaded.prepared, service) if service else None
        if found is not None and dice.chance(0.5):
            source = edge(found, dice)
            if source is not None:
                shot = replace(shot, wire=replace(shot.wire, source=source))
        differences: tuple[str, ...] = ()
        for _ in range(1 + _AGAIN):
            # (A rule with a time of day may begin or end between two packets.)
            loaded = replace(loaded, prepared=loaded.prepared.at(int(time.time())))
            trace = self._ask(loaded.prepared, to_packet(self.world, shot))
            try:
                seen = loaded.range.fire(shot)
            except RigError as error:
                if is_sent_back(shot, loaded.range, error.moved):
                    self.tally.skipped["dropped by the bridge it came from"] += 1
                    return
                self._disagree(f"{title}\n\n- {error}\n\n{loaded.range.save}", say)
                return
            comparison = compare(self.world, trace, seen)
            differences = comparison.differences
            if found is not None:
                said = answer(found, shot.wire.source)
                if said != "unknown" and seen.kind not in _SAYS.get(said, ()):
                    differences += (f"by its sources it is {said}, but the kernel's verdict is {seen.kind}",)
            vague = self._ask(loaded.prepared, blur(trace.packet, dice)).verdict.kind
            if vague not in ("UNKNOWN", seen.kind):
                differences += (f"with hidden fields it is {vague}, but the kernel's verdict is {seen.kind}",)
            if not differences:
                break
        self.tally.cases += 1
        if differences:
            whole = replace(comparison, differences=differences)
            self._disagree(report(loaded.range, whole, title=title, sets=loaded.sets), say)
            return
        self.tally.verdicts[comparison.trace.verdict.kind] += 1
        self.tally.vague[vague] += 1
        if comparison.unknown:
            self.tally.unknown[comparison.unknown] += 1
        if found is not None:
            self.tally.sources[said] += 1
        for at in seen.counted:
            rule = loaded.range.rule(at)
            if rule:
                self.tally.hit.update(map(_kind_of_set, own_sets_named(rule.text)))
            self.tally.hit.update({match.module or "plain" for match in rule.matches} if rule else ())
            if rule and rule.target and rule.target.goto:
                self.tally.hit["-g"] += 1

    def _disagree(self, text: str, say: Callable[[str], None]) -> None:
        self.tally.disagreements.append(text)
        say(text.split("\nSETS")[0])
        if self._write_to is not None:
            self._write_to.mkdir(parents=True, exist_ok=True)
            name = "-".join(word.strip(",") for word in text.splitlines()[0].split())
            (self._write_to / f"{name}.txt").write_text(text, errors="surrogateescape")


def _kind_of_set(name: str) -> str:
    """Return what a set of ours holds, in words."""
    found = _DIGESTED.match(name)
    return _SETS[found[1]] if found else "what the host shows"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def table(tally: Tally) -> str:
    """Return the counts as text."""
    lines = [f"{tally.cases} cases in {tally.rulesets} rulesets, {tally.seconds:.0f} s"]
    lines += [f"{len(tally.disagreements)} disagreements"]
    for name, counts in (
        ("verdict", tally.verdicts),
        ("UNKNOWN by", tally.unknown),
        ("with hidden fields", tally.vague),
        ("skipped", tally.skipped),
        ("by its sources", tally.sources),
        ("counted a rule with", tally.hit),
    ):
        lines += [f"{name:20} {key:24} {count:6}" for key, count in sorted(counts.items())]
    return "\n".join(lines)

"""Owns chains in the form in which a walk goes through them.

Conditions are shared between rules. A chain leaves out, by the ports and the destination of the packet, what
cannot match it, and takes many rules in a row that differ in their source alone as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dockerfw.iptables.model import Chain, Family, Rule, Ruleset
from dockerfw.simulation.compiled import CompiledRule, all_hold
from dockerfw.simulation.conditions import Condition, IndexedBy, SourceCondition
from dockerfw.simulation.connections import NO_CONNECTION, original_port
from dockerfw.simulation.reading import Reader, spelt_rule
from dockerfw.simulation.runs import Run, segments
from dockerfw.simulation.state import State
from dockerfw.simulation.surroundings import Surroundings
from dockerfw.simulation.targets import Setting, read_action
from dockerfw.simulation.trace import TraceStep, Verdict

_NOT_WALKED = frozenset({("nat", "INPUT")})
_MOST_REMEMBERED = 256
_MOST_ROWS = 16
_WORTH_JOINING = 16
_FEWEST_IN_RUN = 4


Item = CompiledRule | Run[CompiledRule]


class CompiledChain:
    """A chain; `policy` is the verdict at its end, None for the chains that people make."""

    def __init__(self, chain: Chain, table: str, rules: Sequence[CompiledRule]) -> None:
        self.table = table
        self.name = chain.name
        self.rules = tuple(rules)
        self.builtin = chain.builtin
        self.policy = policy_verdict(table, chain.name, chain.policy or "ACCEPT")
        self._items = joined_runs(rules)
        self._general: list[tuple[int, Item]] = []
        self._indexed: dict[IndexedBy, dict[int, list[tuple[int, Item]]]] = {
            "port": {},
            "original port": {},
            "destination": {},
        }
        for item in self._items:
            self._index(item)
        self._remembered: dict[tuple[int | None, ...], tuple[Item, ...]] = {}
        self._rows: dict[tuple[int, ...], Run[CompiledRule]] = {}

    @property
    def empty(self) -> bool:
        """Say whether the chain lets everything through and has no rule that could see it."""
        return not self.rules and self.policy.kind == "ACCEPT"

    def items(self, state: State, position: int, *, one_source: bool) -> Sequence[Item]:
        """Return what may match a packet from a position on, in order.

        For many sources it pays to join also rules that ask for different things, which all hold.
        """
        found = self._possible(state, position)
        return found if one_source or len(found) < _WORTH_JOINING else self._joined(found, state)

    def _possible(self, state: State, position: int) -> Sequence[Item]:
        port = state.destination_port if state.has_ports else NO_CONNECTION
        key = (port, original_port(state), state.destination)
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[key] = self._candidates(*key)
        if position == 0:
            return found
        return found[bisect_left(found, position, key=lambda item: item.position) :]

    def _candidates(self, *values: int | None) -> tuple[Item, ...]:
        lists = [self._general]
        for index, value in zip(self._indexed.values(), values, strict=True):
            lists += index.values() if value is None else [index.get(value, [])]
        found = {position: item for one in lists for position, item in one}
        return tuple(found[position] for position in sorted(found))

    def _joined(self, items: Sequence[Item], state: State) -> list[Item]:
        joined: list[Item] = []
        row: list[Item] = []
        for item in items:
            answer = all_hold(item.conditions, state)
            if answer is False:
                continue
            ends = answer is True and item.ends
            if row and not (ends and item.action is row[0].action):
                joined += self._row(row)
                row = []
            (row if ends else joined).append(item)
        return [*joined, *self._row(row)]

    def _row(self, row: Sequence[Item]) -> Sequence[Item]:
        """Join rules of which all conditions hold; the same ones are joined for other ports, too."""
        if len(row) < _FEWEST_IN_RUN:
            return row
        key = tuple(item.position for item in row)
        found = self._rows.get(key)
        if found is None:
            if len(self._rows) > _MOST_ROWS:
                self._rows.clear()
            found = self._rows[key] = _run([rule for item in row for rule in item.rules], ())
        return [found]

    def _index(self, item: Item) -> None:
        entry = (item.position, item)
        for condition in item.conditions:
            if condition.field is not None:
                index = self._indexed[condition.field]
                for value in condition.values:
                    index.setdefault(value, []).append(entry)
                return
        self._general.append(entry)


def policy_verdict(table: str, chain: str, policy: str) -> Verdict:
    """Return the verdict at the end of a built-in chain."""
    step = TraceStep(table, chain, 0, None, "policy", f"no rule decided, the policy is {policy}")
    if policy == "ACCEPT":
        return Verdict("ACCEPT", step=step)
    if policy == "DROP":
        return Verdict("DROP", step=step)
    return Verdict("UNKNOWN", reason=f"the policy {policy} of {chain} in {table}", step=step)


def joined_runs(rules: Sequence[CompiledRule]) -> list[Item]:
    """Leave out what only counts or logs, and join rules in a row that differ in their source alone."""
    items: list[Item] = []
    row: list[CompiledRule] = []
    for rule in (*(rule for rule in rules if rule.action.kind != "CONTINUE"), None):
        if row and (rule is None or not _alike(row[-1], rule)):
            items += [_run(row, row[0].conditions)] if len(row) >= _FEWEST_IN_RUN else row
            row = []
        if rule is not None:
            row.append(rule)
    return items


def _alike(one: CompiledRule, other: CompiledRule) -> bool:
    return one.ends and other.ends and one.conditions == other.conditions and one.action is other.action


def _run(row: Sequence[CompiledRule], conditions: tuple[Condition, ...]) -> Run[CompiledRule]:
    return Run(tuple(row), conditions, segments([rule.source for rule in row]))


def compile_chains(
    ruleset: Ruleset, surroundings: Surroundings, family: Family
) -> Mapping[tuple[str, str], CompiledChain]:
    """Compile every chain that a walk may come to, by table and name."""
    reader = Reader(_without_changed_sets(ruleset, surroundings), family)
    chains: dict[tuple[str, str], CompiledChain] = {}
    for table in ruleset.tables.values():
        setting = Setting(family, surroundings, table.chains.keys())
        for chain in table.chains.values():
            if (table.name, chain.name) not in _NOT_WALKED:
                rules = [_compile(rule, at, reader, setting) for at, rule in enumerate(chain.rules)]
                chains[table.name, chain.name] = CompiledChain(chain, table.name, rules)
    return chains


def _compile(rule: Rule, position: int, reader: Reader, setting: Setting) -> CompiledRule:
    matches, target = spelt_rule(rule, setting.family)
    asked = reader.conditions(matches)
    return CompiledRule(
        rule,
        position,
        tuple(one for one in asked if isinstance(one, Condition)),
        tuple(one for one in asked if isinstance(one, SourceCondition)),
        read_action(target, setting),
        setting.family,
    )


def _without_changed_sets(ruleset: Ruleset, surroundings: Surroundings) -> Surroundings:
    """Forget the sets that rules add to or take from: their members are not those that were seen."""
    changed = {
        option.values[0]
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        if "-j SET" in rule.text and rule.target is not None
        for option in rule.target.options
        if option.values
    }
    kept = {name: one for name, one in surroundings.sets.items() if name not in changed}
    return replace(surroundings, sets=kept)

"""Chains compiled for a walk.

Rules share conditions. A chain skips the rules that cannot match the port and destination of the packet, and
treats many consecutive rules that differ only in their source as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from dockerfw.iptables.model import BUILTIN_CHAINS, Chain, Family, Rule, Ruleset
from dockerfw.iptables.unprinted import Unprinted
from dockerfw.simulation import sentences
from dockerfw.simulation.compiled import CompiledRule, all_hold
from dockerfw.simulation.conditions import Condition, IndexedBy, SourceCondition
from dockerfw.simulation.connections import NO_CONNECTION, original_port
from dockerfw.simulation.match_readers import Reader, normalise_rule
from dockerfw.simulation.runs import Run, cut_segments
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings
from dockerfw.simulation.targets import TargetContext, read_action
from dockerfw.simulation.trace import TraceStep, Verdict

_SKIPPED_CHAINS = frozenset({("nat", "INPUT")})
_MAX_CACHED_KEYS = 256
_MAX_CACHED_ROWS = 16
_MIN_ITEMS_TO_JOIN = 16
_MIN_RUN = 4


Item = CompiledRule | Run[CompiledRule]


class CompiledChain:
    """A chain; `policy` is the verdict at its end."""

    def __init__(
        self, chain: Chain, table: str, rules: Sequence[CompiledRule], policy: Verdict | None = None
    ) -> None:
        self.table = table
        self.name = chain.name
        self.rules = tuple(rules)
        self.builtin = chain.builtin
        self.policy = policy or policy_verdict(table, chain.name, chain.policy or "ACCEPT")
        self._items = join_runs(rules)
        self._general: list[tuple[int, Item]] = []
        self._indexed: dict[IndexedBy, dict[int, list[tuple[int, Item]]]] = {
            "port": {},
            "original port": {},
            "destination": {},
        }
        rules_by_value = Counter(
            (one.field, value) for item in self._items for one in item.conditions for value in one.values
        )
        for item in self._items:
            self._index(item, rules_by_value)
        self._candidates_by_key: dict[tuple[int | None, ...], tuple[Item, ...]] = {}
        self._rows: dict[tuple[int, ...], Run[CompiledRule]] = {}

    @property
    def empty(self) -> bool:
        """True if the chain has no rules and accepts everything."""
        return not self.rules and self.policy.kind == "ACCEPT"

    def items(self, state: PacketState, position: int, *, one_source: bool) -> Sequence[Item]:
        """Return the items from a position on that may match a packet, in order.

        For many sources, rules with different conditions that all hold are joined too, to save time.
        """
        found = self._possible_items(state, position)
        return found if one_source or len(found) < _MIN_ITEMS_TO_JOIN else self._join_rows(found, state)

    def _possible_items(self, state: PacketState, position: int) -> Sequence[Item]:
        port = state.destination_port if state.has_ports else NO_CONNECTION
        key = (port, original_port(state), state.destination)
        found = self._candidates_by_key.get(key)
        if found is None:
            if len(self._candidates_by_key) > _MAX_CACHED_KEYS:
                self._candidates_by_key.clear()
            found = self._candidates_by_key[key] = self._candidates(*key)
        if position == 0:
            return found
        return found[bisect_left(found, position, key=lambda item: item.position) :]

    def _candidates(self, *values: int | None) -> tuple[Item, ...]:
        lists = [self._general]
        for index, value in zip(self._indexed.values(), values, strict=True):
            lists += index.values() if value is None else [index.get(value, [])]
        found = {position: item for one in lists for position, item in one}
        return tuple(found[position] for position in sorted(found))

    def _join_rows(self, items: Sequence[Item], state: PacketState) -> list[Item]:
        joined: list[Item] = []
        row: list[Item] = []
        for item in items:
            answer = all_hold(item.conditions, state)
            if answer is False:
                continue
            ends = answer is True and item.ends
            if row and not (ends and item.action is row[0].action):
                joined += self._join_row(row)
                row = []
            (row if ends else joined).append(item)
        return [*joined, *self._join_row(row)]

    def _join_row(self, row: Sequence[Item]) -> Sequence[Item]:
        """Join rules whose conditions all hold; the result is cached for other ports."""
        if len(row) < _MIN_RUN:
            return row
        key = tuple(item.position for item in row)
        found = self._rows.get(key)
        if found is None:
            if len(self._rows) > _MAX_CACHED_ROWS:
                self._rows.clear()
            found = self._rows[key] = _make_run([rule for item in row for rule in item.rules], ())
        return [found]

    def _index(self, item: Item, rules_by_value: Mapping[tuple[IndexedBy | None, int], int]) -> None:
        """List an item under the values of the condition that fewest rules share.

        Docker writes thousands of rules with one destination, each with a port of its own.
        """
        entry = (item.position, item)
        fewest = min(
            (one for one in item.conditions if one.field is not None),
            key=lambda one: max(rules_by_value[one.field, value] for value in one.values),
            default=None,
        )
        if fewest is None or fewest.field is None:
            self._general.append(entry)
            return
        index = self._indexed[fewest.field]
        for value in fewest.values:
            index.setdefault(value, []).append(entry)


def policy_verdict(table: str, chain: str, policy: str) -> Verdict:
    """Return the verdict at the end of a built-in chain."""
    step = TraceStep(table, chain, 0, None, "policy", sentences.policy_decides(policy))
    if policy == "ACCEPT":
        return Verdict("ACCEPT", step=step)
    if policy == "DROP":
        return Verdict("DROP", step=step)
    return Verdict("UNKNOWN", reason=sentences.unknown_policy(policy, chain, table), step=step)


def join_runs(rules: Sequence[CompiledRule]) -> list[Item]:
    """Drop the rules that only count or log, and join consecutive rules that differ only in their source."""
    items: list[Item] = []
    row: list[CompiledRule] = []
    for rule in (*(rule for rule in rules if rule.action.kind != "CONTINUE"), None):
        if row and (rule is None or not _can_join(row[-1], rule)):
            items += [_make_run(row, row[0].conditions)] if len(row) >= _MIN_RUN else row
            row = []
        if rule is not None:
            row.append(rule)
    return items


def _can_join(one: CompiledRule, other: CompiledRule) -> bool:
    return one.ends and other.ends and one.conditions == other.conditions and one.action is other.action


def _make_run(row: Sequence[CompiledRule], conditions: tuple[Condition, ...]) -> Run[CompiledRule]:
    return Run(tuple(row), conditions, cut_segments([rule.source for rule in row]))


Places = Mapping[tuple[str, str], CompiledChain]
"""Compiled chains by table and name."""


def compile_chains(ruleset: Ruleset, surroundings: Surroundings, family: Family) -> Places:
    """Return every chain that a walk can enter, by table and name, each compiled when it is first entered."""
    return _Chains(ruleset, surroundings, family)


class _Chains(Mapping[tuple[str, str], CompiledChain]):
    """The chains of a ruleset. Docker's chains can have thousands of rules, and few walks enter all."""

    def __init__(self, ruleset: Ruleset, surroundings: Surroundings, family: Family) -> None:
        self._reader = Reader(_without_changed_sets(ruleset, surroundings), family)
        self._found = {
            (table.name, chain.name): chain
            for table in ruleset.tables.values()
            for chain in table.chains.values()
            if (table.name, chain.name) not in _SKIPPED_CHAINS
        }
        self._contexts = {
            table.name: TargetContext(family, surroundings, table.chains.keys())
            for table in ruleset.tables.values()
        }
        self._compiled = {
            (one.table, name): _unknown_chain(one, name)
            for one in ruleset.unprinted
            for name in BUILTIN_CHAINS.get(one.table, ())
        }

    def __getitem__(self, key: tuple[str, str]) -> CompiledChain:
        if key not in self._compiled:
            chain, context = self._found[key], self._contexts[key[0]]
            rules = [_compile(rule, at, self._reader, context) for at, rule in enumerate(chain.rules)]
            self._compiled[key] = CompiledChain(chain, key[0], rules)
        return self._compiled[key]

    def __contains__(self, key: object) -> bool:
        return key in self._found or key in self._compiled

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter({**self._found, **self._compiled})

    def __len__(self) -> int:
        return sum(1 for _ in self)


def replace_chains(chains: Places, others: Places, only: Collection[tuple[str, str]] | None = None) -> Places:
    """Return the chains with some replaced or added; each is still compiled when it is first entered.

    Of `others`, all are taken, or those `only`.
    """
    return _Replaced(chains, others, others if only is None else only)


class _Replaced(Mapping[tuple[str, str], CompiledChain]):
    def __init__(self, chains: Places, others: Places, only: Collection[tuple[str, str]]) -> None:
        self._chains = chains
        self._others = others
        self._only = frozenset(place for place in only if place in others)

    def __getitem__(self, key: tuple[str, str]) -> CompiledChain:
        return self._others[key] if key in self._only else self._chains[key]

    def __contains__(self, key: object) -> bool:
        return key in self._only or key in self._chains

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(dict.fromkeys((*self._chains, *self._only)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _unknown_chain(unprinted: Unprinted, name: str) -> CompiledChain:
    """Return a built-in chain that decides nothing, because the rules in it are not known."""
    step = TraceStep(unprinted.table, name, 0, None, "unknown", unprinted.sentence)
    verdict = Verdict("UNKNOWN", reason=unprinted.sentence, step=step)
    return CompiledChain(Chain(name, None, None, (), builtin=True), unprinted.table, (), verdict)


def _compile(rule: Rule, position: int, reader: Reader, context: TargetContext) -> CompiledRule:
    matches, target = normalise_rule(rule, context.family)
    conditions = reader.conditions(matches)
    return CompiledRule(
        rule,
        position,
        tuple(one for one in conditions if isinstance(one, Condition)),
        tuple(one for one in conditions if isinstance(one, SourceCondition)),
        read_action(target, context),
        context.family,
    )


def _without_changed_sets(ruleset: Ruleset, surroundings: Surroundings) -> Surroundings:
    """Leave out the sets that rules change: their members may differ from those that were read."""
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

"""The commands of a restore file (-A, -I, -D, ...) and their effect on the chains of a table in memory.

They refuse what iptables would refuse by its form and names. A RestoreCommandError has the offset within the
line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NoReturn

from dockerfw.iptables import sentences
from dockerfw.iptables.canonical import canonical_rule
from dockerfw.iptables.matches import is_option, rule_problem
from dockerfw.iptables.model import BUILTIN_CHAINS, Counters, Family, Rule
from dockerfw.iptables.tokens import join_tokens

LONG_NAMES = {
    "--append": "-A",
    "--insert": "-I",
    "--delete": "-D",
    "--replace": "-R",
    "--new-chain": "-N",
    "--new": "-N",
    "--delete-chain": "-X",
    "--flush": "-F",
    "--zero": "-Z",
    "--policy": "-P",
    "--rename-chain": "-E",
}
_ADDRESSES = frozenset(["-s", "--source", "--src", "-d", "--destination", "--dst"])
_MAX_CHAIN_NAME = 28
MAX_RULES = 200_000


class RestoreCommandError(ValueError):
    """A command that iptables would refuse; `offset` counts from 0 in its line."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


@dataclass(slots=True)
class OpenChain:
    """A chain while commands still change it."""

    policy: str | None
    counters: Counters | None
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RestoreCommand:
    """The command of one line: its chain and the words after it, each with its offset in the line."""

    chain: str
    words: tuple[str, ...]
    offsets: tuple[int, ...]
    counters: Counters | None
    line: int

    def number(self) -> int | None:
        """Return the rule number in the first word, or None."""
        first = self.words[0] if self.words else ""
        return int(first) if first.isascii() and first.isdigit() and len(first) < 10 else None

    def without_first(self) -> RestoreCommand:
        return replace(self, words=self.words[1:], offsets=self.offsets[1:])


class OpenTable:
    """A table while commands still change it; it starts with the chains that the kernel creates."""

    def __init__(self, name: str, family: Family) -> None:
        self.name = name
        self.family = family
        self.rule_count = 0
        self.chains = {chain: OpenChain("ACCEPT", Counters(0, 0)) for chain in BUILTIN_CHAINS[name]}

    def chain(self, name: str) -> OpenChain:
        """Return a chain. Raises RestoreCommandError if there is none."""
        if name not in self.chains:
            fail(0, sentences.no_chain(name, self.name))
        return self.chains[name]

    def is_builtin(self, name: str) -> bool:
        """Return True if the kernel creates this chain."""
        return name in BUILTIN_CHAINS[self.name]

    def declare(self, name: str, policy: str, counters: Counters) -> None:
        """Apply `:name policy`: create or empty a chain; a built-in chain keeps its rules."""
        if not self.is_builtin(name):
            check_new_name(name)
            if policy != "-":
                fail(0, sentences.policy_of_own_chain(name))
            self.chains[name] = OpenChain(None, counters)
        elif policy != "-":
            self.chains[name].policy, self.chains[name].counters = policy, counters

    def is_used(self, name: str) -> bool:
        """Return True if a rule has the chain as its target."""
        rules = (rule for chain in self.chains.values() for rule in chain.rules)
        return any(rule.target is not None and rule.target.name == name for rule in rules)


def fail(offset: int, message: str) -> NoReturn:
    """Raise RestoreCommandError."""
    raise RestoreCommandError(offset, message)


def check_new_name(name: str) -> None:
    """Raise RestoreCommandError if no chain can have this name."""
    if len(name.encode("utf-8", "surrogateescape")) > _MAX_CHAIN_NAME or name[0] in "-!":
        fail(0, sentences.bad_chain_name(_MAX_CHAIN_NAME))


def _rules(table: OpenTable, command: RestoreCommand) -> list[Rule]:
    """Return the rules of a command: several if -s or -d has several addresses."""
    first = next((word for word in command.words if word != "!"), None)
    if first is not None and not is_option(first):
        fail(command.offsets[0], sentences.OPTION_AFTER_CHAIN)
    problem = rule_problem(command.words)
    if problem is not None:
        fail(command.offsets[problem[0]], problem[1])
    expanded = _expand(command, MAX_RULES - table.rule_count)
    table.rule_count += len(expanded)
    texts = [join_tokens(("-A", command.chain, *words)) for words in expanded]
    return [Rule(table.name, command.chain, command.counters, text, command.line) for text in texts]


def _expand(command: RestoreCommand, limit: int) -> list[tuple[str, ...]]:
    """Expand `-s 10.0.0.1,10.0.0.2` to one rule for each address, as iptables does."""
    choices: list[list[str]] = []
    count = 1
    takes_address = False
    for word in command.words:
        values = word.split(",") if takes_address and word != "!" else [word]
        takes_address = word in _ADDRESSES or (takes_address and word == "!")
        choices.append(values)
        count *= len(values)
        if count > limit:
            fail(0, sentences.too_many_rules(MAX_RULES))
    return list(product(*choices))


def _index(command: RestoreCommand, last: int) -> int:
    """Return the index of a rule number from 1 to `last`."""
    number = command.number()
    if number is None or not 1 <= number <= last:
        fail(command.offsets[0] if command.offsets else 0, sentences.no_rule_number(command.chain))
    return number - 1


def _append(table: OpenTable, command: RestoreCommand) -> None:
    """-A chain rule"""
    table.chain(command.chain).rules.extend(_rules(table, command))


def _insert(table: OpenTable, command: RestoreCommand) -> None:
    """-I chain [ number ] rule"""
    chain = table.chain(command.chain)
    index = 0
    if command.number() is not None:
        index = _index(command, len(chain.rules) + 1)
        command = command.without_first()
    for rule in _rules(table, command):
        chain.rules.insert(index, rule)


def _delete(table: OpenTable, command: RestoreCommand) -> None:
    """-D chain ( number | rule )"""
    chain = table.chain(command.chain)
    if command.number() is not None:
        del chain.rules[_index(command, len(chain.rules))]
        return
    for rule in _rules(table, command):
        wanted = canonical_rule(rule, table.family)
        found = (
            index for index, other in enumerate(chain.rules) if canonical_rule(other, table.family) == wanted
        )
        index = next(found, None)
        if index is None:
            fail(0, sentences.no_such_rule(command.chain))
        del chain.rules[index]


def _replace(table: OpenTable, command: RestoreCommand) -> None:
    """-R chain number rule"""
    chain = table.chain(command.chain)
    index = _index(command, len(chain.rules))
    rules = _rules(table, command.without_first())
    if len(rules) != 1:
        fail(0, sentences.ONE_ADDRESS_FOR_REPLACE)
    chain.rules[index] = rules[0]


def _new(table: OpenTable, command: RestoreCommand) -> None:
    """-N chain"""
    if command.chain in table.chains:
        fail(0, sentences.chain_exists(command.chain))
    check_new_name(command.chain)
    table.chains[command.chain] = OpenChain(None, Counters(0, 0))


def _remove(table: OpenTable, command: RestoreCommand) -> None:
    """-X [ chain ]"""
    names = [command.chain] if command.chain else list(table.chains)
    for name in names:
        chain = table.chain(name)
        if table.is_builtin(name):
            if command.chain:
                fail(0, sentences.builtin_chain(name))
        elif chain.rules or table.is_used(name):
            fail(0, sentences.chain_in_use(name))
        else:
            del table.chains[name]


def _flush(table: OpenTable, command: RestoreCommand) -> None:
    """-F [ chain ]"""
    chains = [table.chain(command.chain)] if command.chain else list(table.chains.values())
    for chain in chains:
        chain.rules.clear()


def _zero(table: OpenTable, command: RestoreCommand) -> None:
    """-Z [ chain [ number ] ]"""
    chains = [table.chain(command.chain)] if command.chain else list(table.chains.values())
    for chain in chains:
        chain.counters = Counters(0, 0)
        chain.rules = [replace(rule, counters=Counters(0, 0)) for rule in chain.rules]


def _policy(table: OpenTable, command: RestoreCommand) -> None:
    """-P chain policy"""
    chain = table.chain(command.chain)
    if not table.is_builtin(command.chain) or command.words not in {("ACCEPT",), ("DROP",)}:
        fail(0, sentences.NO_SUCH_POLICY)
    chain.policy = command.words[0]


def _rename(table: OpenTable, command: RestoreCommand) -> None:
    """-E chain new-name"""
    table.chain(command.chain)
    if table.is_builtin(command.chain) or len(command.words) != 1 or command.words[0] in table.chains:
        fail(0, sentences.BAD_RENAME)
    if table.is_used(command.chain) or table.chain(command.chain).rules:
        fail(0, sentences.RENAME_NOT_SUPPORTED)
    check_new_name(command.words[0])
    table.chains[command.words[0]] = table.chains.pop(command.chain)


VERBS: dict[str, Callable[[OpenTable, RestoreCommand], None]] = {
    "-A": _append,
    "-I": _insert,
    "-D": _delete,
    "-R": _replace,
    "-N": _new,
    "-X": _remove,
    "-F": _flush,
    "-Z": _zero,
    "-P": _policy,
    "-E": _rename,
}

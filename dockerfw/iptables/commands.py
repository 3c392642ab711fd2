"""Owns what the commands of a restore file (-A, -I, -D, ...) do to the chains of a table.

It works on chains in memory, refuses what iptables would refuse as far as form and names go, and knows
nothing of files and lines: a CommandError carries the offset within the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NoReturn

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
_MAX_RULES = 200_000


class CommandError(ValueError):
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
class Command:
    """A command of one line: its chain and the words that follow, each with its offset in the line."""

    chain: str
    words: tuple[str, ...]
    offsets: tuple[int, ...]
    counters: Counters | None
    line: int

    def number(self) -> int | None:
        """The rule number that stands first, or None."""
        first = self.words[0] if self.words else ""
        return int(first) if first.isascii() and first.isdigit() and len(first) < 10 else None

    def without_first(self) -> Command:
        return replace(self, words=self.words[1:], offsets=self.offsets[1:])


class OpenTable:
    """A table while commands still change it; at first it has what the kernel makes by itself."""

    def __init__(self, name: str, family: Family) -> None:
        self.name = name
        self.family = family
        self.made = 0
        self.chains = {chain: OpenChain("ACCEPT", Counters(0, 0)) for chain in BUILTIN_CHAINS[name]}

    def chain(self, name: str) -> OpenChain:
        """Return a chain; raises CommandError when there is none."""
        if name not in self.chains:
            fail(0, f"there is no chain {name} in table {self.name} at this point")
        return self.chains[name]

    def is_builtin(self, name: str) -> bool:
        """Say whether the kernel makes this chain by itself."""
        return name in BUILTIN_CHAINS[self.name]

    def declare(self, name: str, policy: str, counters: Counters) -> None:
        """Do what `:name policy` does: make a chain or empty it; a built-in one keeps its rules."""
        if not self.is_builtin(name):
            check_new_name(name)
            if policy != "-":
                fail(0, f"{name} is not built in, so its policy must be -")
            self.chains[name] = OpenChain(None, counters)
        elif policy != "-":
            self.chains[name].policy, self.chains[name].counters = policy, counters

    def is_used(self, name: str) -> bool:
        """Say whether some rule leads to the chain."""
        rules = (rule for chain in self.chains.values() for rule in chain.rules)
        return any(rule.target is not None and rule.target.name == name for rule in rules)


def fail(offset: int, message: str) -> NoReturn:
    """Refuse the command."""
    raise CommandError(offset, message)


def check_new_name(name: str) -> None:
    """Refuse a name that no chain can have."""
    if len(name.encode("utf-8", "surrogateescape")) > _MAX_CHAIN_NAME or name[0] in "-!":
        fail(0, f"a chain's name has at most {_MAX_CHAIN_NAME} bytes and begins with neither - nor !")


def _rules(table: OpenTable, command: Command) -> list[Rule]:
    """Make the rules that a command writes: several where -s or -d has several addresses."""
    first = next((word for word in command.words if word != "!"), None)
    if first is not None and not is_option(first):
        fail(command.offsets[0], "after the chain stands an option (-s, ! -s, ...)")
    problem = rule_problem(command.words)
    if problem is not None:
        fail(command.offsets[problem[0]], problem[1])
    spelt_out = _expand(command, _MAX_RULES - table.made)
    table.made += len(spelt_out)
    texts = [join_tokens(("-A", command.chain, *words)) for words in spelt_out]
    return [Rule(table.name, command.chain, command.counters, text, command.line) for text in texts]


def _expand(command: Command, limit: int) -> list[tuple[str, ...]]:
    """Write out `-s 10.0.0.1,10.0.0.2` the way iptables does before the kernel sees it."""
    choices: list[list[str]] = []
    count = 1
    takes_address = False
    for word in command.words:
        values = word.split(",") if takes_address and word != "!" else [word]
        takes_address = word in _ADDRESSES or (takes_address and word == "!")
        choices.append(values)
        count *= len(values)
        if count > limit:
            fail(0, f"the lines up to this one stand for more than {_MAX_RULES} rules")
    return list(product(*choices))


def _index(command: Command, last: int) -> int:
    """The index that a rule number means, in 1 to `last`."""
    number = command.number()
    if number is None or not 1 <= number <= last:
        fail(command.offsets[0] if command.offsets else 0, f"{command.chain} has no rule of that number")
    return number - 1


def _append(table: OpenTable, command: Command) -> None:
    """-A chain rule"""
    table.chain(command.chain).rules.extend(_rules(table, command))


def _insert(table: OpenTable, command: Command) -> None:
    """-I chain [ number ] rule"""
    chain = table.chain(command.chain)
    index = 0
    if command.number() is not None:
        index = _index(command, len(chain.rules) + 1)
        command = command.without_first()
    for rule in _rules(table, command):
        chain.rules.insert(index, rule)


def _delete(table: OpenTable, command: Command) -> None:
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
            fail(0, f"{command.chain} has no such rule at this point")
        del chain.rules[index]


def _replace(table: OpenTable, command: Command) -> None:
    """-R chain number rule"""
    chain = table.chain(command.chain)
    index = _index(command, len(chain.rules))
    rules = _rules(table, command.without_first())
    if len(rules) != 1:
        fail(0, "-R takes one address after -s and -d")
    chain.rules[index] = rules[0]


def _new(table: OpenTable, command: Command) -> None:
    """-N chain"""
    if command.chain in table.chains:
        fail(0, f"chain {command.chain} is there already")
    check_new_name(command.chain)
    table.chains[command.chain] = OpenChain(None, Counters(0, 0))


def _remove(table: OpenTable, command: Command) -> None:
    """-X [ chain ]"""
    names = [command.chain] if command.chain else list(table.chains)
    for name in names:
        chain = table.chain(name)
        if table.is_builtin(name):
            if command.chain:
                fail(0, f"chain {name} is built in and cannot be removed")
        elif chain.rules or table.is_used(name):
            fail(0, f"chain {name} has rules, or rules that lead to it, and cannot be removed")
        else:
            del table.chains[name]


def _flush(table: OpenTable, command: Command) -> None:
    """-F [ chain ]"""
    chains = [table.chain(command.chain)] if command.chain else list(table.chains.values())
    for chain in chains:
        chain.rules.clear()


def _zero(table: OpenTable, command: Command) -> None:
    """-Z [ chain [ number ] ]"""
    chains = [table.chain(command.chain)] if command.chain else list(table.chains.values())
    for chain in chains:
        chain.counters = Counters(0, 0)
        chain.rules = [replace(rule, counters=Counters(0, 0)) for rule in chain.rules]


def _policy(table: OpenTable, command: Command) -> None:
    """-P chain policy"""
    chain = table.chain(command.chain)
    if not table.is_builtin(command.chain) or command.words not in {("ACCEPT",), ("DROP",)}:
        fail(0, "-P takes a built-in chain and ACCEPT or DROP")
    chain.policy = command.words[0]


def _rename(table: OpenTable, command: Command) -> None:
    """-E chain new-name; the rules that lead to it go on leading to it"""
    table.chain(command.chain)
    if table.is_builtin(command.chain) or len(command.words) != 1 or command.words[0] in table.chains:
        fail(0, "-E takes a chain that is not built in, and a name that is still free")
    if table.is_used(command.chain) or table.chain(command.chain).rules:
        fail(0, "renaming a chain with rules, or rules that lead to it, is not supported here")
    check_new_name(command.words[0])
    table.chains[command.words[0]] = table.chains.pop(command.chain)


VERBS: dict[str, Callable[[OpenTable, Command], None]] = {
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

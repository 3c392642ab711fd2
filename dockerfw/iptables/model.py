"""The values for what iptables-save prints: ruleset, table, chain, rule.

They hold only what was printed. A rule keeps its text, and parses its matches and target on first use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dockerfw.iptables.matches import Match, Option, Target, read_matches
from dockerfw.iptables.tokens import printable, split_tokens
from dockerfw.iptables.unprinted import Unprinted

__all__ = [
    "BACKENDS",
    "BUILTIN_CHAINS",
    "FAMILIES",
    "FAMILY_NAMES",
    "Backend",
    "Chain",
    "ChainLine",
    "CommitLine",
    "Counters",
    "Family",
    "Line",
    "Match",
    "Option",
    "OtherLine",
    "Rule",
    "Ruleset",
    "Table",
    "TableLine",
    "Target",
]

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)

Backend = Literal["nft", "legacy"]
"""The variant of the iptables programs: over nftables or over the kernel's older interface."""
BACKENDS: tuple[Backend, Backend] = ("nft", "legacy")
FAMILY_NAMES: Mapping[Family, str] = {4: "IPv4", 6: "IPv6"}

BUILTIN_CHAINS: Mapping[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
"""The built-in chains of each table, in the order of iptables-save."""


class Counters(NamedTuple):
    """The packets and bytes that a rule or policy counted; a tuple, because every rule of a save has one."""

    packets: int
    bytes: int

    def __str__(self) -> str:
        return f"[{self.packets}:{self.bytes}]"


@dataclass(frozen=True, slots=True)
class _Reading:
    tokens: tuple[str, ...]
    matches: tuple[Match, ...]
    target: Target | None


@dataclass(frozen=True, slots=True, init=False)
class Rule:
    """One rule as it was saved: `text` is `-A CHAIN ...` without counters, `line` counts from 1.

    Bytes that are not UTF-8 are lone surrogates (PEP 383) in `text` and in option values, so they print
    unchanged. Pass text for pages and terminals through tokens.printable.
    """

    table: str
    chain: str
    counters: Counters | None
    text: str
    line: int
    _reading: _Reading | None = field(default=None, init=False, repr=False, compare=False)

    def __init__(self, table: str, chain: str, counters: Counters | None, text: str, line: int) -> None:
        # A save may have tens of thousands. As dataclass sets the fields of a frozen value, each takes three
        # times as long.
        _set_table(self, table)
        _set_chain(self, chain)
        _set_counters(self, counters)
        _set_text(self, text)
        _set_line(self, line)
        _set_reading(self, None)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The words of `text`, without quotes and escapes."""
        return self._read().tokens

    @property
    def matches(self) -> tuple[Match, ...]:
        """The matches: the general options first (module None), then each `-m` as printed."""
        return self._read().matches

    @property
    def target(self) -> Target | None:
        """The target; None for a rule that only counts."""
        return self._read().target

    @property
    def comment(self) -> str | None:
        """The first comment, safe for display; the kernel cuts comments at 255 bytes."""
        if "comment" not in self.text:
            return None
        for match in self.matches:
            option = match.option("--comment") if match.module == "comment" else None
            if option is not None and option.values:
                return printable(option.values[0])
        return None

    def with_counters(self, counters: Counters) -> Rule:
        """Return the same rule with other counters; its matches and target need not be read again."""
        rule = Rule(self.table, self.chain, counters, self.text, self.line)
        object.__setattr__(rule, "_reading", self._reading)
        return rule

    def _read(self) -> _Reading:
        if self._reading is None:
            tokens = split_tokens(self.text)
            object.__setattr__(self, "_reading", _Reading(tokens, *read_matches(tokens[2:])))
        assert self._reading is not None
        return self._reading


_set_table, _set_chain, _set_counters, _set_text, _set_line, _set_reading = (
    vars(Rule)[name].__set__ for name in ("table", "chain", "counters", "text", "line", "_reading")
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain with its rules in order; `policy` is None if the chain is not built in."""

    name: str
    policy: str | None
    counters: Counters | None
    rules: tuple[Rule, ...]
    builtin: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its chains in printed order."""

    name: str
    chains: Mapping[str, Chain]


@dataclass(frozen=True, slots=True)
class TableLine:
    """The line `*name`."""

    table: str


@dataclass(frozen=True, slots=True)
class ChainLine:
    """The line `:chain policy [packets:bytes]`; the Chain has the values."""

    table: str
    chain: str


@dataclass(frozen=True, slots=True)
class CommitLine:
    """The line `COMMIT`."""


@dataclass(frozen=True, slots=True)
class OtherLine:
    """A comment (`# ...`), an empty line, or the empty text after the last line end."""

    text: str


Line = TableLine | ChainLine | Rule | CommitLine | OtherLine


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All tables that were printed, the printed lines in their order, and what the save says it left out."""

    tables: Mapping[str, Table]
    lines: tuple[Line, ...] = field(default=(), repr=False)
    unprinted: tuple[Unprinted, ...] = ()
    _rules_digest: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def rules_digest(self) -> str:
        """The digest of all chains with their policies and rules, without counters."""
        if self._rules_digest is None:
            digest = hashlib.sha256()
            for table in self.tables.values():
                for chain in table.chains.values():
                    head = f"{table.name} {chain.name} {chain.policy}"
                    text = "\n".join((head, *(rule.text for rule in chain.rules), ""))
                    digest.update(text.encode("utf-8", "surrogateescape"))
            object.__setattr__(self, "_rules_digest", digest.hexdigest())
        assert self._rules_digest is not None
        return self._rules_digest

    def with_counters(
        self, tables: Mapping[str, Table], lines: tuple[Line, ...], unprinted: tuple[Unprinted, ...]
    ) -> Ruleset:
        """Return a ruleset of the same rules with other counters; their digest need not be made again."""
        ruleset = Ruleset(tables, lines, unprinted)
        object.__setattr__(ruleset, "_rules_digest", self._rules_digest)
        return ruleset

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain, or None if the table or the chain is missing."""
        found = self.tables.get(table)
        return found.chains.get(name) if found else None

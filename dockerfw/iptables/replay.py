"""The ruleset that loading a restore file would leave behind.

It replays `iptables-restore -n` line by line in memory, starting from empty tables. commands.py applies each
command. It does not check matches and targets, and loads nothing into the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import NoReturn

from dockerfw.iptables import sentences
from dockerfw.iptables.commands import (
    LONG_NAMES,
    MAX_RULES,
    VERBS,
    OpenTable,
    RestoreCommand,
    RestoreCommandError,
)
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.grammar import CHAIN_LINE, COUNTERS_PREFIX, TABLE_LINE, decode_text
from dockerfw.iptables.matches import is_option
from dockerfw.iptables.model import (
    BUILTIN_CHAINS,
    Chain,
    ChainLine,
    CommitLine,
    Counters,
    Family,
    Line,
    OtherLine,
    Rule,
    Ruleset,
    Table,
    TableLine,
)
from dockerfw.iptables.tokens import TokenError, locate_restore_tokens
from dockerfw.iptables.unprinted import read_unprinted

# A rule that is appended as iptables-save prints it, without any word that needs quotes.
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", re.ASCII)
_PLAIN = re.compile(r'-A [A-Za-z0-9_.-]+(?: (?:[A-Za-z0-9_./:+@!,-]+|"dockerfw:[a-z0-9]+"))+', re.ASCII)
# The words in which such rules may differ and still have the same form: none of them can be an option.
_VALUE = re.compile(r" [0-9][0-9a-f./:]*(?= |\Z)|dockerfw[:-][a-z0-9-]+", re.ASCII)


def parse_restore(text: bytes | str, *, family: Family = 4, present: Iterable[str] = ()) -> Ruleset:
    """Return the ruleset after loading a restore file with `-n` into empty tables.

    It applies the commands -A -I -D -R -N -X -F -Z -P -E; the remaining rules keep the number of their line.
    `family` decides which spellings -D treats as equal, and which of `-4` and `-6` applies. `present` are
    chains of the table filter that are there before, as Docker's are. Raises ParseError.
    """
    replay = _Replay(family, tuple(present))
    for number, line in enumerate(decode_text(text).split("\n"), start=1):
        replay.read(number, line.removesuffix("\r"))
    return replay.result()


class _Replay:
    """restore = { comment | blank | "*" table { chain | command | comment | blank } "COMMIT" }"""

    def __init__(self, family: Family, present: Sequence[str]) -> None:
        self.family = family
        self.present = present
        self.tables: dict[str, OpenTable] = {}
        self.table: OpenTable | None = None
        self.comments: list[str] = []
        # The forms of rules that were read word by word, and have no error in their form.
        self.forms: set[str] = set()
        self.number = 0
        self.line = ""

    def read(self, number: int, line: str) -> None:
        """Read one line and apply it."""
        self.number, self.line = number, line
        stripped = line.strip(" \t")
        if not stripped or stripped[0] == "#":
            self.comments.append(stripped)
            return
        if stripped[0] == "*":
            self._open_table(stripped)
        elif self.table is None:
            self._fail(0, sentences.LINE_OUTSIDE_TABLE)
        elif stripped == "COMMIT":
            self.table = None
        else:
            try:
                self._change(self.table, stripped, line)
            except (TokenError, RestoreCommandError) as error:
                self._fail(error.offset, error.message)

    def result(self) -> Ruleset:
        """Return the ruleset so far. Raises ParseError if a table is still open."""
        if self.table is not None:
            self._fail(0, sentences.no_commit_at_end(self.table.name))
        tables = {name: _close(table) for name, table in self.tables.items()}
        lines = tuple(compose_lines(tables.values()))
        return Ruleset(MappingProxyType(tables), lines, read_unprinted(self.comments))

    def _fail(self, offset: int, message: str) -> NoReturn:
        raise ParseError(self.number, offset + 1, self.line, message)

    def _open_table(self, line: str) -> None:
        found = TABLE_LINE.fullmatch(line)
        if found is None or found[1] not in BUILTIN_CHAINS:
            self._fail(0, sentences.known_tables(BUILTIN_CHAINS))
        if self.table is not None:
            self._fail(0, sentences.no_commit_before(self.table.name))
        if found[1] not in self.tables:
            self.tables[found[1]] = OpenTable(found[1], self.family)
            for name in self.present if found[1] == "filter" else ():
                self.tables[found[1]].declare(name, "-", Counters(0, 0))
        self.table = self.tables[found[1]]

    def _change(self, table: OpenTable, stripped: str, line: str) -> None:
        if stripped[0] == ":":
            _declare_chain(table, stripped)
            return
        found = COUNTERS_PREFIX.match(line)
        text = line[found.end() :] if found else line
        verb, _, words = text.partition(" ")
        name, _, rest = words.partition(" ")
        chain = table.chains.get(name) if verb == "-A" and _NAME.fullmatch(name) else None
        form = ""
        if chain is not None:
            # No line has the line end that stands for values.
            form = _VALUE.sub("\n", rest)
            if form in self.forms and table.rule_count < MAX_RULES:
                counters = Counters(int(found[1]), int(found[2])) if found else None
                chain.rules.append(Rule(table.name, name, counters, text.replace('"', ""), self.number))
                table.rule_count += 1
                return
        read = _read_command(line, self.number, self.family)
        if read is not None:
            verb, command = read
            VERBS[verb](table, command)
            if chain is not None and _PLAIN.fullmatch(text) and chain.rules[-1].text == text.replace('"', ""):
                self.forms.add(form)


def _declare_chain(table: OpenTable, line: str) -> None:
    found = CHAIN_LINE.fullmatch(line)
    if found is None:
        raise RestoreCommandError(0, sentences.CHAIN_FORM)
    name, policy, packets, size = found.groups()
    table.declare(name, policy, Counters(int(packets), int(size)) if packets else Counters(0, 0))


def _read_command(line: str, number: int, family: Family) -> tuple[str, RestoreCommand] | None:
    """command = [ counters ] [ "-4" | "-6" ] verb [ chain ] { word }; None if it is for the other family"""
    found = COUNTERS_PREFIX.match(line)
    counters = Counters(int(found[1]), int(found[2])) if found else None
    start = found.end() if found else 0
    words = _split_equals(locate_restore_tokens(line, start))
    if words and words[0][1] in {"-4", "-6"}:
        if words[0][1] != f"-{family}":
            return None
        words = words[1:]
    if not words:
        raise RestoreCommandError(start, sentences.MISSING_COMMAND)
    offset, name = words[0]
    verb = LONG_NAMES.get(name, name)
    if verb not in VERBS:
        raise RestoreCommandError(offset, sentences.known_commands(VERBS))
    chain = words[1][1] if len(words) > 1 else ""
    if not chain and verb not in {"-F", "-X", "-Z"}:
        raise RestoreCommandError(len(line), sentences.missing_chain(verb))
    rest = words[2:]
    offsets = tuple(offset for offset, _ in rest)
    return verb, RestoreCommand(chain, tuple(word for _, word in rest), offsets, counters, number)


def _split_equals(words: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Split `--name=value` into two words, because the value can contain blanks."""
    split: list[tuple[int, str]] = []
    for offset, word in words:
        name, equals, value = word.partition("=")
        if is_option(word) and equals and name.startswith("--"):
            split += [(offset, name), (offset, value)]
        else:
            split.append((offset, word))
    return split


def _close(table: OpenTable) -> Table:
    """Return the table with its chains in the order of iptables-save: built-in ones, then others by name."""
    builtin = BUILTIN_CHAINS[table.name]
    chains = {}
    for name in [*builtin, *sorted(name for name in table.chains if name not in builtin)]:
        chain = table.chains[name]
        chains[name] = Chain(name, chain.policy, chain.counters, tuple(chain.rules), name in builtin)
    return Table(table.name, MappingProxyType(chains))


def compose_lines(tables: Iterable[Table]) -> list[Line]:
    lines: list[Line] = []
    for table in tables:
        lines.append(TableLine(table.name))
        lines += [ChainLine(table.name, chain) for chain in table.chains]
        lines += [rule for chain in table.chains.values() for rule in chain.rules]
        lines.append(CommitLine())
    return [*lines, OtherLine("")]

"""The parser of iptables-save and ip6tables-save output, and the printer that returns it byte for byte.

The parser is strict about form, because misread rules would look like protection: a line that it does not
recognise raises ParseError. It does not check matches and targets. replay.py reads restore files.
"""

from __future__ import annotations

from types import MappingProxyType

from dockerfw.iptables import sentences
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.grammar import (
    CHAIN_LINE,
    COUNTERS_PREFIX,
    RULE_ACROSS_LINES,
    RULE_LINE,
    TABLE_LINE,
    decode_text,
)
from dockerfw.iptables.matches import rule_problem
from dockerfw.iptables.model import (
    BUILTIN_CHAINS,
    Chain,
    ChainLine,
    CommitLine,
    Counters,
    Line,
    OtherLine,
    Rule,
    Ruleset,
    Table,
    TableLine,
)
from dockerfw.iptables.replay import parse_restore
from dockerfw.iptables.tokens import TokenError, locate_tokens, split_tokens
from dockerfw.iptables.unprinted import read_unprinted

__all__ = ["parse_restore", "parse_save", "print_save"]

_UNFINISHED = (" -j", " -g", " -m", " !", " -A")


def parse_save(text: bytes | str) -> Ruleset:
    """Read the text of iptables-save, with or without counters.

    Bytes are decoded as UTF-8, and bytes that are not UTF-8 become PEP 383 surrogates. Raises ParseError.
    """
    return _SaveReader(decode_text(text)).read()


def print_save(ruleset: Ruleset) -> str:
    """Return a ruleset as iptables-save prints it, equal to the text that parse_save read."""
    return "\n".join(_print_line(ruleset, line) for line in ruleset.lines)


def is_builtin(table: str, chain: str, policy: str | None) -> bool:
    """Return True if the kernel creates this chain."""
    return policy is not None or chain in BUILTIN_CHAINS.get(table, ())


def _print_line(ruleset: Ruleset, line: Line) -> str:
    match line:
        case Rule():
            return f"{line.counters} {line.text}" if line.counters else line.text
        case ChainLine():
            chain = ruleset.tables[line.table].chains[line.chain]
            counters = f" {chain.counters}" if chain.counters else ""
            return f":{chain.name} {chain.policy or '-'}{counters}"
        case TableLine():
            return f"*{line.table}"
        case CommitLine():
            return "COMMIT"
        case OtherLine():
            return line.text


class _SaveReader:
    """save = { comment | blank | "*" table { chain | rule | comment | blank } "COMMIT" }"""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.lines: list[Line] = []
        self.tables: dict[str, Table] = {}
        self.table: str | None = None
        self.headers: dict[str, tuple[str | None, Counters | None]] = {}
        self.rules: dict[str, list[Rule]] = {}
        self.comments: list[str] = []

    def read(self) -> Ruleset:
        while self.position < len(self.text):
            self._read_rules()
            self._read_other_line()
        if self.table is not None:
            raise self._error(1, "", sentences.no_commit_at_end(self.table))
        if self.text.endswith("\n") or not self.text:
            self.lines.append(OtherLine(""))
        return Ruleset(MappingProxyType(self.tables), tuple(self.lines), read_unprinted(self.comments))

    def _read_rules(self) -> None:
        """Read the rules at this position: nearly all of a long save, so this loop must be fast."""
        text, position, number, table = self.text, self.position, self.line, self.table
        rules_of, lines = self.rules, self.lines
        zero = Counters(0, 0)
        while table is not None and (found := RULE_LINE.match(text, position)):
            packets, size, rule_text, chain = found.groups()
            rules = rules_of.get(chain)
            verdicts = rule_text.count(" -j ") + rule_text.count(" -g ")
            if rules is None or verdicts > 1 or rule_text.endswith(_UNFINISHED):
                break
            if packets is None:
                counters = None
            else:
                counters = zero if size == packets == "0" else Counters(int(packets), int(size))
            rule = Rule(table, chain, counters, rule_text, number)
            rules.append(rule)
            lines.append(rule)
            position = found.end()
            number += 1
        self.position, self.line = position, number

    def _read_other_line(self) -> None:
        if self.position >= len(self.text):
            return
        end = self.text.find("\n", self.position)
        line = self.text[self.position :] if end < 0 else self.text[self.position : end]
        if line.startswith(("-A", "[")):
            self._read_unusual_rule(line)
            return
        if not line or line[0] == "#":
            self.lines.append(OtherLine(line))
            self.comments.append(line)
        elif line[0] == "*":
            self._open_table(line)
        elif line[0] == ":":
            self._declare_chain(line)
        elif line == "COMMIT":
            self._commit(line)
        else:
            raise self._error(1, line, sentences.LINE_START)
        self.position += len(line) + 1
        self.line += 1

    def _open_table(self, line: str) -> None:
        found = TABLE_LINE.fullmatch(line)
        if found is None:
            raise self._error(2, line, sentences.TABLE_NAME_ONLY)
        if self.table is not None:
            raise self._error(1, line, sentences.no_commit_before(self.table))
        self.table = found[1]
        if self.table in self.tables:
            raise self._error(2, line, sentences.duplicate_table(self.table))
        self.headers, self.rules = {}, {}
        self.lines.append(TableLine(self.table))

    def _declare_chain(self, line: str) -> None:
        if self.table is None:
            raise self._error(1, line, sentences.CHAIN_OUTSIDE_TABLE)
        found = CHAIN_LINE.fullmatch(line)
        if found is None:
            raise self._error(2, line, sentences.CHAIN_FORM)
        name, policy, packets, size = found.groups()
        if name in self.headers:
            raise self._error(2, line, sentences.duplicate_chain(name))
        counters = None if packets is None else Counters(int(packets), int(size))
        self.headers[name] = (None if policy == "-" else policy, counters)
        self.rules[name] = []
        self.lines.append(ChainLine(self.table, name))

    def _commit(self, line: str) -> None:
        if self.table is None:
            raise self._error(1, line, sentences.COMMIT_OUTSIDE_TABLE)
        table = self.table
        chains = {
            name: Chain(name, policy, counters, tuple(self.rules[name]), is_builtin(table, name, policy))
            for name, (policy, counters) in self.headers.items()
        }
        self.tables[table] = Table(table, MappingProxyType(chains))
        self.lines.append(CommitLine())
        self.table = None

    def _read_unusual_rule(self, line: str) -> None:
        """Read a rule that spans lines or may be wrong. Raises ParseError."""
        if self.table is None:
            raise self._error(1, line, sentences.RULE_OUTSIDE_TABLE)
        found = RULE_ACROSS_LINES.match(self.text, self.position)
        if found is None:
            raise self._rule_error(line)
        packets, size, rule_text, chain = found.groups()
        if chain not in self.rules:
            raise self._error(found.start(4) - self.position + 1, line, sentences.chain_not_declared(chain))
        words = split_tokens(rule_text)
        problem = rule_problem(words[2:])
        if problem is not None:
            offset = locate_tokens(rule_text)[problem[0] + 2][0]
            raise self._error(found.start(3) - self.position + offset + 1, line, problem[1])
        counters = None if packets is None else Counters(int(packets), int(size))
        rule = Rule(self.table, chain, counters, rule_text, self.line)
        self.rules[chain].append(rule)
        self.lines.append(rule)
        self.line += rule_text.count("\n") + 1
        self.position = found.end()

    def _rule_error(self, line: str) -> ParseError:
        start = COUNTERS_PREFIX.match(line)
        offset = start.end() if start else 0
        if line[offset : offset + 3] != "-A ":
            return self._error(offset + 1, line, sentences.RULE_FORM)
        try:
            words = locate_tokens(line[offset:])
        except TokenError as error:
            return self._error(offset + error.offset + 1, line, error.message)
        if len(words) < 2:
            return self._error(len(line) + 1, line, sentences.missing_chain("-A"))
        column = offset + (words[2][0] if len(words) > 2 else len(words[1][1]) + 3) + 1
        return self._error(column, line, sentences.ONE_BLANK_THEN_OPTION)

    def _error(self, column: int, line: str, message: str) -> ParseError:
        return ParseError(self.line, column, line, message)

"""The rulesets in an imported text: a save, two saves, a restore file, or what `iptables -S` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType

from dockerfw.chains.names import DOCKER_USER
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.grammar import decode_text
from dockerfw.iptables.model import Ruleset, Table
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore

_VERBS = ("-P ", "-N ", "-A ", "-I ", "-F", "-X")
_PROGRAM = re.compile(r"^(?:sudo )?iptables (?=-[PNAIFX]\b)")
_POLICY = re.compile(r"^-P (\S+) (\S+)$")


def read_rulesets(text: bytes | str) -> tuple[Ruleset, ...]:
    """Read one save, two saves in one file (IPv4 then IPv6), a restore file, or what `iptables -S` prints.

    Raise ParseError.
    """
    decoded = decode_text(text).removeprefix("\ufeff").replace("\r\n", "\n")
    commands = _commands(decoded)
    if commands is not None:
        return (_read_commands(commands),)
    try:
        return tuple(parse_save(part) for part in _saves(decoded))
    except ParseError as first:
        try:
            return (_parse_restore(decoded),)
        except ParseError as second:
            # The reader that got further has the better error.
            raise (first if first.line > second.line else second) from None


def _commands(text: str) -> list[str] | None:
    """Return the lines of a listing or a script as those of a restore file, None for anything else.

    listing = { [ "iptables " ] ( "-P " chain " " policy | verb " " rest ) | comment | blank }
    """
    lines = [_PROGRAM.sub("", line) for line in text.split("\n")]
    words = [line for line in lines if line.strip() and not line.startswith("#")]
    if not words or not all(line.startswith(_VERBS) for line in words):
        return None
    return [_POLICY.sub(r":\1 \2 [0:0]", line) for line in lines]


def _read_commands(lines: Sequence[str]) -> Ruleset:
    """Read the commands of a filter table, with the line numbers of their file. Raise ParseError."""
    try:
        ruleset = _parse_restore("\n".join(["*filter", *lines, "COMMIT", ""]))
    except ParseError as error:
        raise ParseError(error.line - 1, error.column, error.text, error.message) from None
    chains = {
        chain.name: replace(chain, rules=tuple(replace(rule, line=rule.line - 1) for rule in chain.rules))
        for chain in ruleset.tables["filter"].chains.values()
    }
    return Ruleset(MappingProxyType({"filter": Table("filter", MappingProxyType(chains))}))


def _parse_restore(text: str) -> Ruleset:
    """Read a restore file; Docker has created DOCKER-USER, so many files add to it and do not declare it."""
    try:
        return parse_restore(text)
    except ParseError:
        return parse_restore(text, present=(DOCKER_USER,))


def _saves(text: str) -> Iterator[str]:
    """Split the text before each repeated table; blank lines keep the line numbers right."""
    lines = text.split("\n")
    start = 0
    seen: set[str] = set()
    for number, line in enumerate(lines):
        if line.startswith("*"):
            if line in seen:
                yield "\n" * start + "\n".join(lines[start:number]) + "\n"
                start, seen = number, set()
            seen.add(line)
    yield "\n" * start + "\n".join(lines[start:])

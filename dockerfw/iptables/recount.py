"""A save read by its differences from one that was parsed before: mostly only counters have moved since."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from itertools import compress
from operator import attrgetter, ne
from types import MappingProxyType
from typing import Final

from dockerfw.iptables.grammar import CHAIN_LINE, COUNTERS, decode_text
from dockerfw.iptables.model import Chain, ChainLine, Counters, OtherLine, Rule, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.unprinted import read_unprinted

_COUNTED: Final = re.compile(rf"{COUNTERS} (?=-A )")


def parse_save_after(text: str, before: str, known: Ruleset) -> Ruleset:
    """Return what parse_save makes of `text`; `known` is what it made of `before`.

    Where both differ in counters and comments only, all that did not change is that of `known`, with the
    matches and targets that were read since. Raises ParseError.
    """
    if text == before:
        return known
    return _recount(decode_text(text), before, known) or parse_save(text)


def _recount(text: str, before: str, known: Ruleset) -> Ruleset | None:
    """Return the ruleset with counters and comments of another text, None where more than these differ."""
    old, new = before.split("\n"), text.split("\n")
    # A rule that spans lines would not stand at the place of its line.
    if not len(old) == len(new) == len(known.lines):
        return None
    lines = list(known.lines)
    rules: list[Rule] = []
    chains: dict[tuple[str, str], Chain] = {}
    commented = False
    for place in compress(range(len(new)), map(ne, old, new)):
        item, line = lines[place], new[place]
        match item:
            case Rule():
                found = _COUNTED.match(line)
                if found is None or item.counters is None or line[found.end() :] != item.text:
                    return None
                lines[place] = rule = item.with_counters(Counters(int(found[1]), int(found[2])))
                rules.append(rule)
            case ChainLine():
                chain = known.tables[item.table].chains[item.chain]
                if (counted := _recount_chain(line, chain)) is None:
                    return None
                chains[item.table, item.chain] = counted
            case OtherLine() if line.startswith("#") and item.text.startswith("#"):
                lines[place] = OtherLine(line)
                commented = True
            case _:
                return None
    for key, moved in _by_chain(rules).items():
        chain = chains.get(key) or known.tables[key[0]].chains[key[1]]
        chains[key] = replace(chain, rules=_replaced(chain.rules, moved))
    tables = {
        name: replace(table, chains=MappingProxyType({**table.chains, **changed}))
        if (changed := {each.name: each for (of, _), each in chains.items() if of == name})
        else table
        for name, table in known.tables.items()
    }
    comments = (line.text for line in lines if isinstance(line, OtherLine))
    unprinted = read_unprinted(comments) if commented else known.unprinted
    return known.with_counters(MappingProxyType(tables), tuple(lines), unprinted)


def _recount_chain(line: str, chain: Chain) -> Chain | None:
    found = CHAIN_LINE.fullmatch(line)
    if found is None or (found[1], found[2]) != (chain.name, chain.policy or "-") or found[3] is None:
        return None
    return replace(chain, counters=Counters(int(found[3]), int(found[4])))


def _by_chain(rules: Iterable[Rule]) -> dict[tuple[str, str], list[Rule]]:
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        found.setdefault((rule.table, rule.chain), []).append(rule)
    return found


def _replaced(rules: tuple[Rule, ...], moved: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return a chain's rules with those of other counters in their places, which their lines tell."""
    found = list(rules)
    for rule in moved:
        found[bisect_left(found, rule.line, key=attrgetter("line"))] = rule
    return tuple(found)

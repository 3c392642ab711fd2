"""Owns the way from a rule's matches to conditions: which reader is for which match, and what has none.

A match that is not in the table below is undecided, whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.extensions import GENERAL, MATCHES, MODULE_ALIASES, Extension
from dockerfw.iptables.matches import Match, Option, Target, read_matches
from dockerfw.iptables.model import Family, Rule
from dockerfw.iptables.tokens import split_tokens
from dockerfw.simulation.address_types import addrtype
from dockerfw.simulation.bridges import physdev
from dockerfw.simulation.conditions import AnyCondition, Asked, always, never, number, undecided
from dockerfw.simulation.connections import conntrack
from dockerfw.simulation.general import connmark, extension_header, general, iprange, mac, mark
from dockerfw.simulation.members import set_members
from dockerfw.simulation.ports import icmp, multiport, ports
from dockerfw.simulation.surroundings import Surroundings

_ONE_PORT = frozenset({"--sport", "--dport"})


def _limit(asked: Asked) -> list[AnyCondition]:
    return [always("the limit is not reached")]


def _hashlimit(asked: Asked) -> list[AnyCondition]:
    names = {option.name: option.negated for option in asked.options}
    if not names.keys() <= MATCHES["hashlimit"].options.keys():
        return [undecided(asked)]
    above = "--hashlimit-above" in names or names.get("--hashlimit-upto", False)
    return [never("the limit is not reached") if above else always("the limit is not reached")]


_READERS: Mapping[str, Callable[[Asked], list[AnyCondition]]] = {
    "": general,
    "tcp": ports,
    "udp": ports,
    "sctp": ports,
    "multiport": multiport,
    "icmp": icmp,
    "icmp6": icmp,
    "conntrack": conntrack,
    "mark": mark,
    "connmark": connmark,
    "addrtype": addrtype,
    "iprange": iprange,
    "mac": mac,
    "physdev": physdev,
    "set": set_members,
    "limit": _limit,
    "hashlimit": _hashlimit,
    "rt": extension_header,
    "frag": extension_header,
}
DECIDED_MATCHES = frozenset(_READERS) - {""} | {"comment"}
"""The matches that have a reader; some of their options may be undecided all the same."""


class Reader:
    """Reads rules of one family; the same question becomes the same condition, so that it is asked once."""

    def __init__(self, surroundings: Surroundings, family: Family) -> None:
        self.surroundings = surroundings
        self.family = family
        self._known: dict[tuple[str, tuple[Option, ...], int | None], tuple[AnyCondition, ...]] = {}

    def conditions(self, matches: tuple[Match, ...]) -> list[AnyCondition]:
        """Return what the matches of a rule, in their printed spelling, ask of a packet."""
        protocol = _protocol(matches)
        found: list[AnyCondition] = []
        for match in matches:
            if match.module is None:
                for option in match.options:
                    found += self._read("", (option,), None)
            elif match.module != "comment":
                found += self._read(match.module, match.options, protocol)
        return found

    def _read(
        self, module: str, options: tuple[Option, ...], protocol: int | None
    ) -> tuple[AnyCondition, ...]:
        key = (module, options, protocol)
        if key not in self._known:
            asked = Asked(self.family, module, options, protocol, self.surroundings)
            reader = _READERS.get(module)
            self._known[key] = tuple(reader(asked) if reader else [undecided(asked)])
        return self._known[key]


def spelt_rule(rule: Rule, family: Family) -> tuple[tuple[Match, ...], Target | None]:
    """Return a rule's matches and target with their options as iptables prints them.

    What extensions.py does not know is left as it came.
    """
    if any(_has_stray(match) for match in rule.matches):
        return read_matches(split_tokens(canonical_text(rule.text, family))[2:])
    return tuple(_spelt(match, family) for match in rule.matches), rule.target


def spelt_options(options: tuple[Option, ...], extension: Extension, family: Family) -> tuple[Option, ...]:
    """Return options as iptables prints them, without those that say nothing."""
    found: list[Option] = []
    for option in options:
        name, words = extension.spell(option.name, option.values, family)
        if words is not None or option.negated:
            found.append(Option(name, option.negated, option.values if words is None else words))
    return tuple(found)


def _spelt(match: Match, family: Family) -> Match:
    module = None if match.module is None else MODULE_ALIASES.get(match.module, match.module)
    extension = GENERAL if module is None else MATCHES.get(module)
    if extension is None:
        return Match(module, match.options)
    return Match(module, spelt_options(match.options, extension, family))


def _has_stray(match: Match) -> bool:
    """Say whether an option stands behind a match that it does not belong to (getopt does not care)."""
    extension = MATCHES.get(MODULE_ALIASES.get(match.module, match.module)) if match.module else None
    return extension is not None and any(
        not extension.owns(option.name) or (match.module == "multiport" and option.name in _ONE_PORT)
        for option in match.options
    )


def _protocol(matches: tuple[Match, ...]) -> int | None:
    for match in matches:
        option = match.option("-p") if match.module is None else None
        if option is not None and not option.negated and option.values:
            return number(option.values[0])
    return None

"""The readers of matches, which turn the matches of a rule into conditions.

A match without a reader in the table below is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.extensions import GENERAL, MATCHES, MODULE_ALIASES, ONE_PORT, Extension
from dockerfw.iptables.matches import Match, Option, Target, read_matches
from dockerfw.iptables.model import Family, Rule
from dockerfw.iptables.tokens import split_tokens
from dockerfw.simulation.address_types import addrtype
from dockerfw.simulation.bridges import physdev
from dockerfw.simulation.conditions import AnyCondition, MatchQuestion, number, undecided_condition
from dockerfw.simulation.connections import conntrack
from dockerfw.simulation.general import connmark, extension_header, general, iprange, mac, mark
from dockerfw.simulation.ipsets import set_members
from dockerfw.simulation.limits import connlimit, hashlimit, limit, recent
from dockerfw.simulation.moments import read_time
from dockerfw.simulation.ports import icmp, multiport, ports
from dockerfw.simulation.reverse_path import rpfilter
from dockerfw.simulation.surroundings import Surroundings

MATCH_READERS: Mapping[str, Callable[[MatchQuestion], list[AnyCondition]]] = {
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
    "limit": limit,
    "hashlimit": hashlimit,
    "connlimit": connlimit,
    "recent": recent,
    "rpfilter": rpfilter,
    "time": read_time,
    "rt": extension_header,
    "frag": extension_header,
}
"""The reader of each match; "" stands for the general options. A reader may leave some options undecided."""


class Reader:
    """Reads rules of one family; equal matches share conditions, so each runs once per packet."""

    def __init__(self, surroundings: Surroundings, family: Family) -> None:
        self.surroundings = surroundings
        self.family = family
        self._conditions_by_match: dict[
            tuple[str, tuple[Option, ...], int | None], tuple[AnyCondition, ...]
        ] = {}

    def conditions(self, matches: tuple[Match, ...]) -> list[AnyCondition]:
        """Return the conditions of a rule's matches, which are in their printed spelling."""
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
        if key not in self._conditions_by_match:
            question = MatchQuestion(self.family, module, options, protocol, self.surroundings)
            reader = MATCH_READERS.get(module)
            self._conditions_by_match[key] = tuple(
                reader(question) if reader else [undecided_condition(question)]
            )
        return self._conditions_by_match[key]


def normalise_rule(rule: Rule, family: Family) -> tuple[tuple[Match, ...], Target | None]:
    """Return a rule's matches and target with their options as iptables prints them.

    Extensions that extensions.py does not list stay unchanged.
    """
    if any(_has_stray(match) for match in rule.matches):
        return read_matches(split_tokens(canonical_text(rule.text, family))[2:])
    return tuple(_normalise_match(match, family) for match in rule.matches), rule.target


def normalise_options(
    options: tuple[Option, ...], extension: Extension, family: Family
) -> tuple[Option, ...]:
    """Return options as iptables prints them, without those that have no effect."""
    return tuple(found for option in options for found in extension.spell(option, family))


def _normalise_match(match: Match, family: Family) -> Match:
    module = None if match.module is None else MODULE_ALIASES.get(match.module, match.module)
    extension = GENERAL if module is None else MATCHES.get(module)
    if extension is None:
        return Match(module, match.options)
    return Match(module, normalise_options(match.options, extension, family))


def _has_stray(match: Match) -> bool:
    """Return True if an option follows a match that it does not belong to, which getopt accepts."""
    extension = MATCHES.get(MODULE_ALIASES.get(match.module, match.module)) if match.module else None
    return extension is not None and any(
        not extension.has_option(option.name) or (match.module == "multiport" and option.name in ONE_PORT)
        for option in match.options
    )


def _protocol(matches: tuple[Match, ...]) -> int | None:
    for match in matches:
        option = match.option("-p") if match.module is None else None
        if option is not None and not option.negated and option.values:
            return number(option.values[0])
    return None

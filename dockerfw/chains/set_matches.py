"""The matches of dockerfw's lines on its sets, and lines on bound sets as earlier releases wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from dockerfw.chains.names import BRIDGES_SETS, PROXY_SETS, rule_id_of
from dockerfw.chains.static_sets import TYPE, StaticSet, static_options
from dockerfw.iptables.model import Family, Rule
from dockerfw.simulation.packet import Address
from dockerfw.simulation.set_members import ids_of, member_text
from dockerfw.simulation.surroundings import IpSet

PROXIED_PROTOCOLS: Final = ("tcp", "udp")
"""The protocols of docker-proxy's sockets that the proxy sets hold."""

_FOLLOWED: Final = re.compile(
    f" --match-set (?:{'|'.join((*BRIDGES_SETS.values(), *PROXY_SETS.values()))}) ", re.ASCII
)
_STATIC_MATCH: Final = re.compile(r" --match-set (dockerfw[46]-s[0-9a-f]{20}) src\b")


def rule_ids_of(line: Rule, source: Address, sets: Mapping[str, IpSet]) -> tuple[str, ...]:
    """Return the ids of the document rules that a line stands for where it matches a source.

    They are in the comment of the line, or on the member of its static set. A set whose members are unknown
    names none.
    """
    own = rule_id_of(line.text)
    if own is not None:
        return (own,)
    found = sets.get(static_set_of(line.text))
    return ids_of(found, source) if found is not None else ()


def static_set_of(line: str) -> str:
    """Return the name of the static set whose sources a saved or rendered line matches, or an empty one."""
    named = _STATIC_MATCH.search(line)
    return named[1] if named else ""


def loaded_sets(sets: Iterable[StaticSet]) -> dict[str, IpSet]:
    """Return static sets as they are after a load, with all ids of their rules, by name."""
    return {
        one.name: IpSet(
            one.name,
            TYPE,
            tuple(member_text(network, ids) for network, ids in one.members.items()),
            static_options(one.family),
        )
        for one in sets
    }


def bridges_line(family: Family) -> str:
    """Return the line that lets containers reach the host, from their own subnet on their own bridge."""
    return f"-m set --match-set {BRIDGES_SETS[family]} src,src -j RETURN"


def proxy_match(family: Family) -> str:
    """Return the match on addresses and ports that docker-proxy holds."""
    return f"-m set --match-set {PROXY_SETS[family]} dst,dst"


def matches_own_set(line: str) -> bool:
    """Return True if a saved or rendered line matches one of these sets; others hold only sources."""
    return _FOLLOWED.search(line) is not None


def earlier_line(line: str, family: Family) -> str | None:
    """Return a line of FILTERS-HOST as releases without sets wrote it; None if they wrote none.

    They let IPv6 packets in by the port alone, and IPv4 packets not at all.
    """
    if not matches_own_set(line):
        return line
    if line == bridges_line(family) or family == 4:
        return None
    return line.replace(f" {proxy_match(family)}", "")

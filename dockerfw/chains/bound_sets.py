"""The bound ipsets: their types, the text that creates and fills them, and which of them a text needs.

Some have fixed names. The name of any other ends in a letter for its kind and a digest of its definition.
What their members are is in dockerfw/reach/bound_sets.py, the commands are in dockerfw/host/bound_sets.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from types import MappingProxyType
from typing import Final, cast

from dockerfw.chains.names import BRIDGES_SETS, PROXY_SETS, own_sets_named
from dockerfw.chains.static_sets import is_static_name, usual_network
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Family

MOST_MEMBERS: Final = 16_384
"""More members of one set are left out: their packets are then refused, and never let through."""
MOST_LISTED: Final = 1_048_576
"""At most this many networks are in the set of a group."""
# A set is filled under a name with this ending, and then takes the place of the other one in one step.
NEW: Final = ".new"

# What ipset reads as a plain interface; "physdev:" before a name means the port of a bridge.
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}", re.ASCII)
_PORT = re.compile(r"(?:tcp|udp|sctp):([1-9][0-9]{0,4})", re.ASCII)


class UnknownSet(NetfilterError):  # noqa: N818 - it states a fact
    """A text names a set of dockerfw's that this release does not know."""


@dataclass(frozen=True, slots=True)
class BoundSet:
    """One bound set: `type` is ipset's word for its type, `most` the number of members that it takes."""

    name: str
    family: Family
    type: str
    most: int = MOST_MEMBERS

    @property
    def options(self) -> str:
        """The options that the simulation needs to know, as `ipset save` prints them."""
        return "family inet" if self.family == 4 else "family inet6"

    def creation(self, name: str = "") -> str:
        """Return the line for `ipset restore` that creates the set, maybe under another name."""
        return f"create {name or self.name} {self.type} {self.options} maxelem {self.most}"

    @property
    def new_name(self) -> str:
        """The name under which the set is filled; one with a digest has all 31 bytes that ipset takes."""
        found = _DIGESTED.fullmatch(self.name)
        return f"dockerfw{found[1]}-{found[2].upper()}{found[3]}" if found else self.name + NEW

    def takes(self, member: str) -> bool:
        """Return True if the text is a member of this set as `ipset save` prints it."""
        network, found, rest = member.partition(",")
        try:
            parsed = ip_network(network)
        except ValueError:
            return False
        if parsed.version != self.family or parsed.prefixlen == 0 or "%" in network:
            return False
        if self.type == NETWORK_TYPE:
            return not found
        if self.type == INTERFACE_TYPE:
            return _INTERFACE.fullmatch(rest) is not None
        port = _PORT.fullmatch(rest)
        return port is not None and int(port[1]) <= 65535


INTERFACE_TYPE: Final = "hash:net,iface"
PORT_TYPE: Final = "hash:net,port"
NETWORK_TYPE: Final = "hash:net"
BOUND_SETS: Final[Mapping[str, BoundSet]] = MappingProxyType(
    {
        names[family]: BoundSet(names[family], family, type_of_set)
        for names, type_of_set in ((BRIDGES_SETS, INTERFACE_TYPE), (PROXY_SETS, PORT_TYPE))
        for family in FAMILIES
    }
)
"""The sets with fixed names, which hold what the whole host shows."""
_LISTED: Final = "b"
# Ports and addresses of containers by name, and the networks of groups that are lists, names or countries.
_TYPES_BY_LETTER: Final[Mapping[str, str]] = MappingProxyType(
    {"c": PORT_TYPE, "a": NETWORK_TYPE, _LISTED: NETWORK_TYPE}
)
_DIGESTED: Final = re.compile(rf"dockerfw([46])-([{''.join(_TYPES_BY_LETTER)}])([0-9a-f]{{20}})", re.ASCII)


def bound_set(name: str) -> BoundSet:
    """Return the set with this name, which may not exist. Raises UnknownSet."""
    if name in BOUND_SETS:
        return BOUND_SETS[name]
    found = _DIGESTED.fullmatch(name)
    if found is None:
        raise UnknownSet(f"{name} is not a set of this release")
    most = MOST_LISTED if found[2] == _LISTED else MOST_MEMBERS
    return BoundSet(name, cast(Family, int(found[1])), _TYPES_BY_LETTER[found[2]], most)


def is_bound_set(name: str) -> bool:
    """Return True if the text is the name of a bound set."""
    return name in BOUND_SETS or _DIGESTED.fullmatch(name) is not None


def follows_host(name: str) -> bool:
    """Return True if the members of a bound set are what this host shows, and not a list of a group."""
    found = _DIGESTED.fullmatch(name)
    return name in BOUND_SETS or (found is not None and found[2] != _LISTED)


def usual_spelling(member: str) -> str:
    """Return a member as `dockerfw.reach.bound_sets` writes it: ipset ends some IPv6 networks like IPv4."""
    network, comma, rest = member.partition(",")
    return f"{usual_network(network)}{comma}{rest}"


def bound_sets_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the bound sets that these restore texts need, sorted. Raises UnknownSet."""
    named = {name for text in texts for name in own_sets_named(text)}
    return tuple(bound_set(name).name for name in sorted(named) if not is_static_name(name))


def render_creation(names: Iterable[str]) -> str:
    """Return the text for `ipset -exist restore` that creates sets; those that exist keep their members."""
    return "".join(f"{bound_set(name).creation()}\n" for name in names)


def render_contents(name: str, members: Iterable[str]) -> str:
    """Return the text for `ipset -exist restore` that gives a set these members, all in one step."""
    found = bound_set(name)
    new = found.new_name
    added = "".join(f"add {new} {member}\n" for member in members)
    # (An earlier try may have been killed before it destroyed the new set.)
    return f"{found.creation(new)}\nflush {new}\n{added}swap {new} {name}\ndestroy {new}\n"

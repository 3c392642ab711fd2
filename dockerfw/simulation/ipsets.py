"""What `-m set` asks: whether addresses and ports of a packet are members of an ipset.

It reads members as `ipset save` prints them, for the types with a plain meaning (addresses, networks,
protocol and port, interface, and lists of sets). Other types, and sets that could not be read, stay
undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockerfw.iptables.matches import Option
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.simulation.addresses import AddressSet, Interval, union_of
from dockerfw.simulation.conditions import (
    AnyCondition,
    MatchQuestion,
    Split,
    number,
    source_in,
    source_split,
    undecided_condition,
)
from dockerfw.simulation.set_members import (
    MEMBER_TYPES,
    Member,
    combine_members,
    member_addresses,
    read_member,
    widen,
)
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import IpSet, Surroundings

MembershipTest = Callable[[PacketState, AddressSet, Sequence[str]], Split]
"""Takes a state, sources and directions ("src", "dst"); returns the sources that are and may be members."""

_SOURCE = "src"
_TCP, _UDP = 6, 17
_IGNORED_OPTIONS = frozenset({"--update-counters", "--update-subcounters"})
_INTERFACE_TYPE = "hash:net,iface"
_BRIDGE_PORT = "physdev:"
_PORT_TYPES = frozenset({"hash:ip,port", "hash:net,port"})
# Words of a `create` line that do not change the members, each with the number of its arguments.
_IGNORED_CREATE_WORDS = {
    **dict.fromkeys(("counters", "comment", "forceadd", "skbinfo"), 0),
    **dict.fromkeys(
        ("family", "hashsize", "maxelem", "bucketsize", "initval", "timeout", "size", "range"), 1
    ),
}


def set_members(question: MatchQuestion) -> list[AnyCondition]:
    """Read --match-set and the options that go with it."""
    named = [option for option in question.options if option.name == "--match-set"]
    others = {option.name for option in question.options} - {"--match-set"} - _IGNORED_OPTIONS
    return [
        _match_set(question, option)
        if not others and len(option.values) == 2
        else undecided_condition(question, option)
        for option in named
    ] or [undecided_condition(question)]


def _match_set(question: MatchQuestion, option: Option) -> AnyCondition:
    name, directions = option.values[0], option.values[1].split(",")
    members = _membership(question.surroundings, name, question.family)
    if members is None or not set(directions) <= {"src", "dst"}:
        return undecided_condition(question, option)
    subject, words = f"{option.values[1]} of the packet", f"in the set {name}"
    if isinstance(members, _AddressMembers) and directions[0] == _SOURCE:
        return source_in(subject, words, option.negated, members.addresses)
    return source_split(
        subject,
        words,
        option.negated,
        lambda state, sources: members(state, sources, directions),
    )


def _membership(surroundings: Surroundings, name: str, family: Family) -> MembershipTest | None:
    """Return the membership test of a set, or None if it is not known."""
    found = surroundings.sets.get(name)
    if found is None or found.members is None or not _is_plain(found.options):
        return None
    if found.type == "list:set":
        return _list_membership(surroundings, found.members, family)
    if found.type == "bitmap:port":
        return _port_membership(found.members)
    if not _has_family(found, family):
        return _no_members
    if found.type in MEMBER_TYPES:
        addresses = member_addresses(found, family)
        return None if addresses is None else _AddressMembers(addresses)
    if found.type in _PORT_TYPES:
        ports = _addresses_by_port(found, family)
        return None if ports is None else _PortMembers(ports, AddressSet.nothing(family))
    if found.type == _INTERFACE_TYPE:
        interfaces = _addresses_by_interface(found, family)
        return None if interfaces is None else _InterfaceMembers(interfaces, AddressSet.nothing(family))
    return None


def _is_plain(options: str) -> bool:
    words = iter(options.split())
    for word in words:
        if word == "netmask":
            next(words, "")
        elif word not in _IGNORED_CREATE_WORDS:
            return False
        else:
            for _ in range(_IGNORED_CREATE_WORDS[word]):
                next(words, "")
    return True


def _no_members(state: PacketState, sources: AddressSet, directions: Sequence[str]) -> Split:
    nothing = AddressSet.nothing(sources.family)
    return nothing, nothing


def _has_family(found: IpSet, family: Family) -> bool:
    return ("family inet6" in found.options) == (family == 6)


@dataclass(frozen=True, slots=True)
class _AddressMembers:
    addresses: AddressSet

    def __call__(self, state: PacketState, sources: AddressSet, directions: Sequence[str]) -> Split:
        nothing = AddressSet.nothing(sources.family)
        if directions[0] == _SOURCE:
            return sources.intersection(self.addresses), nothing
        if state.destination is None:
            known = not self.addresses or self.addresses.is_everything
            return _split_by(bool(self.addresses) if known else None, sources)
        return _split_by(self.addresses.holds(state.destination), sources)


@dataclass(frozen=True, slots=True)
class _PortMembers:
    by_port: dict[tuple[int, int], AddressSet]
    nothing: AddressSet

    def __call__(self, state: PacketState, sources: AddressSet, directions: Sequence[str]) -> Split:
        if len(directions) < 2:
            return self.nothing, self.nothing
        if not state.has_ports:
            # Members have 0 as the port of protocols without ports, and names for the types of ICMP.
            port: int | None = 0
        else:
            port = state.source_port if directions[1] == "src" else state.destination_port
        if port is None:
            return self.nothing, sources
        addresses = self.by_port.get((state.protocol, port), self.nothing)
        return _AddressMembers(addresses)(state, sources, directions)


@dataclass(frozen=True, slots=True)
class _InterfaceMembers:
    """Networks by interface. `src` means the interface that a packet arrived on (ip_set_hash_netiface.c)."""

    by_interface: dict[str, AddressSet]
    nothing: AddressSet

    def __call__(self, state: PacketState, sources: AddressSet, directions: Sequence[str]) -> Split:
        if len(directions) < 2:
            return self.nothing, self.nothing
        name = state.in_interface if directions[1] == "src" else state.out_interface
        if name is None:
            return self.nothing, sources
        return _AddressMembers(self.by_interface.get(name, self.nothing))(state, sources, directions)


def _port_membership(members: tuple[str, ...]) -> MembershipTest | None:
    ports = {number(member.split()[0]) for member in members if member}
    if None in ports:
        return None

    def is_member(state: PacketState, sources: AddressSet, directions: Sequence[str]) -> Split:
        # The kernel compares no ports of other protocols here (bitmap_port.c).
        if state.protocol not in (_TCP, _UDP):
            return _split_by(False, sources)
        port = state.source_port if directions[0] == "src" else state.destination_port
        return _split_by(None if port is None else port in ports, sources)

    return is_member


def _split_by(answer: bool | None, sources: AddressSet) -> Split:
    nothing = AddressSet.nothing(sources.family)
    return (sources if answer else nothing), (sources if answer is None else nothing)


def _list_membership(
    surroundings: Surroundings, names: tuple[str, ...], family: Family
) -> MembershipTest | None:
    inner: list[MembershipTest] = []
    for member in names:
        words = member.split()
        found = surroundings.sets.get(words[0]) if words else None
        members = _membership(surroundings, words[0], family) if found and found.type != "list:set" else None
        if members is None:
            return None
        inner.append(members)

    def any_of(state: PacketState, sources: AddressSet, directions: Sequence[str]) -> Split:
        answers = [members(state, sources, directions) for members in inner]
        holds = union_of(family, [yes for yes, _ in answers])
        return holds, union_of(family, [maybe for _, maybe in answers]).difference(holds)

    return any_of


def _addresses_by_port(found: IpSet, family: Family) -> dict[tuple[int, int], AddressSet] | None:
    assert found.members is not None
    by_port: dict[tuple[int, int], list[Member]] = {}
    for member in found.members:
        address, comma, rest = member.partition(",")
        port, _, words = rest.partition(" ")
        protocol, colon, text = port.rpartition(":")
        known = protocol_number(protocol if colon else "tcp")
        read = read_member(f"{address} {words}", family)
        place = number(text)
        if not comma or known is None or place is None or read is None:
            return None
        by_port.setdefault((known, place), []).append(read)
    return {key: widen(combine_members(family, read), found) for key, read in by_port.items()}


def _addresses_by_interface(found: IpSet, family: Family) -> dict[str, AddressSet] | None:
    """member = network "," interface { option }; None where a member means bridge ports or several names.

    The kernel looks at the smallest networks first, and at no larger one once a network contains the address,
    whatever its interface (`multi` in ip_set_hash_gen.h).
    """
    assert found.members is not None
    by_size: dict[int, list[tuple[str, Interval, bool]]] = {}
    for member in found.members:
        address, comma, rest = member.partition(",")
        name, _, words = rest.partition(" ")
        read = read_member(f"{address} {words}", family)
        plain = comma and name and not name.startswith(_BRIDGE_PORT) and "wildcard" not in words.split()
        if not plain or read is None:
            return None
        first, last, counts = read
        by_size.setdefault(last - first, []).append((name, (first, last), counts))
    by_interface: dict[str, AddressSet] = {}
    smaller = AddressSet.nothing(family)
    for _, networks in sorted(by_size.items()):
        for name, interval, counts in networks:
            if counts:
                left = AddressSet(family, (interval,)).difference(smaller)
                by_interface[name] = left.union(by_interface.get(name, left))
        smaller = smaller.union(AddressSet.from_intervals(family, [interval for _, interval, _ in networks]))
    return by_interface

"""What `-m addrtype` asks: whether an address is LOCAL, BROADCAST and so on.

The kernel looks in its table of local routes for IPv4 (inet_addr_type), and at the address itself or a route
for IPv6 (xt_addrtype.c: match_type6).
"""

from __future__ import annotations

from ipaddress import IPv4Network

from dockerfw.iptables.matches import Option
from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.conditions import (
    AnyCondition,
    MatchQuestion,
    Split,
    condition,
    source_split,
    undecided_condition,
)
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

_LIMITS = ("--limit-iface-in", "--limit-iface-out")
_MULTICAST: dict[Family, str] = {4: "224.0.0.0/4", 6: "ff00::/8"}
_NOT_UNICAST_V6 = ("::/128", "::ffff:0:0/96", "ff00::/8")


def addrtype(question: MatchQuestion) -> list[AnyCondition]:
    """Read --src-type, --dst-type and the two options that limit them to an interface."""
    limits = [option.name for option in question.options if option.name in _LIMITS]
    found: list[AnyCondition] = []
    for option in question.options:
        names = option.values[0].split(",") if len(option.values) == 1 else []
        if option.name in _LIMITS and len(limits) == 1:
            continue
        if option.name not in ("--src-type", "--dst-type") or not names or len(limits) > 1:
            found.append(undecided_condition(question, option))
            continue
        found.append(_type_condition(question, option, frozenset(names), limits[0] if limits else ""))
    return found


def _type_condition(
    question: MatchQuestion, option: Option, names: frozenset[str], limit: str
) -> AnyCondition:
    types_of_device: dict[str | None, Split] = {}
    own = local_addresses(question.surroundings, question.family)
    nothing, everything = AddressSet.nothing(question.family), AddressSet.everything(question.family)

    def types(state: PacketState) -> Split:
        device = {_LIMITS[0]: state.in_interface, _LIMITS[1]: state.out_interface, "": ""}[limit]
        if device is None:
            return nothing, everything
        if device not in types_of_device:
            addresses = addresses_of_types(question.surroundings, question.family, names, device)
            types_of_device[device] = addresses
        return types_of_device[device]

    def split(state: PacketState, sources: AddressSet) -> Split:
        holds, unknown = types(state)
        return sources.intersection(holds), sources.intersection(unknown)

    def decide(state: PacketState) -> bool | None:
        holds, unknown = types(state)
        if state.destination is None:
            return _type_of_any(own, holds, unknown) if state.stays else None
        return None if unknown.holds(state.destination) else holds.holds(state.destination)

    value = ",".join(sorted(names)) + (f" ({limit})" if limit else "")
    if option.name == "--src-type":
        return source_split("type of the source", value, option.negated, split)
    return condition("type of the destination", value, option.negated, decide)


def _type_of_any(own: AddressSet, holds: AddressSet, unknown: AddressSet) -> bool | None:
    """Return the answer for one of the host's own addresses, if it is the same for all of them."""
    if not own.difference(holds).difference(unknown) and not own.intersection(unknown):
        return True
    return None if own.intersection(holds.union(unknown)) else False


def addresses_of_types(
    surroundings: Surroundings, family: Family, names: frozenset[str], device: str = ""
) -> Split:
    """Return the addresses that are of some types, and those that may be.

    `device` limits LOCAL and BROADCAST to the addresses of one interface.
    """
    return (_types_v4 if family == 4 else _types_v6)(surroundings, names, device)


def local_addresses(surroundings: Surroundings, family: Family, device: str = "") -> AddressSet:
    """Return the addresses of the host, or of one interface."""
    own = [
        AddressSet.single(address.ip)
        for _, address in surroundings.addresses(family, device or None)
        if not address.is_loopback
    ]
    if device in ("", "lo"):
        own.append(AddressSet.of(family, ["127.0.0.0/8" if family == 4 else "::1/128"]))
    return union_of(family, own)


def _types_v4(surroundings: Surroundings, names: frozenset[str], device: str) -> Split:
    multicast = AddressSet.of(4, [_MULTICAST[4]])
    everywhere = AddressSet.of(4, ["0.0.0.0/8", "255.255.255.255/32"])
    networks = [
        address.network
        for _, address in surroundings.addresses(4, device or None)
        if isinstance(address.network, IPv4Network) and address.network.prefixlen < 31
    ]
    ends = AddressSet.from_intervals(4, [(int(one.broadcast_address),) * 2 for one in networks])
    local = local_addresses(surroundings, 4, device).difference(everywhere)
    broadcast = union_of(4, [everywhere, ends]).difference(local).difference(multicast)
    # Up to Linux 5.13 the first address of a network was a broadcast address too.
    starts = AddressSet.from_intervals(4, [(int(one.network_address),) * 2 for one in networks])
    starts = starts.difference(local).difference(broadcast).difference(multicast)
    special = union_of(4, [local, broadcast, multicast])
    kinds = {
        "LOCAL": local,
        "BROADCAST": broadcast,
        "MULTICAST": multicast,
        "UNICAST": special.complement(),
        "UNSPEC": AddressSet.nothing(4),
    }
    unknown = starts if names & {"UNICAST", "BROADCAST"} and not names >= {"UNICAST", "BROADCAST"} else None
    # An address of another interface counts as UNICAST where types are limited to one.
    return _combine_types(4, kinds, names, unknown, special.union(local_addresses(surroundings, 4)))


def _types_v6(surroundings: Surroundings, names: frozenset[str], device: str) -> Split:
    # All of these must hold, and one of the types for which the kernel looks up a route.
    by_itself = {
        "MULTICAST": AddressSet.of(6, [_MULTICAST[6]]),
        "UNICAST": AddressSet.of(6, _NOT_UNICAST_V6).complement(),
        "UNSPEC": AddressSet.of(6, ["::/128"]),
    }
    holds, unknown = AddressSet.everything(6), AddressSet.nothing(6)
    if by_route := names - by_itself.keys():
        kinds = {"LOCAL": local_addresses(surroundings, 6, device)}
        holds, unknown = _combine_types(6, kinds, by_route, None, local_addresses(surroundings, 6))
    for name in names & by_itself.keys():
        holds, unknown = holds.intersection(by_itself[name]), unknown.intersection(by_itself[name])
    return holds, unknown


def _combine_types(
    family: Family,
    kinds: dict[str, AddressSet],
    names: frozenset[str],
    unknown: AddressSet | None,
    settled: AddressSet,
) -> Split:
    nothing = AddressSet.nothing(family)
    if not names <= kinds.keys():
        # ANYCAST, BLACKHOLE, PROHIBIT and their like come from routes that are not known here, but settled
        # addresses are of another type.
        holds = union_of(family, [kinds[name] for name in names & kinds.keys()])
        return holds, holds.union(settled).complement()
    unsure = unknown or nothing
    return union_of(family, [kinds[name] for name in names]).difference(unsure), unsure

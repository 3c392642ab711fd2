"""What `-m rpfilter` asks: whether an answer to the source leaves by the interface the packet came in by.

The kernel looks up a route to the source (ipt_rpfilter.c, ip6t_rpfilter.c). Known routes are the networks of
the host's own interfaces, the routes to other networks and the default routes; another interface may have
routes that are not known here. Which of several tables the kernel looks in is not known either.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from dockerfw.iptables.model import Family
from dockerfw.simulation.address_types import local_addresses
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.conditions import (
    AnyCondition,
    MatchQuestion,
    Split,
    source_split,
    undecided_condition,
)
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

_OPTIONS = frozenset({"--loose", "--validmark", "--accept-local", "--invert"})
_NOT_ROUTED: dict[Family, tuple[str, ...]] = {4: ("0.0.0.0/8", "224.0.0.0/3"), 6: ("::/128", "ff00::/8")}


def rpfilter(question: MatchQuestion) -> list[AnyCondition]:
    """Read the options of `-m rpfilter`."""
    names = frozenset(option.name for option in question.options)
    if not names <= _OPTIONS or any(option.negated for option in question.options):
        return [undecided_condition(question)]
    routed_by: dict[str, Split] = {}

    def split(state: PacketState, sources: AddressSet) -> Split:
        device, nothing = state.in_interface, AddressSet.nothing(question.family)
        if device == "lo":
            return sources, nothing
        if device is None or ("--validmark" in names and (state.mark != 0 or state.unsure_bits)):
            return nothing, sources
        if device not in routed_by:
            routed_by[device] = _routed_by(question, device, names)
        holds, unknown = routed_by[device]
        return sources.intersection(holds), sources.intersection(unknown)

    return [source_split("route to the source", "by this interface", "--invert" in names, split)]


def _routed_by(question: MatchQuestion, device: str, options: frozenset[str]) -> Split:
    """Return the sources to which a route leads by an interface (by any with --loose), and may lead."""
    surroundings, family = question.surroundings, question.family
    own = local_addresses(surroundings, family)
    holds, others, unsure = _connected(surroundings, family, device)
    beyond = holds.union(others).union(unsure).complement()
    default = surroundings.default_routes.get(family, ())
    if "--loose" in options:
        holds = holds.union(others)
    alone = default == (device,) and not any(
        route.is_default and route.network.version == family
        for each in surroundings.interfaces
        for route in each.routes
    )
    if alone or ("--loose" in options and default):
        holds = holds.union(beyond)
    else:
        unsure = unsure.union(beyond)
    unsure = unsure.union(AddressSet.of(family, _NOT_ROUTED[family])).difference(own)
    if "--accept-local" in options:
        unsure = unsure.union(own)
    return holds.difference(own).difference(unsure), unsure


def _connected(
    surroundings: Surroundings, family: Family, device: str
) -> tuple[AddressSet, AddressSet, AddressSet]:
    """Return the addresses in networks of an interface, in those of others, and those that are not clear.

    The smallest network with an address decides. Not clear are networks that several interfaces have, and
    the ends of a network, which may be broadcast or anycast addresses.
    """
    interfaces: dict[IPv4Network | IPv6Network, set[str]] = {}
    for name, address in surroundings.addresses(family):
        interfaces.setdefault(address.network, set()).add(name)
    ends = [(int(end),) * 2 for network in interfaces for end in (network[0], network[-1])]
    in_tables = AddressSet.nothing(family)
    for name, route in surroundings.static_routes(family):
        if route.table:
            in_tables = in_tables.union(AddressSet.of(family, [route.network]))
        else:
            interfaces.setdefault(route.network, set()).add(name)
    mine = theirs = unsure = AddressSet.nothing(family)
    for network in sorted(interfaces, key=lambda network: network.prefixlen):
        addresses, names = AddressSet.of(family, [network]), interfaces[network]
        mine, theirs, unsure = (found.difference(addresses) for found in (mine, theirs, unsure))
        if device not in names:
            theirs = theirs.union(addresses)
        # An IPv6 route to a link-local address leads by the interface that is asked for.
        elif len(names) == 1 or network.is_link_local:
            mine = mine.union(addresses)
        else:
            unsure = unsure.union(addresses)
    return mine, theirs, unsure.union(in_tables).union(AddressSet.from_intervals(family, ends))

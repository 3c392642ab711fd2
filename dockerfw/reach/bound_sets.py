"""The members of the bound ipsets: container networks, docker-proxy's sockets, and containers by name.

The root worker fills the sets with these members, and the simulation takes them for sets that do not exist
yet. Members are written as `ipset save` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from dockerfw.chains.bound_sets import BOUND_SETS, MOST_MEMBERS, bound_set
from dockerfw.chains.container_sets import NO_DEFINITIONS, Definitions
from dockerfw.chains.names import BRIDGES_SETS, PROXY_SETS
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.reach.container_networks import container_bridges
from dockerfw.reach.container_sets import container_members
from dockerfw.reach.docker_proxy import proxy_members
from dockerfw.reach.listening import Listening
from dockerfw.simulation.surroundings import HostInterface, IpSet, Surroundings


def bound_members(
    surroundings: Surroundings, listening: Listening, external: Sequence[str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the members of the sets with fixed names, sorted and without duplicates, at most MOST_MEMBERS.

    `external` are the document's external interfaces: a bridge that is one is no container network here.
    """
    found: dict[str, tuple[str, ...]] = {}
    bridges = [
        each
        for each in container_bridges(surroundings.interfaces, {}, listening.containers, external)
        # A plain interface may have a container's address in its network, by macvlan.
        if each.kind == "bridge" and not _leads_outside(each, surroundings)
    ]
    for family in FAMILIES:
        found[BRIDGES_SETS[family]] = _bounded(BRIDGES_SETS[family], _bridge_members(bridges, family))
        proxies = proxy_members(listening.listeners, family)
        found[PROXY_SETS[family]] = _bounded(PROXY_SETS[family], proxies)
    return MappingProxyType(found)


def with_bound_sets(
    surroundings: Surroundings,
    listening: Listening,
    external: Sequence[str],
    definitions: Definitions = NO_DEFINITIONS,
) -> Surroundings:
    """Return the surroundings as they are after a load: with each bound set that does not exist yet.

    `definitions` are those of the document's rules by name. Where the containers are unknown, so are the
    members of their sets.
    """
    members = dict(bound_members(surroundings, listening, external))
    if listening.containers is not None:
        members |= container_members(definitions, listening.containers, listening.listeners)
    missing: dict[str, IpSet] = {}
    for name in (*BOUND_SETS, *definitions):
        if name not in surroundings.sets:
            found = bound_set(name)
            missing[name] = IpSet(name, found.type, members.get(name), found.options)
    if not missing:
        return surroundings
    return replace(surroundings, sets=MappingProxyType({**surroundings.sets, **missing}))


def _bounded(name: str, members: Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted(filter(BOUND_SETS[name].takes, set(members)))[:MOST_MEMBERS])


def _bridge_members(bridges: Sequence[HostInterface], family: Family) -> Iterator[str]:
    for each in bridges:
        for address in each.addresses:
            network = address.network
            routed = not (address.is_link_local or address.is_loopback) and network.prefixlen > 0
            if network.version == family and routed:
                # Of a single address ipset prints no length.
                single = network.prefixlen == network.max_prefixlen
                yield f"{network.network_address if single else network},{each.name}"


def _leads_outside(bridge: HostInterface, surroundings: Surroundings) -> bool:
    """Return True if a bridge has a port that is no end of a container: other machines may be behind it."""
    ports = (each for each in surroundings.interfaces if each.master == bridge.name)
    return any(each.kind != "veth" for each in ports)

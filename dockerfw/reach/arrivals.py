"""Where packets of a source arrive: sources in the network of another interface do not come from outside."""

from __future__ import annotations

from collections.abc import Collection

from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.surroundings import HostInterface, Surroundings


def inner_arrivals(
    surroundings: Surroundings, family: Family, outside: Collection[str]
) -> tuple[tuple[HostInterface, AddressSet], ...]:
    """Return the sources that arrive on each interface that is not in `outside`, by networks and routes.

    The smallest network that contains a source decides, as in a trace.
    """
    networks = [
        (name, each.network)
        for name, each in surroundings.addresses(family)
        if not each.ip.is_loopback and not each.ip.is_link_local and each.network.num_addresses > 1
    ]
    networks += [(name, each.network) for name, each in surroundings.static_routes(family)]
    taken, found = AddressSet.nothing(family), dict[str, AddressSet]()
    for name, network in sorted(networks, key=lambda item: -item[1].prefixlen):
        sources = AddressSet.of(family, [network]).difference(taken)
        taken = taken.union(sources)
        if name not in outside and sources:
            found[name] = sources.union(found.get(name, sources))
    interfaces = {each.name: each for each in surroundings.interfaces}
    return tuple((interfaces[name], sources) for name, sources in found.items())

"""Where packets of a source arrive: sources in the network of another interface do not come from outside."""

from __future__ import annotations

from collections.abc import Collection

from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.surroundings import HostInterface, Surroundings


def inner_arrivals(
    surroundings: Surroundings, family: Family, outside: Collection[str]
) -> tuple[tuple[HostInterface, AddressSet], ...]:
    """Return the sources that arrive on each interface that is not in `outside`, by the networks of all.

    The smallest network that contains a source decides, as in a trace.
    """
    addresses = [
        (name, each)
        for name, each in surroundings.addresses(family)
        if not each.ip.is_loopback and not each.ip.is_link_local and each.network.num_addresses > 1
    ]
    taken, found = AddressSet.nothing(family), dict[str, AddressSet]()
    for name, each in sorted(addresses, key=lambda item: -item[1].network.prefixlen):
        sources = AddressSet.of(family, [each.network]).difference(taken)
        taken = taken.union(sources)
        if name not in outside and sources:
            found[name] = sources.union(found.get(name, sources))
    interfaces = {each.name: each for each in surroundings.interfaces}
    return tuple((interfaces[name], sources) for name, sources in found.items())

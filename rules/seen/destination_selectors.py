"""Read the destinations behind a host that are no container's, from a snapshot and from rules for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dockerfw.document.document import Document
from dockerfw.iptables.model import Family
from dockerfw.messages.snapshot_values import forwarded_connections, surroundings_of
from dockerfw.reach.container_networks import container_bridges
from dockerfw.reach.forwarded import Destinations, find_destinations
from dockerfw.simulation.packet import Address
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface
from rules.seen.listening_selectors import listening_of
from rules.seen.snapshot_selectors import SnapshotView


def destinations_of(
    view: SnapshotView,
    prepared: Mapping[Family, Prepared],
    documents: Sequence[Document | None],
    outside: Sequence[HostInterface],
    external: Sequence[str],
) -> Destinations:
    """Return the destinations; `prepared` are the rules of the kernel."""
    connections = forwarded_connections(view.snapshot, outside)
    return find_destinations(prepared, documents, listening_of(view).containers, connections, external)


def leads_to_container(view: SnapshotView, address: Address) -> bool:
    """Return True if an address is a container's, or in the network of a bridge for containers."""
    containers = listening_of(view).containers
    if any(address in each.addresses for each in containers or ()):
        return True
    around = surroundings_of(view.snapshot)
    bridges = container_bridges(around.interfaces, view.rulesets, containers, ())
    return any(address in one.network for each in bridges for one in each.addresses)

"""The values that simulation, reach and drift work on, derived from a snapshot.

Both the pages and the root worker use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from types import MappingProxyType

from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import Drift, find_drift
from dockerfw.chains.redirects import find_redirects
from dockerfw.chains.rendering import Rendering
from dockerfw.document.document import Document, Settings, digest
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.surroundings import Container, Interface
from dockerfw.reach.container_networks import container_families
from dockerfw.reach.listening import Address, Listener, Listening, Publication, Published, RunningContainer
from dockerfw.simulation.surroundings import HostInterface, IpSet, Surroundings

INGRESS = "DOCKER-INGRESS"


def surroundings_of(snapshot: Snapshot) -> Surroundings:
    """Return the interfaces, default routes and sets of a snapshot."""
    interfaces = tuple(map(interface_from, snapshot.interfaces))
    sets = {each.name: IpSet(each.name, each.kind, each.members, each.options) for each in snapshot.sets}
    routes: Mapping[Family, tuple[str, ...]] = MappingProxyType(dict(snapshot.default_routes))
    filtered = (
        {} if (seen := snapshot.bridges_filtered) is None else {family: family in seen for family in FAMILIES}
    )
    sets_by_name, bridges = MappingProxyType(sets), MappingProxyType(filtered)
    return Surroundings(interfaces, routes, sets_by_name, bridges, known=snapshot.interfaces_known)


def interface_from(each: Interface) -> HostInterface:
    """Return an interface of a snapshot as the simulation knows it."""
    return HostInterface(
        name=each.name,
        addresses=tuple(ip_interface(address) for address in each.addresses),
        up=each.up,
        master=each.master,
        kind=each.kind,
        parent=each.parent,
    )


def listening_of(snapshot: Snapshot, rulesets: Mapping[Family, Ruleset]) -> Listening:
    """Return everything that accepts packets on the host; `rulesets` are the parsed saves."""
    return Listening(
        listeners=tuple(
            Listener(
                family=each.family,
                protocol=each.protocol,
                address=_address(each.address),
                port=each.port,
                v6only=each.v6only,
                interface=each.interface,
                process=each.process,
                unit=each.unit,
                container=each.container,
            )
            for each in snapshot.sockets
        ),
        published=tuple(_published(snapshot)),
        containers=containers_of(snapshot),
        ingress=frozenset(_ingress(rulesets.get(4))),
        by_nftables=snapshot.docker_state == "nftables",
        foreign_tables=snapshot.foreign_tables,
        redirecting_tables=snapshot.redirecting_tables,
        redirects=tuple(
            found for family, ruleset in rulesets.items() for found in find_redirects(ruleset, family)
        ),
    )


def containers_of(snapshot: Snapshot) -> tuple[RunningContainer, ...] | None:
    """Return the running containers, None when Docker could not be queried."""
    return containers_from(snapshot.containers)


def containers_from(containers: tuple[Container, ...] | None) -> tuple[RunningContainer, ...] | None:
    """Return containers of a snapshot, or None, as reach knows them."""
    if containers is None:
        return None
    return tuple(
        RunningContainer(
            id=each.id,
            name=each.name,
            project=each.project,
            service=each.service,
            network_mode=each.network_mode,
            addresses=tuple(ip_address(address.partition("/")[0]) for address in each.addresses),
            publications=tuple(
                Publication(port.protocol, _address(port.address), port.public, port.port)
                for port in each.ports
                if port.public is not None
            ),
        )
        for each in containers
    )


def container_families_of(
    snapshot: Snapshot, rulesets: Mapping[Family, Ruleset], settings: Settings
) -> frozenset[Family]:
    """Return the families in which a container network of the host may have addresses."""
    if snapshot.docker_state == "nftables":
        # Docker is here, and calls DOCKER-USER in neither family.
        return frozenset(snapshot.families)
    # Of the many veths only the names are needed, and addresses take a while to read.
    interfaces = [
        interface_from(each if each.kind in ("", "bridge") else replace(each, addresses=()))
        for each in snapshot.interfaces
    ]
    return container_families(interfaces, rulesets, containers_of(snapshot), settings.external_interfaces)


def drift_of(
    snapshot: Snapshot,
    rulesets: Mapping[Family, Ruleset],
    document: Document,
    revision: int,
    *,
    loaded: Mapping[Family, Rendering] | None = None,
    command: str = "dockerfw",
) -> Drift:
    """Return how a snapshot differs from a revision's document; `rulesets` are the parsed saves.

    `loaded` are the rules that were loaded for this revision, where they are known. `command` is the name of
    the command line, for the sentences.
    """
    live = {family: rulesets[family] for family in snapshot.families if family not in snapshot.unread}
    facts = replace(
        _drift_facts(snapshot, document, revision),
        container_families=container_families_of(snapshot, rulesets, document.settings),
        command=command,
        surroundings=surroundings_of(snapshot),
        docker=snapshot.docker_state != "absent",
    )
    return find_drift(document, revision, live, facts, families=snapshot.families, loaded=loaded)


def _drift_facts(snapshot: Snapshot, document: Document, revision: int) -> DriftFacts:
    confirmed, docker_nftables = snapshot.confirmed, snapshot.docker_state == "nftables"
    if confirmed is None or (confirmed.revision, confirmed.digest) != (revision, digest(document)):
        # What happened since another revision was confirmed is unrelated to this one.
        return DriftFacts(
            docker_nftables=docker_nftables,
            docker_gone=confirmed.docker_gone if confirmed else (),
            foreign_tables=snapshot.foreign_tables,
        )
    return DriftFacts(
        kept_backend=confirmed.backend,
        docker_moved_to=confirmed.docker_moved_to or "",
        docker_nftables=docker_nftables,
        rebooted=confirmed.rebooted,
        released=confirmed.released,
        docker_gone=confirmed.docker_gone,
        foreign_tables=snapshot.foreign_tables,
    )


def _address(text: str) -> Address | None:
    return ip_address(text) if text else None


def _published(snapshot: Snapshot) -> Iterator[Published]:
    for each in snapshot.published:
        try:
            address, inside = _address(each.address), ip_address(each.to_address)
        except ValueError:
            # Read from a rule's text: Docker writes only addresses.
            continue
        yield Published(each.family, each.protocol, address, each.port, inside, each.to_port)


def _ingress(ruleset: Ruleset | None) -> Iterator[tuple[str, int]]:
    """Yield the ports of `-A DOCKER-INGRESS -p tcp -m tcp --dport 8000 -j DNAT --to-destination …`."""
    chain = ruleset.chain("nat", INGRESS) if ruleset else None
    for rule in chain.rules if chain else ():
        if rule.target is None or rule.target.name != "DNAT":
            continue
        said = {
            option.name: option.values[0]
            for match in rule.matches
            for option in match.options
            if option.values and not option.negated
        }
        if said.get("--dport", "").isdigit() and "-p" in said:
            yield said["-p"], int(said["--dport"])

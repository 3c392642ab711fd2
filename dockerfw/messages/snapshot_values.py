"""The values that simulation, reach and drift work on, derived from a snapshot.

Both the pages and the root worker use them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address, ip_interface, ip_network
from types import MappingProxyType

from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import Drift, find_drift
from dockerfw.chains.kernel_state import sum_rule_counters, sum_rule_packets
from dockerfw.chains.match_groups import USUAL, WITHOUT_IP_SET, Thresholds
from dockerfw.chains.redirects import Redirect, find_redirects
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import TYPE as STATIC_TYPE
from dockerfw.chains.static_sets import SetState, StaticSet, family_of, static_options
from dockerfw.document.document import Document, Settings, digest
from dockerfw.iptables.model import FAMILIES, Counters, Family, Ruleset
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.surroundings import Container, Interface, ListeningSocket, SetMembers
from dockerfw.reach.container_networks import container_families
from dockerfw.reach.forwarded import OpenConnections
from dockerfw.reach.listening import Address, Listener, Listening, Publication, Published, RunningContainer
from dockerfw.reach.opened_ports import find_opened
from dockerfw.simulation.moments import seconds_of
from dockerfw.simulation.remembered import Remembered
from dockerfw.simulation.set_members import member_text
from dockerfw.simulation.surroundings import HostInterface, IpSet, StaticRoute, Surroundings

INGRESS = "DOCKER-INGRESS"
MOST_CONNECTIONS = 16
_lines_of_sets: Remembered[tuple[StaticSet, tuple[str, ...]]] = Remembered(2_000_000)


def surroundings_of(snapshot: Snapshot) -> Surroundings:
    """Return the interfaces, default routes and sets of a snapshot, at its moment."""
    interfaces = tuple(map(interface_from, snapshot.interfaces))
    sets = {each.name: IpSet(each.name, each.kind, each.members, each.options) for each in snapshot.sets}
    routes: Mapping[Family, tuple[str, ...]] = MappingProxyType(dict(snapshot.default_routes))
    filtered = (
        {} if (seen := snapshot.bridges_filtered) is None else {family: family in seen for family in FAMILIES}
    )
    sets_by_name, bridges = MappingProxyType(sets), MappingProxyType(filtered)
    at = seconds_of(snapshot.taken_at)
    return Surroundings(interfaces, routes, sets_by_name, bridges, known=snapshot.interfaces_known, at=at)


def with_static_members(snapshot: Snapshot, sets: Iterable[StaticSet]) -> Snapshot:
    """Return a snapshot that also has the members of its static sets, as far as `sets` tell them.

    Only a set that holds exactly what its name says gets members. Those of all others stay unknown.
    """
    wanted = {one.name: one for one in sets}
    known = {each.name for each in snapshot.sets}
    found = tuple(
        SetMembers(
            each.name,
            STATIC_TYPE,
            _member_lines(wanted[each.name]) if each.intact and each.name in wanted else None,
            static_options(family_of(each.name)),
        )
        for each in snapshot.static_sets
        if each.name not in known
    )
    return replace(snapshot, sets=(*snapshot.sets, *found)) if found else snapshot


def with_loaded_sets(surroundings: Surroundings, sets: Iterable[StaticSet]) -> Surroundings:
    """Return the surroundings with static sets as they are after a load that creates and fills them."""
    found = {
        one.name: IpSet(one.name, STATIC_TYPE, _member_lines(one), static_options(one.family))
        for one in sets
        if (known := surroundings.sets.get(one.name)) is None or known.members is None
    }
    if not found:
        return surroundings
    return replace(surroundings, sets=MappingProxyType({**surroundings.sets, **found}))


def _member_lines(one: StaticSet) -> tuple[str, ...]:
    """Return the members of a static set as `ipset save` prints them, with all ids of their rules.

    In the kernel a comment has room for some ids only.
    """
    # The entry holds the set, so the id stays its own. The next snapshot then has the very same members.
    known = _lines_of_sets.get(id(one))
    if known is None:
        lines = tuple(member_text(network, ids) for network, ids in one.members.items())
        known = _lines_of_sets.put(id(one), (one, lines), len(lines))
    return known[1]


@dataclass(frozen=True, slots=True)
class LastUse:
    """When a rule was used last, None for never since `since`; what was before that is not known.

    Both are UTC times. The use itself lies between that look of the root worker and the one before.
    """

    last: datetime | None
    since: datetime

    def joined_with(self, other: LastUse) -> LastUse:
        """Return the use of two rules that are counted together."""
        known = [each for each in (self.last, other.last) if each is not None]
        return LastUse(max(known, default=None), max(self.since, other.since))

    def unused_since(self, moment: datetime) -> bool:
        """Return True if it is certain that the rule was not used at or after a moment."""
        return self.since <= moment and (self.last is None or self.last < moment)


def last_uses_of(snapshot: Snapshot) -> dict[str, LastUse]:
    """Return when each rule of the confirmed revision was used last, by id; empty while it is not known."""
    uses = snapshot.uses
    if uses is None:
        return {}
    since = datetime.fromisoformat(uses.since)
    found = dict.fromkeys(uses.unused, LastUse(None, since))
    for each in uses.rules:
        last = datetime.fromisoformat(each.last) if each.last else None
        found[each.id] = LastUse(last, datetime.fromisoformat(each.since) if each.since else since)
    return found


def interface_from(each: Interface) -> HostInterface:
    """Return an interface of a snapshot as the simulation knows it."""
    return HostInterface(
        name=each.name,
        addresses=tuple(ip_interface(address) for address in each.addresses),
        up=each.up,
        master=each.master,
        kind=each.kind,
        parent=each.parent,
        routes=tuple(
            StaticRoute(ip_network(route.to, strict=False), route.gateway, route.table)
            for route in each.routes
        ),
        groups=tuple(ip_address(group) for group in each.groups if group),
    )


def listening_of(snapshot: Snapshot, rulesets: Mapping[Family, Ruleset]) -> Listening:
    """Return everything that accepts packets on the host; `rulesets` are the parsed saves."""
    return Listening(
        listeners=tuple(map(listener_from, snapshot.sockets)),
        published=tuple(_published(snapshot)),
        containers=containers_of(snapshot),
        ingress=frozenset(_ingress(rulesets.get(4))),
        by_nftables=snapshot.docker_state == "nftables",
        foreign_tables=snapshot.foreign_tables,
        redirecting_tables=snapshot.redirecting_tables,
        redirects=tuple(_redirects(snapshot, rulesets)),
        opened=tuple(found for family, ruleset in rulesets.items() for found in find_opened(ruleset, family)),
    )


def _redirects(snapshot: Snapshot, rulesets: Mapping[Family, Ruleset]) -> Iterator[Redirect]:
    found = [each for family, ruleset in rulesets.items() for each in find_redirects(ruleset, family)]
    own: set[Address] | None = None
    if snapshot.interfaces_known and any(each.to_host is None for each in found):
        # Of very many interfaces the addresses take a while to read.
        own = {ip_interface(text).ip for each in snapshot.interfaces for text in each.addresses}
    for each in found:
        unclear = each.to_host is None and own is not None
        yield replace(each, to_host=each.to_address in own) if unclear and own is not None else each


def listener_from(each: ListeningSocket) -> Listener:
    """Return a socket of a snapshot as reach knows it."""
    return Listener(
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
            ports=tuple(dict.fromkeys((port.protocol, port.port) for port in each.ports)),
            labels=each.labels,
        )
        for each in containers
    )


def forwarded_connections(
    snapshot: Snapshot, outside: Iterable[HostInterface]
) -> tuple[OpenConnections, ...]:
    """Return the connections from outside that are forwarded, those to the most frequent destinations."""
    names = {each.name for each in outside}
    counts: Counter[OpenConnections] = Counter()
    for group in snapshot.sessions.groups if snapshot.sessions else ():
        if group.destination and names & set(group.interfaces):
            one = OpenConnections(ip_address(group.destination), group.protocol, group.port)
            counts[one] += group.count
    return tuple(one for one, _ in counts.most_common(MOST_CONNECTIONS))


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
    containers, external = containers_of(snapshot), settings.external_interfaces
    return container_families(interfaces, rulesets, containers, external, snapshot.named_bridges)


def limits_of(snapshot: Snapshot) -> Thresholds:
    """Return the sizes at which rules change their form on the host of a snapshot."""
    return WITHOUT_IP_SET if snapshot.lacks_ip_set else USUAL


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
        static_sets=set_states_of(snapshot),
    )
    return find_drift(
        document,
        revision,
        live,
        facts,
        families=snapshot.families,
        loaded=loaded,
        limits=limits_of(snapshot),
    )


def rule_hits(snapshot: Snapshot, rulesets: Mapping[Family, Ruleset]) -> dict[str, Counters]:
    """Return what each rule has let through or blocked, by its id; `rulesets` are the parsed saves.

    It is the sum over the rule's lines of both families and its elements in static sets. Counters go on over
    an apply that leaves a line or a source as it is, and start again at a boot.
    """
    return sum_rule_counters(rulesets, _hits_in_sets(snapshot))


def rule_packets(snapshot: Snapshot, rulesets: Mapping[Family, Ruleset]) -> dict[str, int]:
    """Return the packets of `rule_hits`, without the rules that had none."""
    return sum_rule_packets(rulesets, _hits_in_sets(snapshot))


def _hits_in_sets(snapshot: Snapshot) -> dict[str, Counters]:
    return {each.id: Counters(each.packets, each.bytes) for each in snapshot.hits}


def set_states_of(snapshot: Snapshot) -> dict[str, SetState]:
    """Return the states of the static sets that rules match, by name."""
    return {
        each.name: SetState(each.name, each.entries, each.intact, each.lost, each.added, each.lines)
        for each in snapshot.static_sets
    }


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

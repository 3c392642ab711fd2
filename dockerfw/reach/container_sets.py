"""The members of the sets that rules for containers by name match, and what such a rule cannot reach.

Members are written as `ipset save` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dockerfw.chains.bound_sets import MOST_MEMBERS, bound_set
from dockerfw.chains.container_sets import ContainerSet, Definitions
from dockerfw.document.container_labels import LABEL, has_label
from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.reach.docker_proxy import proxy_members
from dockerfw.reach.listening import Listener, Publication, RunningContainer
from dockerfw.simulation.surroundings import HostInterface

SelectorProblem = Literal["no-container", "host-network", "no-bridge", "not-published"]


@dataclass(frozen=True, slots=True)
class UnboundRule:
    """A rule by name that allows nothing now: no container has the name, or none can be reached by a rule.

    A container on the host's network has the host's ports, and one that is only on macvlan or ipvlan networks
    takes packets that never pass the host's rules.
    """

    rule_id: str
    selector: str
    problem: SelectorProblem
    names: tuple[str, ...] = ()


def find_selected(containers: Iterable[RunningContainer], selector: str) -> tuple[RunningContainer, ...]:
    """Return the containers with this name, `project/service` or label."""
    if selector.startswith(LABEL):
        return tuple(each for each in containers if has_label(each.labels, selector))
    return tuple(each for each in containers if selector in (each.name, each.compose_name))


def container_members(
    definitions: Definitions, containers: Sequence[RunningContainer], listeners: Sequence[Listener]
) -> Mapping[str, tuple[str, ...]]:
    """Return the members of each set, sorted and without duplicates, at most MOST_MEMBERS a set."""
    selected: dict[str, tuple[RunningContainer, ...]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for name, definition in definitions.items():
        if definition.selector not in selected:
            known = find_selected(containers, definition.selector)
            selected[definition.selector] = tuple(each for each in known if not each.on_host_network)
        bound = bound_set(name)
        members = set(_members(definition, bound.family, selected[definition.selector], listeners))
        found[name] = tuple(sorted(filter(bound.takes, members))[:MOST_MEMBERS])
    return MappingProxyType(found)


def unmatched_selectors(document: Document, containers: Iterable[RunningContainer]) -> tuple[str, ...]:
    """Return the names in enabled rules that no running container has, sorted."""
    known = tuple(containers)
    named = {rule.container for rule in document.rules if rule.enabled and rule.container}
    return tuple(sorted(each for each in named if not find_selected(known, each)))


def find_unbound(
    rules: Iterable[DocumentRule],
    containers: Sequence[RunningContainer],
    interfaces: Sequence[HostInterface],
) -> Iterator[UnboundRule]:
    """Yield the enabled rules by name that allow nothing now, each with the reason."""
    for rule in rules:
        if not rule.enabled or not rule.container:
            continue
        found = find_selected(containers, rule.container)
        problem = _problem(rule, found, interfaces)
        if problem is not None:
            yield UnboundRule(rule.id, rule.container, problem, tuple(each.name for each in found))


def _problem(
    rule: DocumentRule, found: Sequence[RunningContainer], interfaces: Sequence[HostInterface]
) -> SelectorProblem | None:
    if not found:
        return "no-container"
    apart = [each for each in found if not each.on_host_network]
    if not apart:
        return "host-network"
    if not any(_is_on_bridge(each, interfaces) for each in apart):
        return "no-bridge"
    wanted = ContainerSet(rule.container, "published", rule.protocol, rule.ports)
    published = any(_includes(wanted, each) for one in apart for each in one.publications)
    return None if published or rule.port_kind == "container" else "not-published"


def _is_on_bridge(container: RunningContainer, interfaces: Sequence[HostInterface]) -> bool:
    """Return True if the host has a bridge in a network of the container."""
    return any(
        address in own.network
        for each in interfaces
        if each.kind in ("", "bridge")
        for own in each.addresses
        for address in container.addresses
        if address.version == own.version
    )


def _members(
    definition: ContainerSet,
    family: Family,
    containers: Sequence[RunningContainer],
    listeners: Sequence[Listener],
) -> Iterator[str]:
    if definition.kind == "inside":
        yield from (str(own) for each in containers for own in each.addresses if own.version == family)
    elif definition.kind == "published":
        for each in containers:
            for port in each.publications:
                here = port.address is None or port.address.version == family
                if here and _includes(definition, port):
                    own = (address for address in each.addresses if address.version == family)
                    yield from (f"{address},{port.protocol}:{port.to_port}" for address in own)
    else:
        places = {
            (port.protocol, port.address, port.port)
            for each in containers
            for port in each.publications
            if _includes(definition, port)
        }
        held = [each for each in listeners if (each.protocol, each.address, each.port) in places]
        yield from proxy_members(held, family)


def _includes(definition: ContainerSet, port: Publication) -> bool:
    """Return True if a set stands for a published port. One on a loopback address is only for the host."""
    if port.address is not None and port.address.is_loopback:
        return False
    if definition.protocol not in ("any", port.protocol):
        return False
    return not definition.ports or any(
        first <= port.port <= last for first, last in map(port_range, definition.ports)
    )

"""Which sources reach the destinations behind a host, now and after a load, and what a load changes.

Each destination is asked by one address that stands for all of it: every port by one that no rule names, and
the ports that rules of others or open connections name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Final

from dockerfw.document.fields import port_range, port_text
from dockerfw.document.values import Document
from dockerfw.document.words import join_words
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import change_sentences
from dockerfw.reach.allowing_rules import ENTRIES, AllowingRules
from dockerfw.reach.changes import Change, ChangeKind, ChangeWords, compare_answers
from dockerfw.reach.exposure import Access, ExposureLevel, level_of, merge_answers, widest_level
from dockerfw.reach.forwarded import Destination, Destinations, Ports
from dockerfw.reach.port_classes import PROTOCOLS, WITH_PORTS, ClassName, free_port
from dockerfw.reach.unchanged import find_changed
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface

Rules = Mapping[Family, Prepared]

# Of the ports that rules for containers name, those of changed rules first.
MOST_PORTS_OF_RULES: Final = 16
_CLASSES: Final[tuple[ClassName, ...]] = ("tcp", "udp", "other", "ping")


@dataclass(frozen=True, slots=True)
class Probe:
    """A question about a destination: a class such as every TCP port, or the ports that are named."""

    protocol: int
    port: int | None
    name: ClassName | None
    ports: Ports | None = None


@dataclass(frozen=True, slots=True)
class ForwardedRow:
    """What reaches a destination: `what` has these answers. A rule with the fields `allow` would allow it."""

    destination: Destination
    what: str
    access: tuple[Access, ...]
    allow: tuple[tuple[str, str], ...]

    @property
    def level(self) -> ExposureLevel:
        """The level of the widest answer."""
        return widest_level(self.access)


def destination_changes(
    destinations: Destinations,
    documents: tuple[Document | None, Document],
    before: Rules,
    after: Rules,
    outside: Sequence[HostInterface],
) -> tuple[Change, ...]:
    """Return what a load changes for destinations, each with a rule that would allow what closes."""
    changes: list[Change] = []
    changed = find_changed(before, after) if destinations.found else {}
    asked_for = [
        each
        for each in destinations.found
        if each.family in before and each.family in after and changed[each.family]
    ]
    named = _ports_for_containers(documents) if asked_for else ()
    for each in asked_for:
        found: dict[tuple[ChangeKind, ChangeWords], list[Probe]] = {}
        asked = tuple(_probes(each, documents, named))
        for probe in asked:
            was, now = (
                [_access(rules[each.family], each, probe, one) for one in _arrivals(each, outside)]
                for rules in (before, after)
            )
            for change in compare_answers(was, now):
                found.setdefault(change, []).append(probe)
        for (kind, (sources, more)), probes in found.items():
            what, many = _words(probes, _rest_words(named, alone=len(probes) == len(asked)))
            sentence = change_sentences.destination_change(
                kind, what, each.text, each.interface, sources, more, many=many
            )
            changes.append(Change(kind, sentence, _allow(each, probes) if kind == "closed" else ()))
    if destinations.more:
        changes.append(Change("unknown", change_sentences.more_destinations(destinations.more)))
    return tuple(changes)


def expose_destinations(
    destinations: Destinations,
    documents: tuple[Document | None, ...],
    rules: Rules,
    outside: Sequence[HostInterface],
) -> tuple[ForwardedRow, ...]:
    """Return what reaches each destination; where nothing does, one row says so."""
    allowing = {family: AllowingRules(each) for family, each in rules.items()}
    rows: list[ForwardedRow] = []
    named = _ports_for_containers(documents)
    for each in destinations.found:
        if each.family not in rules:
            continue
        found: dict[tuple[object, ...], list[tuple[Probe, tuple[Access, ...]]]] = {}
        for probe in _probes(each, documents, named):
            answers = merge_answers(
                _access(rules[each.family], each, probe, interface, allowing[each.family])
                for interface in _arrivals(each, outside)
            )
            said = tuple((one.interfaces, one.passes, one.unknown) for one in answers)
            found.setdefault(said, []).append((probe, answers))
        for group in found.values():
            refused = all(one.level == "nobody" for one in group[0][1])
            if group[0][1] and not (refused and len(found) > 1):
                probes = [probe for probe, _ in group]
                what, _ = _words(probes, _rest_words(named, alone=len(found) == 1))
                rows.append(ForwardedRow(each, what, _joined_rules(group), _allow(each, probes)))
    return tuple(rows)


def _arrivals(destination: Destination, outside: Sequence[HostInterface]) -> Iterator[HostInterface]:
    """Yield the interfaces from outside that do not lead to the destination themselves."""
    yield from (each for each in outside if each.name != destination.interface)


def _access(
    rules: Prepared,
    destination: Destination,
    probe: Probe,
    interface: HostInterface,
    allowing: AllowingRules | None = None,
) -> Access:
    """Return which sources reach a destination over one interface, and by which rules, if those are given."""
    service = Service(destination.family, probe.protocol, destination.dialled, probe.port, interface.name)
    reach = simulate_service(rules, service, ENTRIES if allowing is not None else frozenset())
    ids = allowing.find_allowing(reach, reach.passes) if allowing is not None else ()
    return Access(
        family=destination.family,
        interfaces=(interface.name,),
        level=level_of(destination.family, reach.passes, reach.unknown),
        passes=reach.passes,
        refused=reach.refused,
        unknown=reach.unknown,
        rules=ids,
        parts=reach.parts,
    )


def _joined_rules(group: Sequence[tuple[Probe, tuple[Access, ...]]]) -> tuple[Access, ...]:
    """Return the answers of a group, each with the rules that allow any of its probes."""
    return tuple(
        replace(first, rules=tuple(dict.fromkeys(name for _, answers in group for name in answers[at].rules)))
        for at, first in enumerate(group[0][1])
    )


def _probes(
    destination: Destination, documents: Sequence[Document | None], named: Sequence[Ports]
) -> Iterator[Probe]:
    """Yield the ports of the destination, those of rules for it and `named`, and then the classes."""
    ports = dict.fromkeys(
        (*destination.ports, *_ports_of_rules(destination, documents), *named[:MOST_PORTS_OF_RULES])
    )
    for protocol, (first, last) in ports:
        number = protocol_number(protocol)
        if number is not None:
            yield Probe(number, first, None, (protocol, (first, last)))
    for name in () if destination.named_only else _CLASSES:
        port = None
        if name in WITH_PORTS:
            ranges = [each for protocol, each in ports if protocol == name]
            port = free_port([*_ranges_of_rules(name, documents), *ranges], ())
            if port is None:
                continue
        yield Probe(PROTOCOLS[name][destination.family == 6], port, name)


def _ranges_of_rules(protocol: str, documents: Sequence[Document | None]) -> Iterator[tuple[int, int]]:
    rules = (rule for document in documents if document for rule in document.rules)
    yield from (port_range(port) for rule in rules if rule.protocol == protocol for port in rule.ports)


def _ports_of_rules(destination: Destination, documents: Sequence[Document | None]) -> Iterator[Ports]:
    for document in documents:
        for rule in document.rules if document else ():
            if rule.enabled and rule.to and _is_for(rule.to, destination):
                yield from ((rule.protocol, port_range(port)) for port in rule.ports[:4])


def _ports_for_containers(documents: Sequence[Document | None]) -> tuple[Ports, ...]:
    """Return the ports of rules for containers, which match all forwarded traffic, of changed rules first."""
    held = [set(document.rules if document else ()) for document in documents]
    rules = dict.fromkeys(rule for document in documents if document for rule in document.rules)
    wide = [rule for rule in rules if rule.enabled and rule.is_for_containers]
    wide.sort(key=lambda rule: all(rule in each for each in held))
    return tuple(dict.fromkeys((rule.protocol, port_range(port)) for rule in wide for port in rule.ports))


def _rest_words(named: Sequence[Ports], *, alone: bool) -> str:
    """Return what the classes stand for; `alone` if no named port has another answer."""
    if len(named) > MOST_PORTS_OF_RULES:
        return change_sentences.UNNAMED_PORTS
    return change_sentences.EVERYTHING if alone else change_sentences.EVERYTHING_ELSE


def _is_for(to: str, destination: Destination) -> bool:
    return (":" in to) == (destination.family == 6) and destination.address in ip_network(to)


def _words(probes: Sequence[Probe], rest: str) -> tuple[str, bool]:
    """Return what probes are about, and whether it is several things; `rest` are words for all classes."""
    names = [probe.name for probe in probes if probe.name is not None]
    if set(names) == set(_CLASSES):
        return rest, False
    ports = [probe.ports for probe in probes if probe.ports is not None and probe.ports[0] not in names]
    found = [f"{port_text(*each)}/{protocol}" for protocol, each in ports]
    found += [change_sentences.DESTINATION_CLASSES[name] for name in names]
    return join_words(found), len(found) > 1


def _allow(destination: Destination, probes: Sequence[Probe]) -> tuple[tuple[str, str], ...]:
    """Return the fields of a rule that would allow these packets, everything where no rule has them."""
    names = {probe.name for probe in probes if probe.name is not None}
    protocols = {probe.ports[0] for probe in probes if probe.ports is not None}
    values = {"scope": "forwarded", "to": destination.text}
    if not names and len(protocols) == 1:
        ports = [port_text(*probe.ports[1]) for probe in probes if probe.ports is not None]
        return tuple({**values, "protocol": protocols.pop(), "ports": ", ".join(ports)}.items())
    if names == {"ping"} and not protocols:
        return tuple({**values, "protocol": "icmp"}.items())
    if names in ({"tcp"}, {"udp"}) and protocols <= names:
        return tuple({**values, "protocol": str(names.pop())}.items())
    return tuple({**values, "protocol": "any"}.items())

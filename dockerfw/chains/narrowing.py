"""Imported rules with the meaning of their file: what a line accepts, less what an earlier line refuses.

importing.py reads line by line, and rules of a document have no order. So each rule is compared with what the
file does with every kind of packet. A line that refuses what a rule would allow becomes a block, if nothing
that it names passes. A rule that still allows more is replaced by rules for what really passes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from dockerfw.chains.packet_classes import (
    OTHER,
    Answer,
    Meaning,
    PacketClass,
    Place,
    TooManyClasses,
    list_classes,
    unnamed_ports,
)
from dockerfw.document.document import validate_rule
from dockerfw.document.fields import MAX_PORTS, port_range, port_text
from dockerfw.document.values import DocumentRule
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, protocol_name, protocol_number
from dockerfw.simulation.addresses import LAST, AddressSet, union_of
from dockerfw.simulation.surroundings import IpSet

_MOST_COMPARISONS: Final = 3_000_000
_MOST_NETWORKS: Final = 64
_LIMITS: Final = re.compile(r" -m (?:recent|connlimit) ")
_ICMP: Final = frozenset((ICMP, IPV6_ICMP))
_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The places of rules that allow too much, the rules instead of them, and whether ping reaches the host.

    `added` are rules as JSON values. `incomplete` is true where rules cannot express all that passes.
    `blocks` are the places of the blocks that the rules need, `refusing_more` those of blocks that would also
    refuse what passes.
    """

    too_wide: frozenset[int]
    added: tuple[dict[str, Any], ...]
    icmp: bool
    incomplete: bool
    blocks: frozenset[int] = frozenset()
    refusing_more: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Kind:
    """A kind of packet and what the file does with it, which is asked when it is needed.

    Few kinds are needed where dockerfw wrote the lines, and each question walks through the rules.
    """

    kind: PacketClass
    meaning: Meaning

    @property
    def family(self) -> Family:
        """The IP version of the packets."""
        return self.meaning.family

    @cached_property
    def answer(self) -> Answer:
        """What the file does with packets from each source."""
        return self.meaning.ask(self.kind)

    @cached_property
    def passes(self) -> AddressSet:
        """The sources from which a first packet passes."""
        return self.answer.passes.union(_limited(self.answer, self.family))

    @cached_property
    def accepted_elsewhere(self) -> AddressSet:
        """The sources that a rule in another chain of an admin accepts, which no line was read from."""
        if not self.meaning.admin_chains:
            return AddressSet.nothing(self.family)
        found = [
            sources
            for sources, verdict in self.answer.parts
            if verdict.passes and verdict.step is not None and verdict.step.rule is not None
            if verdict.step.chain in self.meaning.admin_chains
        ]
        return union_of(self.family, found)


def narrow(
    rules: Sequence[tuple[DocumentRule, bool]],
    rulesets: Mapping[Family, Ruleset],
    external: Sequence[str],
    sets: Mapping[str, IpSet] | None = None,
    blocks: Sequence[DocumentRule] = (),
) -> Narrowed:
    """Compare rules with the rulesets that they were read from. Raises TooManyClasses.

    The flag of a rule is true if dockerfw wrote its line. Such a rule stays as it is. `blocks` are the lines
    that refuse packets, in the form of blocks.
    """
    kinds = [each for family, live in rulesets.items() for each in _kinds(live, family, external, sets)]
    places = _Places(kinds)
    allowed: dict[int, list[tuple[int, AddressSet]]] = {}
    for at, (rule, _) in enumerate(rules):
        for number in places.of(rule):
            allowed.setdefault(number, []).append((at, _sources(rule, kinds[number].family)))
    needed, refusing_more = places.block(blocks, allowed)
    too_wide = {
        at
        for number, found in allowed.items()
        for at, sources in found
        if not rules[at][1] and sources.difference(places.harmless(number))
    }
    missing: dict[tuple[Family, PacketClass], AddressSet] = {}
    for number, each in enumerate(kinds):
        found = allowed.get(number, ())
        if not each.accepted_elsewhere and not any(at in too_wide for at, _ in found):
            continue
        asked = union_of(each.family, [sources for _, sources in found]).union(each.accepted_elsewhere)
        kept = union_of(each.family, [sources for at, sources in found if at not in too_wide])
        left = asked.intersection(each.passes).difference(kept)
        everyone = left.union(places.blocked(number))
        if left:
            missing[each.family, each.kind] = everyone if everyone.is_everything else left
    added = _Rules(kinds, missing, icmp=places.ping_passes())
    added.write()
    sound = tuple(values for values in added.found if places.are_allowed(validate_rule(values)))
    incomplete = added.incomplete or len(sound) < len(added.found)
    return Narrowed(frozenset(too_wide), sound, added.icmp, incomplete, needed, refusing_more)


def _kinds(
    live: Ruleset, family: Family, external: Sequence[str], sets: Mapping[str, IpSet] | None
) -> Iterator[_Kind]:
    """Return what arrives on the external interfaces; without any, on interfaces that no rule names."""
    wanted = {name.rstrip("+") for name in external} or {OTHER}
    kinds = [kind for kind in list_classes((live,), family, external) if kind.interface in wanted]
    meaning = Meaning(live, family, sets)
    return (_Kind(kind, meaning) for kind in kinds)


def _limited(answer: Answer, family: Family) -> AddressSet:
    """Return the sources that only a limit for repeated packets may refuse: their first packet passes it."""
    found = [
        sources
        for sources, verdict in answer.parts
        if verdict.passes is None and verdict.step is not None and (rule := verdict.step.rule) is not None
        if rule.target is not None and rule.target.name in ("DROP", "REJECT") and _LIMITS.search(rule.text)
    ]
    return union_of(family, found)


class _Places:
    """Finds the kinds of packets that a rule is about, without asking each kind about each rule."""

    def __init__(self, kinds: Sequence[_Kind]) -> None:
        self._kinds = kinds
        self._left = _MOST_COMPARISONS
        self._blocked: dict[int, AddressSet] = {}
        self._by_protocol: dict[tuple[Place, int], list[int]] = {}
        self._by_port: dict[tuple[Place, int, str], list[tuple[int, int]]] = {}
        for number, each in enumerate(kinds):
            kind = each.kind
            self._by_protocol.setdefault((kind.place, kind.protocol), []).append(number)
            for side, ports in (("published", kind.ports), ("container", kind.inner or kind.ports)):
                if ports is not None:
                    key = (kind.place, kind.protocol, side)
                    self._by_port.setdefault(key, []).append((ports[0], number))
        for found in self._by_port.values():
            found.sort()

    def of(self, rule: DocumentRule) -> list[int]:
        """Return the numbers of the kinds that the rule allows from its source. Raises TooManyClasses."""
        places: dict[Place, tuple[str, ...]] = {"host": ("both", "host"), "containers": ("both", "container")}
        wanted = None if rule.protocol == "any" else protocol_number(rule.protocol)
        found: list[int] = []
        for place, protocol in self._by_protocol:
            same = wanted in (None, protocol) or (wanted == ICMP and protocol in _ICMP)
            if rule.enabled and same and rule.scope in places[place]:
                found += self._numbers(rule, place, protocol)
        self._left -= len(found)
        if self._left < 0:
            raise TooManyClasses
        return [number for number in found if self._kinds[number].family in rule.families]

    def _numbers(self, rule: DocumentRule, place: Place, protocol: int) -> list[int]:
        if not rule.ports:
            return self._by_protocol[place, protocol]
        side = rule.port_kind if place == "containers" else "published"
        starts = self._by_port.get((place, protocol, side), [])
        found: list[int] = []
        for first, last in map(port_range, rule.ports):
            start, end = bisect_left(starts, (first, -1)), bisect_left(starts, (last + 1, -1))
            found += [number for _, number in starts[start:end]]
        return found

    def block(
        self, blocks: Sequence[DocumentRule], allowed: Mapping[int, Sequence[tuple[int, AddressSet]]]
    ) -> tuple[frozenset[int], frozenset[int]]:
        """Take the blocks that `allowed` needs; return their places, and those of blocks that refuse more."""
        about: dict[int, list[tuple[int, AddressSet]]] = {}
        for at, rule in enumerate(blocks):
            sources = {family: _sources(rule, family) for family in rule.families}
            for number in self.of(rule):
                about.setdefault(number, []).append((at, sources[self._kinds[number].family]))
        more: set[int] = set()
        for number, found in about.items():
            refused = self._kinds[number].answer.refused
            if self._union(number, found).difference(refused):
                more.update(at for at, sources in found if sources.difference(refused))
        self._take(about, {at for at in range(len(blocks)) if at not in more})
        ping = self.ping_passes()
        needed: set[int] = set()
        for number, found in about.items():
            each = self._kinds[number]
            wanted = self._union(number, allowed.get(number, ())).union(each.accepted_elsewhere)
            if ping and each.kind.place == "host" and each.kind.protocol in _ICMP:
                wanted = AddressSet.everything(each.family)
            left = [(at, sources) for at, sources in found if at not in needed and at not in more]
            needed.update(at for at, sources in left if wanted.intersection(sources))
        self._take(about, needed)
        return frozenset(needed), frozenset(more)

    def _union(self, number: int, found: Iterable[tuple[int, AddressSet]]) -> AddressSet:
        return union_of(self._kinds[number].family, [sources for _, sources in found])

    def _take(self, about: Mapping[int, Sequence[tuple[int, AddressSet]]], taken: set[int]) -> None:
        self._blocked = {
            number: self._union(number, [pair for pair in found if pair[0] in taken])
            for number, found in about.items()
        }

    def blocked(self, number: int) -> AddressSet:
        """Return the sources that a block refuses."""
        return self._blocked.get(number) or AddressSet.nothing(self._kinds[number].family)

    def harmless(self, number: int) -> AddressSet:
        """Return the sources that a rule may allow: what passes today, and what a block refuses anyway."""
        return self._kinds[number].passes.union(self.blocked(number))

    def are_allowed(self, rule: DocumentRule) -> bool:
        """Return True if all that the rule allows passes today or is blocked."""
        found = ((number, self._kinds[number].family) for number in self.of(rule))
        return not any(_sources(rule, family).difference(self.harmless(number)) for number, family in found)

    def ping_passes(self) -> bool:
        """Return True if every type of ICMP reaches the host from anywhere that no block refuses."""
        return all(
            each.answer.passes.union(self.blocked(number)).is_everything
            for number, each in enumerate(self._kinds)
            if each.kind.protocol in _ICMP and each.kind.place == "host"
        )


def _sources(rule: DocumentRule, family: Family) -> AddressSet:
    if not rule.sources:
        return AddressSet.everything(family)
    wanted = ":" if family == 6 else "."
    return AddressSet.of(family, [source for source in rule.sources if wanted in source])


class _Rules:
    """Writes rules for kinds of packets: one for each source, with all ports of a protocol."""

    def __init__(
        self,
        kinds: Sequence[_Kind],
        missing: Mapping[tuple[Family, PacketClass], AddressSet],
        *,
        icmp: bool,
    ) -> None:
        self._kinds = kinds
        self._missing = missing
        self.found: list[dict[str, Any]] = []
        self.icmp = icmp
        self.incomplete = False

    def write(self) -> None:
        """Write all of them; what is equal for host and containers becomes one rule."""
        places: tuple[Place, Place] = ("host", "containers")
        host, containers = (dict(self._of_place(place)) for place in places)
        for key, kind in host.items():
            scope = "both" if key in containers else "host"
            self._add(scope, key, containers.pop(key, kind))
        for key, kind in containers.items():
            self._add("container", key, kind)

    def _add(self, scope: str, key: tuple[str, str, tuple[str, ...]], kind: str) -> None:
        source, protocol, ports = key
        for start in range(0, max(len(ports), 1), MAX_PORTS):
            self.found.append(
                {
                    "scope": scope,
                    "source": source,
                    "protocol": protocol,
                    "ports": list(ports[start : start + MAX_PORTS]),
                    "port_kind": kind if ports else "published",
                }
            )

    def _of_place(self, place: Place) -> Iterator[tuple[tuple[str, str, tuple[str, ...]], str]]:
        """Yield (source, protocol, ports) with the port that counts for containers."""
        for family in dict.fromkeys(each.family for each in self._kinds):
            kinds = [each.kind for each in self._kinds if each.family == family and each.kind.place == place]
            kinds = list(dict.fromkeys(_anywhere(kind) for kind in kinds))
            for source, held in self._by_source(family, kinds).items():
                if set(held) == set(kinds):
                    yield (source, "any", ()), "published"
                    continue
                for protocol in dict.fromkeys(kind.protocol for kind in held):
                    if place == "host" and protocol in _ICMP and self.icmp:
                        continue
                    yield from self._of_protocol(source, protocol, held, kinds)

    def _by_source(self, family: Family, kinds: Iterable[PacketClass]) -> dict[str, list[PacketClass]]:
        """Return the kinds that each network reaches on every interface that counts."""
        everything: dict[PacketClass, AddressSet] = {}
        for each in self._kinds:
            kind = _anywhere(each.kind)
            if each.family == family:
                left = self._missing.get((family, each.kind), AddressSet.nothing(family))
                everything[kind] = everything[kind].intersection(left) if kind in everything else left
        found: dict[str, list[PacketClass]] = {}
        for kind in kinds:
            networks = list(everything[kind].networks(_MOST_NETWORKS + 1))
            if len(networks) > _MOST_NETWORKS:
                self.incomplete = True
                continue
            for network in networks:
                anyone = int(network.network_address) == 0 and int(network.broadcast_address) == LAST[family]
                found.setdefault("any" if anyone else str(network), []).append(kind)
        return found

    def _of_protocol(
        self, source: str, protocol: int, held: Sequence[PacketClass], kinds: Sequence[PacketClass]
    ) -> Iterator[tuple[tuple[str, str, tuple[str, ...]], str]]:
        mine = {kind for kind in held if kind.protocol == protocol}
        name = protocol_name(ICMP if protocol in _ICMP else protocol)
        if mine == {kind for kind in kinds if kind.protocol == protocol}:
            yield (source, name, ()), "published"
            return
        other = unnamed_ports(kinds).get(protocol)
        equal = {kind.ports for kind in mine if kind.inner is None}
        sides: dict[str, set[tuple[int, int] | None]] = {
            "container": {kind.inner for kind in mine if kind.ports == other and kind.inner is not None},
            "published": {kind.ports for kind in mine if kind.inner == other},
        }
        named = {kind.ports for kind in kinds if kind.protocol == protocol and kind.inner == other}
        # A side decides nothing if its named ports all fare like the others.
        usual = named if other in equal else set()
        deciding = [side for side, ports in sides.items() if ports != usual]
        if len(deciding) > 1:
            self.incomplete = True
            return
        side = deciding[0] if deciding else "published"
        ports = equal & (sides[side] | {other}) if named else equal
        if ports:
            yield (source, name, _texts(each for each in ports if each is not None)), side


def _anywhere(kind: PacketClass) -> PacketClass:
    return PacketClass(kind.place, "", kind.protocol, kind.ports, kind.inner, kind.icmp_type)


def _texts(ranges: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(each for each in set(ranges) if each != (0, 0)):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((max(first, 1), last))
    return tuple(port_text(first, last) for first, last in joined)

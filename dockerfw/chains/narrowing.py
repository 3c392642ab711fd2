"""Imported rules with the meaning of their file: what a line accepts, less what an earlier line refuses.

importing.py reads line by line, and rules of a document have no order. So each rule is compared with what the
file does with every kind of packet. One that allows more is replaced by rules for what really passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dockerfw.chains.owners import chain_owner
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
from dockerfw.document.fields import MAX_PORTS
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import DocumentRule
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, protocol_name, protocol_number
from dockerfw.simulation.addresses import LAST, AddressSet, union_of
from dockerfw.simulation.surroundings import IpSet

_MOST_COMPARISONS: Final = 3_000_000
_MOST_NETWORKS: Final = 64
_ICMP: Final = frozenset((ICMP, IPV6_ICMP))
_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The places of rules that allow too much, the rules instead of them, and whether ping reaches the host.

    `added` are rules as JSON values. `incomplete` is true where too many networks would have to be named.
    """

    too_wide: frozenset[int]
    added: tuple[dict[str, Any], ...]
    icmp: bool
    incomplete: bool


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of packet with what the file does with it."""

    kind: PacketClass
    answer: Answer
    family: Family


def narrow(
    rules: Sequence[tuple[DocumentRule, bool]],
    rulesets: Mapping[Family, Ruleset],
    external: Sequence[str],
    sets: Mapping[str, IpSet] | None = None,
) -> Narrowed:
    """Compare rules with the rulesets that they were read from. Raises TooManyClasses.

    The flag of a rule is true if dockerfw wrote its line. Such a rule stays as it is.
    """
    kinds = [
        each for family, live in rulesets.items() for each in _kinds(live, family, external, len(rules), sets)
    ]
    too_wide = frozenset(at for at, (rule, own) in enumerate(rules) if not own and _is_too_wide(rule, kinds))
    missing: dict[tuple[Family, PacketClass], AddressSet] = {}
    for each in kinds:
        asked = _allowed((rule for rule, _ in rules), each).union(_accepted_elsewhere(each))
        kept = _allowed((rule for at, (rule, _) in enumerate(rules) if at not in too_wide), each)
        left = asked.intersection(each.answer.passes).difference(kept)
        if left:
            missing[each.family, each.kind] = left
    added = _Rules(kinds, missing)
    added.write()
    return Narrowed(too_wide, tuple(added.found), added.icmp, added.incomplete)


def _kinds(
    live: Ruleset, family: Family, external: Sequence[str], rules: int, sets: Mapping[str, IpSet] | None
) -> Iterator[_Kind]:
    """Yield what arrives on the external interfaces; without any, on interfaces that no rule names."""
    wanted = {name.rstrip("+") for name in external} or {OTHER}
    kinds = [kind for kind in list_classes((live,), family, external) if kind.interface in wanted]
    if len(kinds) * (rules + 1) > _MOST_COMPARISONS:
        raise TooManyClasses
    meaning = Meaning(live, family, sets)
    for kind in kinds:
        yield _Kind(kind, meaning.ask(kind), family)


def _is_too_wide(rule: DocumentRule, kinds: Iterable[_Kind]) -> bool:
    return any(
        _applies(rule, each) and bool(_sources(rule, each.family).difference(each.answer.passes))
        for each in kinds
        if not each.answer.passes.is_everything
    )


def _allowed(rules: Iterable[DocumentRule], each: _Kind) -> AddressSet:
    found = [_sources(rule, each.family) for rule in rules if _applies(rule, each)]
    return union_of(each.family, found)


def _applies(rule: DocumentRule, each: _Kind) -> bool:
    kind = each.kind
    if not rule.enabled or each.family not in rule.families:
        return False
    if rule.scope not in ("both", "host" if kind.place == "host" else "container"):
        return False
    if rule.protocol != "any":
        wanted = protocol_number(rule.protocol)
        if wanted != kind.protocol and not (wanted == ICMP and kind.protocol in _ICMP):
            return False
    inside = kind.place == "containers" and rule.port_kind == "container"
    ports = kind.inner or kind.ports if inside else kind.ports
    return not rule.ports or (ports is not None and includes_port(rule, ports[0]))


def _sources(rule: DocumentRule, family: Family) -> AddressSet:
    return AddressSet.everything(family) if rule.source == "any" else AddressSet.of(family, [rule.source])


def _accepted_elsewhere(each: _Kind) -> AddressSet:
    """Return the sources that a rule in another chain of an admin accepts, which no line was read from."""
    found = [
        sources
        for sources, verdict in each.answer.parts
        if verdict.passes and verdict.step is not None and verdict.step.rule is not None
        if chain_owner("filter", verdict.step.chain) == "other"
    ]
    return union_of(each.family, found)


def _ping_passes(kinds: Iterable[_Kind]) -> bool:
    """Return True if every type of ICMP reaches the host from anywhere."""
    answers = [each.answer for each in kinds if each.kind.protocol in _ICMP and each.kind.place == "host"]
    return all(answer.passes.is_everything for answer in answers)


class _Rules:
    """Writes rules for kinds of packets: one for each source, with all ports of a protocol."""

    def __init__(
        self, kinds: Sequence[_Kind], missing: Mapping[tuple[Family, PacketClass], AddressSet]
    ) -> None:
        self._kinds = kinds
        self._missing = missing
        self.found: list[dict[str, Any]] = []
        self.icmp = _ping_passes(kinds)
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
        other = unnamed_ports(kinds)
        inside = [kind.inner for kind in mine if kind.ports == other and kind.inner is not None]
        dialled = [kind.ports for kind in mine if kind.inner is None or kind.inner == other]
        if inside:
            yield (source, name, _texts(inside)), "container"
        left = [ports for ports in dialled if ports is not None and ports not in inside]
        if left:
            yield (source, name, _texts(left)), "published"


def _anywhere(kind: PacketClass) -> PacketClass:
    return PacketClass(kind.place, "", kind.protocol, kind.ports, kind.inner, kind.icmp_type)


def _texts(ranges: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(set(ranges)):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((max(first, 1), last))
    return tuple(str(first) if first == last else f"{first}-{last}" for first, last in joined)

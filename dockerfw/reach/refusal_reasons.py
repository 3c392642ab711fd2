"""Why the rules of a revision refused a packet: each rule compared with it, one condition after another.

The kernel said already that it refused the packet, so a rule that would allow it is a contradiction, and the
reason is then unknown. What is not known of the packet or of that moment is never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final, Literal

from dockerfw.document.fields import interface_covers, port_range
from dockerfw.document.moments import applies_at, to_second
from dockerfw.document.rule_fields import group_of
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import Document, DocumentRule
from dockerfw.document.words import describe_place
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS
from dockerfw.reach import refusal_sentences as sentences
from dockerfw.reach.container_sets import find_selected
from dockerfw.reach.listening import RunningContainer
from dockerfw.simulation.addresses import AddressSet

ReasonKind = Literal[
    "no-rule", "sources", "limit", "time", "elsewhere", "interface", "block", "loopback", "unknown"
]
Missed = Literal["sources", "time", "elsewhere", "interface"]
Condition = Missed | Literal["port"]
GroupNetworks = Mapping[str, Mapping[Family, AddressSet] | None]
"""What a feed, DNS names or countries stood for, by the group's name; None where that is not known."""

# Ranges up to this are found by each port, larger ones are compared one by one.
_NARROW: Final = 64
_MISSED: Final[tuple[Missed, ...]] = ("sources", "time", "elsewhere", "interface")
_ICMP: Final[Mapping[Family, str]] = {4: "icmp", 6: "ipv6-icmp"}


@dataclass(frozen=True, slots=True)
class RefusedPacket:
    """A refused packet; `port` is the dialled one, `inner` and `inner_port` the end after DNAT, if any.

    `way` is the side that it was for, `reason` the line that refused it. `sources` is its source, or the
    network in which it is. `containers` are those that it was for, None where they are not known. `moment`
    is a time of UTC as messages write it.
    """

    family: Family
    way: Literal["host", "container"]
    interface: str
    sources: AddressSet
    destination: str
    protocol: str
    port: int | None
    inner: str
    inner_port: int | None
    containers: tuple[RunningContainer, ...] | None
    reason: Literal["refused", "block", "loopback"]
    moment: str


@dataclass(frozen=True, slots=True)
class RefusalReason:
    """Why a packet was refused: the kind, a sentence without its full stop, and the ids of the rules."""

    kind: ReasonKind
    text: str
    rules: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Return True if the reason is certain."""
        return self.kind != "unknown"


class RefusalExplainer:
    """Explains what one revision's document refuses; rules are found by their ports."""

    def __init__(self, document: Document, revision: int, groups: GroupNetworks) -> None:
        """Take the document of `revision`, and what its groups stood for that are not static."""
        self._revision = revision
        self.has_times = any(rule.enabled and (rule.starts or rule.expires) for rule in document.rules)
        """True if reasons depend on the moment."""
        self._groups: dict[str, Mapping[Family, AddressSet] | None] = {
            f"@{name}": networks for name, networks in groups.items()
        }
        for group in document.groups:
            if group.kind == "static":
                self._groups[f"@{group.name}"] = _by_family(group.entries)
        self._sources: dict[tuple[str, Family], AddressSet] = {}
        self._portless: list[DocumentRule] = []
        self._wide: list[DocumentRule] = []
        self._narrow: dict[int, list[DocumentRule]] = defaultdict(list)
        for rule in document.rules:
            if rule.enabled:
                self._index(rule)

    def explain(self, packet: RefusedPacket) -> RefusalReason:
        """Return why the packet was refused."""
        if packet.reason == "loopback":
            return RefusalReason("loopback", sentences.LOOPBACK)
        action = "block" if packet.reason == "block" else "allow"
        rules = [rule for rule in self._candidates(packet) if rule.action == action]
        compared = [(rule, self._compare(rule, packet)) for rule in rules]
        return self._blocked(packet, compared) if action == "block" else self._refused(packet, compared)

    def _index(self, rule: DocumentRule) -> None:
        if not rule.ports:
            self._portless.append(rule)
            return
        ranges = [port_range(text) for text in rule.ports]
        if any(last - first >= _NARROW for first, last in ranges):
            self._wide.append(rule)
            return
        for port in {port for first, last in ranges for port in range(first, last + 1)}:
            self._narrow[port].append(rule)

    def _candidates(self, packet: RefusedPacket) -> Iterator[DocumentRule]:
        """Yield the rules whose protocol and ports include the packet's, or may do so, each once."""
        inner = packet.port if packet.inner_port is None else packet.inner_port
        found = [*self._portless, *self._wide]
        for port in {packet.port, inner} - {None}:
            found += self._narrow.get(port or 0, ())
        if packet.port is None and packet.protocol in PROTOCOLS_WITH_PORTS:
            # A later fragment: any rule of the protocol may be meant.
            found += [rule for rules in self._narrow.values() for rule in rules]
        for rule in {rule.id: rule for rule in found}.values():
            protocol = _ICMP[packet.family] if rule.protocol == "icmp" else rule.protocol
            if protocol not in ("any", packet.protocol):
                continue
            inside = rule.scope == "host" or rule.port_kind == "container"
            port = inner if inside else packet.port
            if (
                not rule.ports
                or (port is None and packet.protocol in PROTOCOLS_WITH_PORTS)
                or (port is not None and includes_port(rule, port))
            ):
                yield rule

    def _compare(self, rule: DocumentRule, packet: RefusedPacket) -> dict[Condition, bool | None]:
        """Return for each condition of a rule whether the packet meets it, None where that is not known."""
        return {
            "sources": self._comes_from(rule, packet),
            "time": applies_at(rule, to_second(packet.moment)),
            "elsewhere": _goes_to(rule, packet),
            "interface": _arrives_on(rule, packet),
            "port": None if rule.ports and packet.port is None else True,
        }

    def _refused(
        self, packet: RefusedPacket, compared: Sequence[tuple[DocumentRule, dict[Condition, bool | None]]]
    ) -> RefusalReason:
        what = sentences.describe_refused(packet.protocol, packet.port)
        possible = [(rule, found) for rule, found in compared if False not in found.values()]
        certain = [rule for rule, found in possible if None not in found.values()]
        if any(not rule.limit for rule in certain):
            return RefusalReason("unknown", sentences.allowed_now(self._revision), _ids(certain))
        unclear = [(rule, found) for rule, found in possible if None in found.values()]
        if unclear:
            rule, found = unclear[0]
            return RefusalReason("unknown", self._unclear(rule, found), (rule.id,))
        if certain:
            return RefusalReason("limit", sentences.over_the_limit(certain[0].limit), _ids(certain))
        if not compared:
            return RefusalReason("no-rule", sentences.no_rule(what))
        return _nearest(what, packet, compared)

    def _blocked(
        self, packet: RefusedPacket, compared: Sequence[tuple[DocumentRule, dict[Condition, bool | None]]]
    ) -> RefusalReason:
        possible = [(rule, found) for rule, found in compared if False not in found.values()]
        certain = [rule for rule, found in possible if None not in found.values()]
        if not certain and len(possible) == 1:
            # The kernel said that a block matched, and no other one can have.
            certain = [possible[0][0]]
        if certain:
            named = [source for source in certain[0].sources if self._includes(source, packet) is not False]
            return RefusalReason("block", sentences.blocked_by(named), _ids(certain))
        if possible:
            rule, found = possible[0]
            return RefusalReason("unknown", self._unclear(rule, found), (rule.id,))
        return RefusalReason("unknown", sentences.no_such_block(self._revision))

    def _unclear(self, rule: DocumentRule, found: Mapping[Condition, bool | None]) -> str:
        """Say which condition of a rule cannot be told."""
        condition = next((each for each in _MISSED if found[each] is None), None)
        if condition == "sources":
            names = [each for each in rule.sources if group_of(each) and self._groups.get(each) is None]
            return sentences.list_changed(names[0]) if names else sentences.UNKNOWN_SOURCE
        if condition == "elsewhere":
            return sentences.UNKNOWN_CONTAINERS
        return sentences.UNKNOWN_INTERFACE if condition == "interface" else sentences.UNKNOWN_PORT

    def _comes_from(self, rule: DocumentRule, packet: RefusedPacket) -> bool | None:
        if not rule.sources:
            return True
        groups = [source for source in rule.sources if group_of(source)]
        key = (rule.id, packet.family)
        if key not in self._sources:
            self._sources[key] = _by_family(source for source in rule.sources if not group_of(source))[
                packet.family
            ]
        answers = [_lies_in(packet.sources, self._sources[key])]
        answers += [self._includes(group, packet) for group in groups]
        return True if True in answers else None if None in answers else False

    def _includes(self, source: str, packet: RefusedPacket) -> bool | None:
        if not group_of(source):
            return _lies_in(packet.sources, _by_family((source,))[packet.family])
        networks = self._groups.get(source)
        return None if networks is None else _lies_in(packet.sources, networks[packet.family])


def find_container(
    containers: Iterable[RunningContainer], protocol: str, port: int | None, destination: str, inner: str
) -> tuple[RunningContainer, ...]:
    """Return the containers that a forwarded packet was for: by its address after DNAT, else by its port."""
    known = tuple(containers)
    address = ip_address(inner or destination)
    found = tuple(each for each in known if address in each.addresses)
    if found or inner:
        return found
    return tuple(
        each
        for each in known
        if any(
            (one.protocol, one.port) == (protocol, port) and one.address in (None, address)
            for one in each.publications
        )
    )


def _nearest(
    what: str,
    packet: RefusedPacket,
    compared: Sequence[tuple[DocumentRule, Mapping[Condition, bool | None]]],
) -> RefusalReason:
    """Say what the rules want that come nearest to allowing the packet."""
    missed = [(rule, tuple(each for each in _MISSED if found[each] is False)) for rule, found in compared]
    first, misses = min(missed, key=lambda each: (len(each[1]), _MISSED.index(each[1][0])))
    alike = [rule for rule, others in missed if others == misses]
    moment = to_second(packet.moment)
    if misses == ("time",):
        return RefusalReason("time", sentences.ended_or_not_begun(what, first, moment), _ids(alike))
    words: Mapping[Missed, Callable[[], str]] = {
        "sources": lambda: sentences.from_sources(alike if misses == ("sources",) else [first]),
        "time": lambda: sentences.between_times(first),
        "elsewhere": lambda: describe_place(first),
        "interface": lambda: sentences.on_interface(first),
    }
    text = sentences.allowed_only(what, [words[each]() for each in misses])
    return RefusalReason(misses[0], text, _ids(alike if misses == ("sources",) else [first]))


def _goes_to(rule: DocumentRule, packet: RefusedPacket) -> bool | None:
    """Return whether the packet goes where a rule applies."""
    forwarded = packet.way == "container"
    if rule.scope == "forwarded":
        return forwarded and _is_within(packet.inner or packet.destination, rule.to)
    if rule.scope not in ("both", packet.way):
        return False
    if rule.to and not _is_within(packet.destination, rule.to):
        return False
    if not rule.container:
        return True
    if not forwarded:
        return False
    return None if packet.containers is None else bool(find_selected(packet.containers, rule.container))


def _arrives_on(rule: DocumentRule, packet: RefusedPacket) -> bool | None:
    if not rule.interface:
        return True
    return interface_covers(rule.interface, packet.interface) if packet.interface else None


def _is_within(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)


def _lies_in(sources: AddressSet, networks: AddressSet) -> bool | None:
    """Return whether all sources are in the networks, None if only some of them are."""
    if not sources.intersection(networks):
        return False
    return None if sources.difference(networks) else True


def _by_family(networks: Iterable[str]) -> dict[Family, AddressSet]:
    found: dict[Family, list[str]] = {4: [], 6: []}
    for network in networks:
        found[6 if ":" in network else 4].append(network)
    return {family: AddressSet.of(family, found[family]) for family in FAMILIES}


def _ids(rules: Iterable[DocumentRule]) -> tuple[str, ...]:
    return tuple(rule.id for rule in rules)

"""The kinds of packets that rulesets can tell apart, and what a ruleset does with each, from every source.

Two rulesets mean the same if each kind of packet passes from the same sources. Only first packets are asked
about, unless a kind says otherwise. Tables other than filter are left out: a file rarely has them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS_HOST,
    FORWARD,
    INPUT,
    body,
    own_chains,
    own_rules,
    rule_id_of,
)
from dockerfw.chains.owners import chain_owner
from dockerfw.chains.port_lines import read_port_line
from dockerfw.chains.render import DIALLED_TO_LOOPBACK
from dockerfw.iptables.model import Chain, Family, Rule, Ruleset, Table
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.chains import compile_chains
from dockerfw.simulation.match_readers import normalise_rule
from dockerfw.simulation.outcomes import Piece, WalkEnd, sum_up
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import PORTS_PROTOCOLS, PacketState
from dockerfw.simulation.surroundings import IpSet, Surroundings
from dockerfw.simulation.walk import Walk

Place = Literal["host", "containers"]

OTHER: Final = "(other)"
"""Stands for every interface that no rule names."""
MOST_CLASSES: Final = 40_000
_FEW_RANGES: Final = 12
_MOST_INTERFACES: Final = 8
_TCP, _UDP = 6, 17
_CLIENT_PORT: Final = 40_000
_SSH: Final = 22
_LAST_PORT: Final = 65_535
# An echo request, and another type for which conntrack starts a connection.
_ICMP_TYPES: Final[Mapping[Family, tuple[int, int]]] = {4: (8, 13), 6: (128, 139)}
_VERDICTS: Final = (" -j RETURN", " -j ACCEPT", " -j DROP")
_DESTINATION: Final = re.compile(r"\s(?:-d|--dst|--destination)")
_WITHOUT_PORTS: Final = (47, 50, 51, 4, 89, 112, 103, 253)


@dataclass(frozen=True, slots=True)
class PacketClass:
    """First packets that arrive on an interface; `ports` are the first and the last that clients dial.

    `inner` are those inside a container, where they differ from the dialled ones.
    """

    place: Place
    interface: str
    protocol: int
    ports: tuple[int, int] | None = None
    inner: tuple[int, int] | None = None
    icmp_type: int | None = None
    connection: str = "NEW"


@dataclass(frozen=True, slots=True)
class Answer:
    """The sources whose packets pass, are refused, or may do either, split by what decides in `parts`."""

    passes: AddressSet
    refused: AddressSet
    unknown: AddressSet
    parts: tuple[Part, ...]


class TooManyClasses(Exception):  # noqa: N818 - it states a fact
    """The rulesets name too many ports and interfaces to compare them completely."""


class Meaning:
    """What one family's filter table does with packets; DOCKER-USER counts as called from FORWARD.

    A packet that DOCKER-USER returns passes: Docker's own rules decide then. `at` is the moment of the
    packets in UTC seconds, None if unknown. `admin_chains` are the chains on their way that no known software
    has.
    """

    def __init__(
        self,
        ruleset: Ruleset,
        family: Family,
        sets: Mapping[str, IpSet] | None = None,
        at: int | None = None,
    ) -> None:
        self.family = family
        self._at = at
        entries = _entries(ruleset)
        names = entries.tables["filter"].chains
        self.admin_chains = frozenset(name for name in names if chain_owner("filter", name) == "other")
        self._chains = compile_chains(entries, Surroundings(sets=sets or {}), family)

    def ask(self, kind: PacketClass) -> Answer:
        """Return which sources reach where packets of this kind go."""
        walk = Walk(self._chains, recording=False)
        everyone = AddressSet.everything(self.family)
        hook = INPUT if kind.place == "host" else FORWARD
        accepted = walk.run_chain(
            "filter", hook, [Piece(everyone, replace(_state(self.family, kind), at=self._at))]
        )
        walk.ends += [WalkEnd(one.piece.sources, one.parts, one.piece.undecided) for one in accepted]
        sums = sum_up(self.family, walk.ends)
        nothing = AddressSet.nothing(self.family)
        refused = union_of(self.family, [sums.by_kind.get(each, nothing) for each in ("DROP", "REJECT")])
        return Answer(sums.by_kind.get("ACCEPT", nothing), refused, sums.by_kind["UNKNOWN"], sums.parts)


def _state(family: Family, kind: PacketClass) -> PacketState:
    dialled = kind.ports[0] if kind.ports else None
    inner = kind.inner[0] if kind.inner else dialled
    host = kind.place == "host"
    return PacketState(
        family=family,
        protocol=kind.protocol,
        destination=None,
        destination_port=inner,
        source_port=_CLIENT_PORT if kind.ports else None,
        icmp_type=kind.icmp_type,
        icmp_code=None if kind.icmp_type is None else 0,
        in_interface=kind.interface,
        out_interface="" if host else "docker0",
        tracking="tracked",
        connection=kind.connection,
        translated=inner != dialled,
        original_port=dialled,
        stays=host,
    )


def _entries(ruleset: Ruleset) -> Ruleset:
    """Return the filter table with DOCKER-USER as the only chain of FORWARD.

    No packet here was dialled to a loopback address or goes to the destination of a rule for forwarded
    traffic, so dockerfw's lines about those are left out.
    """
    table = ruleset.tables.get("filter")
    chains = dict(table.chains) if table else {}
    forward = (Rule("filter", FORWARD, None, f"-A {FORWARD} -j {DOCKER_USER}", 0),)
    chains[FORWARD] = Chain(FORWARD, "ACCEPT", None, forward if DOCKER_USER in chains else (), builtin=True)
    for name in own_chains(ruleset):
        if name in chains and name != FILTERS_HOST:
            others = tuple(rule for rule in chains[name].rules if not _is_for_others(rule))
            chains[name] = replace(chains[name], rules=others)
    found = chains.get(INPUT)
    if found is None or (not found.rules and own_rules(ruleset, FILTERS_HOST)):
        # Only dockerfw's own chains were given.
        rules = (Rule("filter", INPUT, None, f"-A {INPUT} -j {FILTERS_HOST}", 0),)
        chains[INPUT] = Chain(INPUT, "ACCEPT", None, rules if FILTERS_HOST in chains else (), builtin=True)
    own = tuple(one for one in ruleset.unprinted if one.table == "filter")
    called = {name: chains[name] for name in _called(chains)}
    return Ruleset(MappingProxyType({"filter": Table("filter", MappingProxyType(called))}), (), own)


def _called(chains: Mapping[str, Chain]) -> Collection[str]:
    """Return the names of the chains that packets to the host or to containers walk through."""
    found = dict.fromkeys(name for name in (INPUT, FORWARD) if name in chains)
    waiting = list(found)
    while waiting:
        # Nearly all rules end in a verdict, and need not be read.
        rules = [rule for rule in chains[waiting.pop()].rules if not rule.text.endswith(_VERDICTS)]
        targets = [rule.target.name for rule in rules if rule.target is not None]
        new = [name for name in dict.fromkeys(targets) if name in chains and name not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return found


def _is_for_others(rule: Rule) -> bool:
    """Return True for a line of dockerfw's that is about packets to loopback addresses or to no container."""
    if body(rule) in DIALLED_TO_LOOPBACK.values():
        return True
    if _DESTINATION.search(rule.text) is None or rule_id_of(rule.text) is None:
        return False
    return "-d" in (option.name for match in rule.matches for option in match.options)


def list_classes(
    rulesets: Sequence[Ruleset], family: Family, external: Iterable[str] = ()
) -> tuple[PacketClass, ...]:
    """Return the kinds of packets that these rulesets can tell apart, SSH first. Raises TooManyClasses."""
    named, external = _Named(), tuple(external)
    for ruleset in rulesets:
        table = ruleset.tables.get("filter")
        called = _entries(ruleset).tables["filter"].chains
        for chain in table.chains.values() if table else ():
            # Docker writes a rule for each published port there, thousands on some hosts. They come later.
            later = chain.name not in called and chain_owner("filter", chain.name) == "docker"
            for rule in chain.rules:
                named.read(rule, family, ports=not later)
            if named.least_kinds * len(named.arrivals(external)) * 4 > MOST_CLASSES:
                # The rest can only add to them.
                raise TooManyClasses
    interfaces = named.arrivals(external)
    kinds = list(named.kinds(family))
    if len(kinds) * len(interfaces) * 4 > MOST_CLASSES:
        raise TooManyClasses
    found = [replace(kind, interface=name) for kind in kinds for name in dict.fromkeys(interfaces)]
    return (*found, *_of_containers(found))


def unnamed_ports(kinds: Iterable[PacketClass]) -> Mapping[int, tuple[int, int]]:
    """Return the widest range of ports by protocol, which stands for the ports that no rule names."""
    found: dict[int, tuple[int, int]] = {}
    for kind in kinds:
        if kind.ports is not None:
            known = found.get(kind.protocol, (0, -1))
            found[kind.protocol] = max(known, kind.ports, key=lambda each: each[1] - each[0])
    return found


def _of_containers(of_host: Sequence[PacketClass]) -> Iterator[PacketClass]:
    """Yield these packets to containers, with each port inside that a few named ones may lead to.

    With many named ports, a dialled one leads to itself or to unnamed ones, and an unnamed one to any.
    """
    unnamed = unnamed_ports(of_host)
    ranges: dict[int, dict[tuple[int, int], None]] = {}
    for kind in of_host:
        if kind.ports is not None:
            ranges.setdefault(kind.protocol, {})[kind.ports] = None
    for kind in of_host:
        yield replace(kind, place="containers")
        if kind.ports is not None:
            other, every = unnamed[kind.protocol], ranges[kind.protocol]
            inside = every if kind.ports == other or len(every) <= _FEW_RANGES else (other,)
            yield from (
                replace(kind, place="containers", inner=each) for each in inside if each != kind.ports
            )


@dataclass(slots=True)
class _Named:
    """What the rules name: interfaces, protocols, and the first port after each border between ports."""

    interfaces: set[str] = field(default_factory=set)
    protocols: set[int] = field(default_factory=lambda: {_TCP, _UDP})
    # By protocol; 0 is for rules that name none.
    borders: dict[int, set[int]] = field(default_factory=lambda: {0: {0}, _TCP: {_SSH, _SSH + 1}})

    def read(self, rule: Rule, family: Family, *, ports: bool) -> None:
        """Add what one rule names; without `ports` only its interface."""
        if not ports:
            names = (match.option("-i") for match in rule.matches)
            self.interfaces.update(each.values[0] for each in names if each is not None and each.values)
            return
        if (line := read_port_line(rule.text)) is not None:
            self.protocols.add(line.protocol)
            self.interfaces.update([line.interface] if line.interface else ())
            for first, last in line.ports:
                self._add_ports(line.protocol, first, last)
            return
        matches, _ = normalise_rule(rule, family)
        options = [option for match in matches for option in match.options if option.values]
        protocols = [option.values[0] for option in options if option.name == "-p"]
        protocol = int(protocols[0]) if protocols and protocols[0].isdigit() else 0
        self.protocols.add(protocol)
        for option in options:
            if option.name == "-i":
                self.interfaces.add(option.values[0])
            elif option.name in ("--dport", "--dports", "--ports", "--ctorigdstport", "--port"):
                for text in ",".join(option.values).split(","):
                    self._read_ports(protocol, text)

    def _read_ports(self, protocol: int, text: str) -> None:
        first, colon, last = text.partition(":")
        start = int(first) if first.isdigit() else 0
        self._add_ports(protocol, start, int(last) if last.isdigit() else _LAST_PORT if colon else start)

    def _add_ports(self, protocol: int, start: int, end: int) -> None:
        if start <= end <= _LAST_PORT:
            self.borders.setdefault(protocol, set()).update((start, end + 1))

    @property
    def least_kinds(self) -> int:
        """A lower bound of the number of kinds, which takes no time."""
        return sum(len(self.borders.get(protocol, ())) - 1 for protocol in self.protocols & PORTS_PROTOCOLS)

    def arrivals(self, external: Iterable[str]) -> tuple[str, ...]:
        """Return the interfaces that packets may arrive on, those outside first."""
        names = [name for name in dict.fromkeys((*external, *sorted(self.interfaces))) if name != "lo"]
        return (*(each.rstrip("+") or OTHER for each in names[:_MOST_INTERFACES]), OTHER)

    def kinds(self, family: Family) -> Iterator[PacketClass]:
        """Yield one kind for each protocol and range of ports, without an interface: SSH first."""
        for protocol in sorted(self.protocols & PORTS_PROTOCOLS):
            borders = self.borders[0] | self.borders.get(protocol, set())
            starts = sorted(border for border in borders if border <= _LAST_PORT)
            ends = [*(start - 1 for start in starts[1:]), _LAST_PORT]
            ranges = sorted(zip(starts, ends, strict=True), key=lambda each: each != (_SSH, _SSH))
            yield from (PacketClass("host", OTHER, protocol, each) for each in ranges)
        ping = IPV6_ICMP if family == 6 else ICMP
        for number in _ICMP_TYPES[family]:
            yield PacketClass("host", OTHER, ping, icmp_type=number)
        others = self.protocols - PORTS_PROTOCOLS - {0, ICMP, IPV6_ICMP}
        unnamed = next(number for number in _WITHOUT_PORTS if number not in others)
        yield from (PacketClass("host", OTHER, number) for number in (*sorted(others), unnamed))

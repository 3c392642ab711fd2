"""Packets to containers that FORWARD accepts before dockerfw's chains see them, found by simulation.

Two simulations answer: one ends where FORWARD calls DOCKER-USER, the other knows only dockerfw's chains. A
packet that the first accepts and the second refuses bypasses dockerfw. Ports, addresses and protocols between
two values that rules name are equal to these rules, so one of each is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface, ip_network

from dockerfw.chains import drift_sentences, sentences
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import DOCKER_USER, FILTERS_CONTAINERS, FORWARD, body
from dockerfw.chains.owners import chain_owner
from dockerfw.chains.redirects import find_published
from dockerfw.chains.render import render_cached
from dockerfw.chains.set_matches import loaded_sets
from dockerfw.chains.static_sets import StaticSet
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.values import Document
from dockerfw.iptables.model import Chain, Family, Rule, Ruleset, Table
from dockerfw.iptables.networks import family_of
from dockerfw.iptables.protocols import protocol_name, protocol_number
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.match_readers import normalise_rule
from dockerfw.simulation.outcomes import sum_up
from dockerfw.simulation.packet import Address, Packet
from dockerfw.simulation.ports import read_ranges
from dockerfw.simulation.simulate import Prepared, prepare, run_journey
from dockerfw.simulation.state import PORTS_PROTOCOLS
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from dockerfw.simulation.trace import Verdict

_ICMP: dict[Family, tuple[int, int]] = {4: (1, 8), 6: (58, 128)}
_TCP, _UDP = 6, 17
_NAMED_SOURCES = 3
_ANY_PORT = (1, 40000, 65535)
_CLIENT_PORT = 50000
_NO_CLIENTS: dict[Family, AddressSet] = {
    4: AddressSet.of(4, ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"]),
    6: AddressSet.of(6, ["::/127", "ff00::/8"]),
}
# More packets than these are not simulated; the answer is then unclear unless one bypassed.
_MOST_PACKETS = 10_000
_OUTSIDE: dict[Family, str] = {4: "198.18.0.1/30", 6: "2001:db8:ffff::1/126"}
_INSIDE: dict[Family, str] = {4: "198.19.{}.1/24", 6: "2001:db8:fffe:{}::1/64"}
_OPEN: dict[Family, AddressSet] = {family: AddressSet.everything(family) for family in (4, 6)}


@dataclass(frozen=True, slots=True)
class Bypass:
    """A packet that FORWARD accepts and dockerfw's chains would refuse, from some of the sources.

    `rule` accepts it, `entry` is the rule of FORWARD that leads there, often the same. `unclear` is the
    reason if it is not certain that it passes.
    """

    packet: Packet
    sources: AddressSet
    rule: Rule | None
    entry: Rule | None = None
    unclear: str = ""

    def __str__(self) -> str:
        """Describe the packet: `8000/tcp to 172.17.0.2 by ens33, from anywhere`."""
        protocol, packet = protocol_name(self.packet.protocol), self.packet
        ported = packet.destination_port is not None and packet.protocol in PORTS_PROTOCOLS
        service = f"{packet.destination_port}/{protocol}" if ported else protocol
        # The sources that no client has divide the rest into many networks.
        wide = self.sources.count() > _OPEN[packet.family].count() // 2
        sources = [] if wide else [str(network) for network in self.sources.networks(_NAMED_SOURCES)]
        return drift_sentences.describe_packet(
            service, self._destination(), packet.in_interface or "", sources
        )

    def _destination(self) -> str:
        """Return the destination, in words if its address is made up."""
        address, family = self.packet.destination, self.packet.family
        if address in ip_interface(_OUTSIDE[family]).network:
            return drift_sentences.THE_HOST
        made_up = any(address in ip_interface(_INSIDE[family].format(count)).network for count in range(256))
        return drift_sentences.A_CONTAINER if made_up else str(address)


def find_bypass(
    external: Sequence[str],
    chains: Mapping[str, Sequence[str]],
    family: Family,
    live: Ruleset,
    surroundings: Surroundings | None = None,
    sets: Iterable[StaticSet] = (),
) -> Bypass | None:
    """Return a packet that bypasses dockerfw's chains, a certain one if there is one.

    `chains` are dockerfw's chains as they should be, each rule without `-A CHAIN`, and `sets` the static sets
    that they match. Without surroundings, interfaces and networks are those that the rules name.
    """
    before = _before_docker_user(live)
    if not external or not any(_may_accept(live, rule, set()) for rule in before):
        return None
    around = surroundings or _named_surroundings(external, live, family)
    early = prepare(_only_before(live, before), around, family)
    own = replace(around, sets={**around.sets, **loaded_sets(sets)})
    late = prepare(_only_own(live, chains), own, family)
    unclear: Bypass | None = None
    for count, packet in enumerate(_packets(external, chains, family, live, around, before)):
        if count == _MOST_PACKETS:
            return unclear or Bypass(packet, _OPEN[family], None, unclear=drift_sentences.TOO_MANY_PACKETS)
        found = _compare(early, late, packet)
        if found is not None and found.rule is not None:
            return replace(found, entry=_entry(live, before, found.rule))
        unclear = unclear or found
    return unclear


def bypass_warnings(
    document: Document,
    family: Family,
    live: Ruleset,
    surroundings: Surroundings | None,
    limits: Thresholds = USUAL,
) -> Iterator[PlanWarning]:
    """Warn about packets that bypass the chains of a document."""
    external = document.settings.external_interfaces
    wanted = render_cached(document, family, 0, limits)
    found = find_bypass(external, wanted.chains, family, live, surroundings, wanted.sets)
    if found is not None and found.rule is not None:
        message = sentences.accepted_before(family, str(found), found.rule.text)
        yield PlanWarning("accepted-before", message, family)
    elif found is not None:
        message = sentences.of_family(family, drift_sentences.docker_user_unclear(str(found), found.unclear))
        yield PlanWarning("accepted-before-unclear", message, family)


def _compare(early: Prepared, late: Prepared, packet: Packet) -> Bypass | None:
    nothing = AddressSet.nothing(packet.family)
    accepted, parts = _answers(early, packet)
    clients = _clients(early.surroundings, packet)
    passes = accepted.get("ACCEPT", nothing).intersection(clients)
    maybe = accepted.get("UNKNOWN", nothing).intersection(clients)
    if not passes and not maybe:
        return None
    judged, reasons = _answers(late, packet)
    refused = union_of(packet.family, [judged.get(kind, nothing) for kind in ("DROP", "REJECT")])
    certain = passes.intersection(refused)
    if certain:
        return Bypass(packet, certain, _deciding_rule(parts, certain))
    possible = passes.union(maybe).intersection(refused.union(judged.get("UNKNOWN", nothing)))
    if not possible:
        return None
    reason = next((verdict.reason for _, verdict in (*parts, *reasons) if verdict.kind == "UNKNOWN"), "")
    return Bypass(packet, possible, None, unclear=reason)


def _clients(around: Surroundings, packet: Packet) -> AddressSet:
    """Return the sources that clients behind the packet's interface can have, and get answers at."""
    family = packet.family
    elsewhere = [
        AddressSet.of(family, [address.network])
        for name, address in around.addresses(family)
        if name != packet.in_interface
    ]
    return union_of(family, [_NO_CLIENTS[family], *elsewhere]).complement()


def _answers(
    prepared: Prepared, packet: Packet
) -> tuple[Mapping[str, AddressSet], tuple[tuple[AddressSet, Verdict], ...]]:
    walk, _ = run_journey(prepared, packet, _OPEN[packet.family], recording=False)
    sums = sum_up(packet.family, walk.ends)
    return {str(kind): addresses for kind, addresses in sums.by_kind.items()}, sums.parts


def _deciding_rule(parts: Iterable[tuple[AddressSet, Verdict]], sources: AddressSet) -> Rule | None:
    for addresses, verdict in parts:
        if verdict.kind == "ACCEPT" and verdict.step is not None and addresses.intersection(sources):
            return verdict.step.rule
    return None


def _entry(live: Ruleset, before: Sequence[Rule], deciding: Rule) -> Rule | None:
    reached = (rule for rule in before if rule == deciding or deciding.chain in _called(live, [rule]))
    return next(reached, None)


def _before_docker_user(live: Ruleset) -> tuple[Rule, ...]:
    """Return the rules of FORWARD before the jump to DOCKER-USER, none if there is no such jump."""
    forward = live.chain("filter", FORWARD)
    rules = forward.rules if forward else ()
    places = [index for index, rule in enumerate(rules) if body(rule) == f"-j {DOCKER_USER}"]
    return rules[: places[0]] if places else ()


def _may_accept(live: Ruleset, rule: Rule, seen: set[str]) -> bool:
    """Return True if a rule, or a chain that it calls, accepts more than packets of known connections."""
    target = rule.target.name if rule.target else ""
    states = [
        set(",".join(option.values).upper().split(","))
        for match in rule.matches
        for option in match.options
        if option.name in ("--ctstate", "--state") and not option.negated
    ]
    if any(each <= {"RELATED", "ESTABLISHED"} for each in states):
        return False
    if target == "ACCEPT":
        return True
    chain = live.chain("filter", target)
    if chain is None or target in seen or target in (DOCKER_USER, FILTERS_CONTAINERS):
        return False
    seen.add(target)
    return any(_may_accept(live, each, seen) for each in chain.rules)


def _only_before(live: Ruleset, before: Sequence[Rule]) -> Ruleset:
    """Return the rules up to DOCKER-USER, where all other packets are dropped."""
    called = {name: chain for name, chain in _called(live, before).items() if name != DOCKER_USER}
    dropping = {name: _chain(name, "-j DROP") for name in (DOCKER_USER, FILTERS_CONTAINERS)}
    forward = Chain(FORWARD, "DROP", None, tuple(before), builtin=True)
    return _with_filter(live, {FORWARD: forward, **called, **dropping})


def _only_own(live: Ruleset, chains: Mapping[str, Sequence[str]]) -> Ruleset:
    """Return dockerfw's rules for containers alone, which accept what they do not refuse."""
    forward = replace(_chain(FORWARD, f"-j {FILTERS_CONTAINERS}"), policy="ACCEPT", builtin=True)
    own = {name: _chain(name, *rules) for name, rules in chains.items()}
    return _with_filter(live, {FORWARD: forward, **own})


def _with_filter(live: Ruleset, chains: Mapping[str, Chain]) -> Ruleset:
    others = {name: table for name, table in live.tables.items() if name in ("raw", "mangle", "nat")}
    return Ruleset({**others, "filter": Table("filter", chains)})


def _chain(name: str, *rules: str) -> Chain:
    lines = tuple(Rule("filter", name, None, f"-A {name} {rule}", 0) for rule in rules)
    return Chain(name, None, None, lines, builtin=False)


def _called(live: Ruleset, rules: Iterable[Rule]) -> dict[str, Chain]:
    """Return the chains that rules call, and those that they call."""
    found: dict[str, Chain] = {}
    waiting = list(rules)
    while waiting:
        target = waiting.pop().target
        chain = live.chain("filter", target.name) if target is not None else None
        if chain is not None and chain.name not in found:
            found[chain.name] = chain
            waiting += chain.rules
    return found


def _packets(
    external: Sequence[str],
    chains: Mapping[str, Sequence[str]],
    family: Family,
    live: Ruleset,
    around: Surroundings,
    before: Sequence[Rule],
) -> Iterator[Packet]:
    """Yield a packet for each way in, service and container that the rules tell apart."""
    theirs = _Named(
        family, [*before, *(rule for one in _called(live, before).values() for rule in one.rules)]
    )
    ours = _Named(family, [rule for name, rules in chains.items() for rule in _chain(name, *rules).rules])
    for way in (
        each for each in around.interfaces if any(interfaces_overlap(each.name, name) for name in external)
    ):
        own = next((each.ip for each in way.addresses if each.version == family), None)
        for published in find_published(live, family):
            target = published.address or own
            if target is not None and not target.is_loopback:
                number = protocol_number(published.protocol) or 0
                yield from _dialled(way.name, target, number, published.port, theirs)
        addresses = [
            each for network in _networks(external, live, around, family) for each in theirs.inside(network)
        ]
        for ports in (theirs.ports, ours.ports - theirs.ports):
            for address in addresses:
                for protocol in sorted(theirs.protocols):
                    for port in sorted(ports) if protocol not in (1, 58) else (0,):
                        yield from _dialled(way.name, address, protocol, port, theirs)


def _networks(
    external: Sequence[str], live: Ruleset, around: Surroundings, family: Family
) -> Iterator[IPv4Network | IPv6Network]:
    """Yield the networks of the interfaces that Docker's rules name."""
    names = set(_docker_interfaces(external, live))
    for interface in around.interfaces:
        if interface.name in names and interface.up:
            yield from (each.network for each in interface.addresses if each.version == family)


def _docker_interfaces(external: Sequence[str], live: Ruleset) -> Iterator[str]:
    for table in ("filter", "nat"):
        found = live.tables.get(table)
        for chain in found.chains.values() if found else ():
            for rule in chain.rules if chain.name != DOCKER_USER else ():
                target = rule.target.name if rule.target else ""
                if "docker" in (chain_owner(table, chain.name), chain_owner(table, target)):
                    named = (value for name, value in _interfaces(rule) if name in ("-i", "-o"))
                    yield from (name for name in named if name not in external and name != "lo")


def _interfaces(rule: Rule) -> Iterator[tuple[str, str]]:
    for match in rule.matches:
        if match.module is None:
            yield from ((option.name, option.values[0]) for option in match.options if option.values)


def _named_surroundings(external: Sequence[str], live: Ruleset, family: Family) -> Surroundings:
    """Return the external interfaces and Docker's bridges with made-up addresses.

    The networks of `-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE` are those of bridges.
    """
    outside = [name.replace("+", "0") for name in external]
    found = [HostInterface(name, (ip_interface(_OUTSIDE[family]),), up=True) for name in outside]
    networks: dict[str, str] = {}
    chain = live.chain("nat", "POSTROUTING")
    for rule in chain.rules if chain else ():
        named = dict(_interfaces(rule))
        if rule.target is not None and rule.target.name == "MASQUERADE" and {"-s", "-o"} <= named.keys():
            networks[named["-o"]] = named["-s"]
    for count, name in enumerate(sorted(set(_docker_interfaces(external, live)) | networks.keys())):
        text = networks.get(name, _INSIDE[family].format(count % 256))
        found.append(HostInterface(name, (ip_interface(text),), up=True))
    return Surroundings(tuple(found), {family: tuple(outside[:1])})


def _dialled(way: str, destination: Address, protocol: int, port: int, named: _Named) -> Iterator[Packet]:
    family = family_of(destination)
    source = (IPv4Address if family == 4 else IPv6Address)(0)
    packet = Packet(family, source, destination, protocol, way)
    if protocol == _ICMP[family][0]:
        yield replace(packet, icmp_type=_ICMP[family][1], icmp_code=0)
        return
    for client in sorted({_CLIENT_PORT, *named.client_ports}):
        yield replace(packet, source_port=client, destination_port=port)


class _Named:
    """The ports, protocols and networks that rules name, with their neighbours."""

    def __init__(self, family: Family, rules: Iterable[Rule]) -> None:
        self.family = family
        self.ports, self.client_ports = set(_ANY_PORT), set[int]()
        self.protocols = {_TCP, _UDP, _ICMP[family][0]}
        self.networks: set[str] = set()
        for rule in rules:
            for option in (option for match in normalise_rule(rule, family)[0] for option in match.options):
                self._add(option.name, " ".join(option.values))

    def _add(self, name: str, value: str) -> None:
        if name in ("--dport", "--dports", "--ports", "--ctorigdstport"):
            self.ports |= set(_edges(value))
        if name in ("--sport", "--sports", "--ports"):
            self.client_ports |= set(_edges(value))
        if name == "-p" and (number := protocol_number(value)) is not None:
            self.protocols.add(number)
        if name == "-d":
            self.networks.add(value)

    def inside(self, network: IPv4Network | IPv6Network) -> list[Address]:
        """Return addresses of containers in a network: one for each part that the rules tell apart."""
        first, last = int(network.network_address), int(network.broadcast_address)
        found = {first + 2}
        for text in self.networks:
            try:
                named = ip_network(text, strict=False)
            except ValueError:
                continue
            if named.version == network.version and named.overlaps(network):
                start, end = int(named.network_address), int(named.broadcast_address)
                found |= {start - 1, start, end, end + 1}
        kind = IPv4Address if network.version == 4 else IPv6Address
        return [kind(each) for each in sorted(found) if first < each < last]


def _edges(text: str) -> Iterator[int]:
    """Yield the ends of the ranges in a list of ports, and the ports beside them."""
    for start, end in read_ranges(text) or ():
        yield from (port for port in (start - 1, start, end, end + 1) if 0 < port <= 65535)

"""What containers offer at their own addresses, which clients with a route there can connect to.

Docker's networks differ: most refuse all but the published ports, some accept every port, such as those in
gateway mode `nat-unprotected`. The simulator tells. Ports that Docker publishes there alone are in offers.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dockerfw.chains.interface_warnings import docker_bridges
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS_CONTAINERS,
    FILTERS_HOST,
    HOST_DISPATCH,
    INPUT,
    is_own_chain,
)
from dockerfw.chains.owners import chain_owner
from dockerfw.chains.port_lines import read_port_line
from dockerfw.iptables.model import Chain, Family, Ruleset, Table
from dockerfw.iptables.networks import family_of
from dockerfw.iptables.protocols import protocol_name, protocol_number
from dockerfw.reach import sentences
from dockerfw.reach.elsewhere import Neighbour
from dockerfw.reach.listening import Address, Listening, RunningContainer
from dockerfw.reach.offers import Offer
from dockerfw.reach.port_classes import free_port
from dockerfw.simulation.chains import compile_chains, replace_chains
from dockerfw.simulation.ports import read_ranges
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, HostInterface

PROTOCOLS: Final = ("tcp", "udp")
# More ports and ranges than these are not listed for one address; the offer for the others notes it.
MOST_NAMED: Final = 60
_NOT_FORWARDED: Final = (INPUT, "OUTPUT", FILTERS_HOST)
_PORTS: Final = ("--dport", "--dports", "--ctorigdstport")

Rules = Mapping[Family, Prepared]
_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """An address of a container, or one that stands for all of a network whose containers are unknown."""

    address: Address
    name: str
    detail: str
    ports: frozenset[tuple[str, int]]
    notes: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        return family_of(self.address)


def find_container_offers(
    listening: Listening,
    rules: Sequence[Rules],
    outside: Sequence[HostInterface],
    known: Iterable[Offer] = (),
) -> tuple[Offer, ...]:
    """Return an offer for each known port of a container's own address, and for the others if they are open.

    `rules` are the host's rules, now and perhaps after a load, `known` the offers that are found already.
    """
    search = _Search(listening, rules, outside, {(each.protocol, each.port, each.address) for each in known})
    return tuple(offer for place in search.places() for offer in search.offers(place))


def past_host_offers(neighbours: Iterable[Neighbour]) -> tuple[Offer, ...]:
    """Return an offer for each container that clients may reach past this host, with its known ports."""
    found = []
    for each in neighbours:
        container = each.container
        ports = ", ".join(f"{port}/{protocol}" for protocol, port in sorted(container.ports))
        others = [str(one) for one in each.addresses[1:]]
        offer = Offer(
            protocol="any",
            port=0,
            address=each.addresses[0],
            interface="",
            families=tuple(sorted({family_of(one) for one in each.addresses})),
            kind="past-host",
            name=container.name,
            detail=container.compose_name,
            unseen=each.reason,
            notes=(sentences.also_at(others),) if others else (),
            ports=ports or sentences.EVERY_PORT,
        )
        found.append(offer)
    return tuple(found)


class _Search:
    """One search through the containers' addresses of a host."""

    def __init__(
        self,
        listening: Listening,
        rules: Sequence[Rules],
        outside: Sequence[HostInterface],
        known: Collection[tuple[str, int, Address | None]],
    ) -> None:
        self._listening = listening
        self._rules = rules
        self._outside = outside
        self._known = known
        self._bare = [{family: _without_own_rules(one) for family, one in each.items()} for each in rules]
        self._named: dict[Family, dict[str, set[_Range]]] = {}
        self._free: dict[tuple[Family, str], int | None] = {}

    def places(self) -> Iterator[_Place]:
        """Yield the addresses that this host forwards packets from outside to."""
        containers = self._listening.containers
        found = self._unknown_places() if containers is None else self._known_places(containers)
        yield from (place for place in found if self._is_behind(place))

    def offers(self, place: _Place) -> Iterator[Offer]:
        """Yield the offers of one address."""
        named = sorted(place.ports)
        for protocol, port in named:
            yield from self._offer(place, protocol, port)
        for protocol in PROTOCOLS:
            own = {port for name, port in named if name == protocol}
            if self._is_open(place, protocol, self._free_port(place.family, protocol, own) or 1):
                yield from self._others(place, protocol, own)

    def _others(self, place: _Place, protocol: str, own: set[int]) -> Iterator[Offer]:
        """Yield offers for the ports that rules name, and one for all that none names."""
        ranges = sorted(self._ranges(place.family).get(protocol, ()))
        singles = {first for first, last in ranges if first == last}
        for first, last in ranges[:MOST_NAMED]:
            if first == last:
                if first not in own:
                    yield from self._offer(place, protocol, first)
                continue
            probe = next((port for port in range(first, last + 1) if port not in own | singles), 0)
            if probe:
                yield from self._offer(place, protocol, probe, f"{first}-{last}/{protocol}")
        free = self._free_port(place.family, protocol, own)
        if free is not None:
            more = len(ranges) - MOST_NAMED
            notes = (sentences.ports_left_out(more),) if more > 0 else ()
            yield from self._offer(place, protocol, free, sentences.every_other_port(protocol), notes)

    def _offer(
        self, place: _Place, protocol: str, port: int, words: str = "", notes: tuple[str, ...] = ()
    ) -> Iterator[Offer]:
        if (protocol, port, place.address) in self._known:
            return
        unseen = sentences.RULES_IN_NFTABLES if self._listening.by_nftables else ""
        yield Offer(
            protocol=protocol,
            port=port,
            address=place.address,
            interface="",
            families=(place.family,),
            kind="container",
            name=place.name,
            detail=place.detail,
            unseen=unseen,
            notes=(sentences.OWN_ADDRESS, *place.notes, *notes),
            direct=True,
            ports=words,
        )

    def _known_places(self, containers: Iterable[RunningContainer]) -> Iterator[_Place]:
        published: dict[Address, set[tuple[str, int]]] = {}
        for opened in self._listening.opened:
            published.setdefault(opened.address, set()).add((opened.protocol, opened.port))
        for each in self._listening.published:
            published.setdefault(each.to_address, set()).add((each.protocol, each.to_port))
        for container in containers:
            for address in container.addresses:
                ports = {*container.ports, *published.get(address, ())}
                yield _Place(address, container.name, container.compose_name, frozenset(ports))

    def _unknown_places(self) -> Iterator[_Place]:
        """Yield an address for each network of Docker's, where Docker is not asked for containers."""
        around = next((one.surroundings for each in self._rules for one in each.values()), None)
        if around is None:
            return
        rulesets = [one.ruleset for each in self._rules for one in each.values()]
        names = docker_bridges(rulesets, [each.name for each in around.interfaces])
        for interface in around.interfaces:
            for each in interface.addresses if interface.name in names else ():
                if each.ip.is_link_local or each.network.num_addresses < 4:
                    continue
                own = int(each.ip)
                number = next(one for one in (int(each.network.network_address) + 2, own + 1) if one != own)
                yield _Place(
                    type(each.ip)(number),
                    sentences.containers_on(interface.name),
                    str(each.network),
                    frozenset(),
                    (sentences.STANDS_FOR_NETWORK,),
                )

    def _is_behind(self, place: _Place) -> bool:
        names = {each.name for each in self._outside}
        for each in self._rules:
            one = each.get(place.family)
            if one is not None:
                route = one.surroundings.route(place.family, place.address, None)
                return route not in (LOCAL, None) and route not in names
        return False

    def _is_open(self, place: _Place, protocol: str, port: int) -> bool:
        """Return True if rules other than dockerfw's may let packets to a port pass."""
        number = protocol_number(protocol) or 0
        for each in self._bare:
            if place.family not in each:
                continue
            for interface in self._outside:
                service = Service(place.family, number, place.address, port, interface.name)
                found = simulate_service(each[place.family], service)
                if found.passes or found.unknown:
                    return True
        return False

    def _free_port(self, family: Family, protocol: str, taken: Collection[int]) -> int | None:
        if (family, protocol) not in self._free:
            self._free[family, protocol] = free_port(self._ranges(family).get(protocol, ()), ())
        found = self._free[family, protocol]
        return found if found not in taken else free_port(self._ranges(family).get(protocol, ()), taken)

    def _ranges(self, family: Family) -> Mapping[str, set[_Range]]:
        if family not in self._named:
            found: dict[str, set[_Range]] = {}
            read: set[str] = set()
            for each in self._rules:
                if family in each:
                    _add_named(each[family].ruleset, found, read)
            self._named[family] = found
        return self._named[family]


def _without_own_rules(prepared: Prepared) -> Prepared:
    """Return the rules as if dockerfw's chain for containers refused nothing."""
    if ("filter", FILTERS_CONTAINERS) not in prepared.chains:
        return prepared
    empty = Chain(FILTERS_CONTAINERS, None, None, (), builtin=False)
    bare = Ruleset({"filter": Table("filter", {FILTERS_CONTAINERS: empty})})
    changed = compile_chains(bare, prepared.surroundings, prepared.family)
    return replace(prepared, chains=replace_chains(prepared.chains, changed))


def _add_named(ruleset: Ruleset, found: dict[str, set[_Range]], read: set[str]) -> None:
    """Add the ports and ranges that rules for forwarded packets name, without those in Docker's chains.

    `read` are texts, which name their chain, that need not be read again: most are the same after a load.
    """
    table = ruleset.tables.get("filter")
    for chain in table.chains.values() if table else ():
        if chain.name in _NOT_FORWARDED or chain.name.startswith(HOST_DISPATCH):
            continue
        if chain.name != DOCKER_USER and chain_owner("filter", chain.name) == "docker":
            continue
        own = is_own_chain(chain.name)
        for rule in chain.rules:
            if rule.text in read:
                continue
            read.add(rule.text)
            if (line := read_port_line(rule.text)) is not None:
                found.setdefault(protocol_name(line.protocol), set()).update(line.ports)
                continue
            if own and rule.target is not None and rule.target.goto:
                # It leads to lines that name these ports themselves.
                continue
            options = {
                option.name: ",".join(option.values) for match in rule.matches for option in match.options
            }
            number = protocol_number(options.get("-p", ""))
            if number is None:
                continue
            for name in _PORTS:
                ranges = read_ranges(options[name]) if name in options else None
                found.setdefault(protocol_name(number), set()).update(ranges or ())

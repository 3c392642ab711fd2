"""Exposure: the sources that reach each port of a host over its external interfaces.

Asks the simulator for each port, address and interface, and gathers the answers in rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Final, Literal

from dockerfw.document.rule_ports import applies_to_port
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import sentences
from dockerfw.reach.allowing_rules import AllowingRules
from dockerfw.reach.arrivals import inner_arrivals
from dockerfw.reach.internet import covers_the_internet
from dockerfw.reach.listening import Address
from dockerfw.reach.offers import Offer
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, HostInterface
from dockerfw.simulation.trace import Verdict

ExposureLevel = Literal["anywhere", "unknown", "networks", "nobody"]
LEVELS: Final[tuple[ExposureLevel, ...]] = ("anywhere", "unknown", "networks", "nobody")
"""The widest first. A row has the first of these levels that one of its answers has."""

# At most this many addresses of one interface are checked; the row notes if there are more.
MOST_ADDRESSES: Final = 8

_SAME_LINK: Final = AddressSet.of(6, ["fe80::/10"])


@dataclass(frozen=True, slots=True)
class Access:
    """The sources that reach an offer over one family, arriving on some interfaces.

    `rules` are the ids of the dockerfw rules that allow them, `parts` are sets of sources, each with its
    verdict. `reason` is set if the rules were not simulated.
    """

    family: Family
    interfaces: tuple[str, ...]
    level: ExposureLevel
    passes: AddressSet
    refused: AddressSet
    unknown: AddressSet
    rules: tuple[str, ...] = ()
    parts: tuple[tuple[AddressSet, Verdict], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExposureRow:
    """An offer with the sources that reach it; the level is that of the widest answer."""

    offer: Offer
    access: tuple[Access, ...]
    notes: tuple[str, ...]

    @property
    def level(self) -> ExposureLevel:
        """The level of the widest answer."""
        found = {each.level for each in self.access}
        return next((level for level in LEVELS if level in found), "nobody")

    @property
    def key(self) -> tuple[str, int, Address | None, str]:
        """The key of this row, the same before and after a change of the rules."""
        return (self.offer.protocol, self.offer.port, self.offer.address, self.offer.interface)


def expose(
    offers: Iterable[Offer],
    prepared: Mapping[Family, Prepared],
    outside: Sequence[HostInterface],
    inside: Sequence[HostInterface] = (),
) -> tuple[ExposureRow, ...]:
    """Return a row for each offer, the widest first.

    `outside` are the interfaces that packets from outside arrive on; without any, access is unknown. `inside`
    are others that lead to clients, such as a VPN's: the sources in their networks arrive there.
    """
    exposure = _Exposure(prepared, tuple(outside), inside)
    rows = [exposure.row(offer) for offer in offers]
    return tuple(sorted(rows, key=lambda row: LEVELS.index(row.level)))


def find_idle_rules(document: Document, rows: Iterable[ExposureRow]) -> tuple[DocumentRule, ...]:
    """Return the enabled rules that name only ports without a row: nothing listens there.

    Rules for the ports inside containers are left out: rows do not show traffic that is routed there.
    """
    offered = {(row.offer.protocol, row.offer.port) for row in rows}
    return tuple(
        rule
        for rule in document.rules
        if rule.enabled
        and rule.ports
        and rule.port_kind == "published"
        and not any(applies_to_port(rule, protocol, port) for protocol, port in offered)
    )


class _Exposure:
    """One exposure; ports that share a service share the simulator's answer."""

    def __init__(
        self,
        prepared: Mapping[Family, Prepared],
        outside: tuple[HostInterface, ...],
        inside: Sequence[HostInterface],
    ) -> None:
        self.prepared = prepared
        self.outside = outside
        names = {each.name for each in outside}
        self.inner = {
            family: [way for way in inner_arrivals(each.surroundings, family, names) if way[0] in inside]
            for family, each in prepared.items()
        }
        self.sources = {
            family: union_of(family, [sources for _, sources in ways]).complement()
            for family, ways in self.inner.items()
        }
        self.answers: dict[Service, Reach] = {}
        self.allowances = {family: AllowingRules(each.ruleset, family) for family, each in prepared.items()}

    def row(self, offer: Offer) -> ExposureRow:
        """Return the row of one offer."""
        notes = [*offer.notes, *self._notes(offer)]
        if offer.address is not None and any(self._forwarded(offer, family) for family in offer.families):
            notes.append(sentences.forwarded_from_neighbours(offer.address))
        access = [answer for family in offer.families for answer in self._family(offer, family)]
        return ExposureRow(offer, _merged(access), tuple(notes))

    def _notes(self, offer: Offer) -> Iterable[str]:
        if offer.interface:
            yield sentences.only_on(offer.interface)
        if offer.address is not None and not offer.address.is_loopback:
            owner = self._owner(offer.address)
            if owner is not None and owner not in {each.name for each in self.outside}:
                yield sentences.belongs_to_inner(offer.address, owner)
        if offer.address is None:
            for each in self.outside:
                if len(each.addresses) > MOST_ADDRESSES:
                    yield sentences.addresses_checked(MOST_ADDRESSES, len(each.addresses), each.name)

    def _owner(self, address: Address) -> str | None:
        """Return the interface that has an address."""
        for prepared in self.prepared.values():
            for interface in prepared.surroundings.interfaces:
                if any(address == each.ip for each in interface.addresses):
                    return interface.name
        return None

    def _family(self, offer: Offer, family: Family) -> Iterable[Access]:
        if offer.address is not None and offer.address.is_loopback and not self._forwarded(offer, family):
            yield _unreachable(family, (), sentences.bound_to_loopback(offer.address))
            return
        if offer.unseen:
            yield _unknown(family, tuple(each.name for each in self.outside), offer.unseen)
            return
        if not self.outside:
            yield _unknown(family, (), sentences.NO_EXTERNAL_INTERFACE)
            return
        checked = False
        everything = AddressSet.everything(family)
        outside = [(each, self.sources.get(family, everything)) for each in self.outside]
        for interface, sources in (*outside, *self.inner.get(family, ())):
            if offer.interface and offer.interface != interface.name:
                continue
            destinations = self._destinations(offer, family, interface)
            if destinations:
                checked = True
                yield self._answer(offer, family, interface, destinations, sources)
        if not checked:
            yield _unreachable(family, (), self._reason_without_check(offer, family))

    def _forwarded(self, offer: Offer, family: Family) -> bool:
        """Return True if a neighbour reaches a port of a loopback address: Docker before 28 forwards it."""
        if offer.address is None or not offer.address.is_loopback or offer.unseen:
            return False
        if not any(each.family == family for each in offer.published):
            return False
        everything = AddressSet.everything(family)
        answers = [
            self._answer(offer, family, interface, self._destinations(offer, family, interface), everything)
            for interface in self.outside
        ]
        return any(answer.level != "nobody" for answer in answers)

    def _reason_without_check(self, offer: Offer, family: Family) -> str:
        if offer.interface:
            return sentences.bound_to_internal(offer.interface)
        names = ", ".join(each.name for each in self.outside)
        return sentences.no_address(names, family)

    def _destinations(self, offer: Offer, family: Family, interface: HostInterface) -> list[Address]:
        if offer.address is not None:
            return [offer.address]
        own = [each.ip for each in interface.addresses if each.version == family]
        wide = [address for address in own if not address.is_link_local]
        return (wide or own)[:MOST_ADDRESSES]

    def _answer(
        self,
        offer: Offer,
        family: Family,
        interface: HostInterface,
        destinations: list[Address],
        all_sources: AddressSet,
    ) -> Access:
        """Return which of the sources that arrive on an interface reach the offer."""
        prepared = self.prepared.get(family)
        if prepared is None:
            return _unknown(family, (interface.name,), sentences.rules_unread(family))
        if offer.redirect is None and self._elsewhere(prepared, offer, family, interface):
            return _unreachable(family, (interface.name,), sentences.NOT_THIS_HOSTS_ADDRESS)
        found = [self._reach(prepared, offer, family, interface, each) for each in destinations]
        passes, unknown = found[0].passes, found[0].unknown
        for more in found[1:]:
            passes, unknown = passes.union(more.passes), unknown.union(more.unknown)
        if all(isinstance(each, IPv6Address) and each.is_link_local for each in destinations):
            # Only neighbours can send to such an address.
            all_sources = _SAME_LINK
        passes = passes.intersection(all_sources)
        unknown = unknown.intersection(all_sources).difference(passes)
        refused = all_sources.difference(passes.union(unknown))
        parts = tuple(part for each in found for part in each.parts)
        protocol = protocol_number(offer.protocol) or 0
        redirected = (offer.redirect.to_port or 0) if offer.redirect is not None else 0
        rules = self.allowances[family].find_allowing(
            passes, protocol, offer.port, offer.inner_port(family), redirected=redirected
        )
        level = _level(family, passes, unknown)
        return Access(family, (interface.name,), level, passes, refused, unknown, rules, parts)

    def _elsewhere(self, prepared: Prepared, offer: Offer, family: Family, interface: HostInterface) -> bool:
        if offer.address is None:
            return False
        return prepared.surroundings.route(family, offer.address, interface.name) not in (LOCAL, None)

    def _reach(
        self, prepared: Prepared, offer: Offer, family: Family, interface: HostInterface, address: Address
    ) -> Reach:
        service = Service(family, protocol_number(offer.protocol) or 0, address, offer.port, interface.name)
        if service not in self.answers:
            self.answers[service] = simulate_service(prepared, service)
        return self.answers[service]


def _unreachable(family: Family, interfaces: tuple[str, ...], reason: str) -> Access:
    nothing = AddressSet.nothing(family)
    return Access(
        family, interfaces, "nobody", nothing, AddressSet.everything(family), nothing, reason=reason
    )


def _unknown(family: Family, interfaces: tuple[str, ...], reason: str) -> Access:
    nothing = AddressSet.nothing(family)
    all_sources = AddressSet.everything(family)
    return Access(family, interfaces, "unknown", nothing, nothing, all_sources, reason=reason)


def _level(family: Family, passes: AddressSet, unknown: AddressSet) -> ExposureLevel:
    if covers_the_internet(family, passes):
        return "anywhere"
    if unknown:
        return "unknown"
    return "networks" if passes else "nobody"


def _merged(answers: Iterable[Access]) -> tuple[Access, ...]:
    """Join the interfaces over which the same sources reach the offer."""
    found: dict[object, Access] = {}
    for each in answers:
        key = (each.family, each.level, each.passes, each.unknown, each.reason)
        known = found.get(key)
        if known is None:
            found[key] = each
        else:
            interfaces = (*known.interfaces, *each.interfaces)
            found[key] = replace(known, interfaces=interfaces)
    return tuple(found.values())

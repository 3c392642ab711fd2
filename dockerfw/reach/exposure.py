"""Exposure: the sources that reach each port of a host over its external interfaces.

Asks the simulator for each port, address and interface, and gathers the answers in rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.moments import applies_at
from dockerfw.document.rule_ports import applies_to_port
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import sentences
from dockerfw.reach.allowing_rules import ENTRIES, AllowingRules
from dockerfw.reach.arrivals import inner_arrivals
from dockerfw.reach.internet import covers_the_internet
from dockerfw.reach.listening import Address
from dockerfw.reach.offers import Offer
from dockerfw.reach.unchanged import Unchanged, find_changed
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.moments import moment_text
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, HostInterface
from dockerfw.simulation.trace import Verdict
from dockerfw.simulation.walk import ChainKey

ExposureLevel = Literal["anywhere", "unknown", "networks", "nobody"]
LEVELS: Final[tuple[ExposureLevel, ...]] = ("anywhere", "unknown", "networks", "nobody")
"""The widest first. A row has the first of these levels that one of its answers has."""

# At most this many addresses of one interface are checked; the row notes if there are more.
MOST_ADDRESSES: Final = 8

BROADCAST: Final = IPv4Address("255.255.255.255")
_SAME_LINK: Final = AddressSet.of(6, ["fe80::/10"])


@dataclass(frozen=True, slots=True)
class Access:
    """The sources that reach an offer over one family, arriving on some interfaces.

    `rules` are the ids of the dockerfw rules that allow them, `parts` are sets of sources, each with its
    verdict. `reason` is set if the rules were not simulated. `starting` are rules that will allow refused
    sources later, with the moment in UTC seconds.
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
    starting: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ExposureRow:
    """An offer with the sources that reach it; the level is that of the widest answer."""

    offer: Offer
    access: tuple[Access, ...]
    notes: tuple[str, ...]

    @property
    def level(self) -> ExposureLevel:
        """The level of the widest answer."""
        return widest_level(self.access)


def widest_level(access: Iterable[Access]) -> ExposureLevel:
    """Return the level of the widest of several answers."""
    found = {each.level for each in access}
    return next((level for level in LEVELS if level in found), "nobody")


def expose(
    offers: Iterable[Offer],
    prepared: Mapping[Family, Prepared],
    outside: Sequence[HostInterface],
    inside: Sequence[HostInterface] = (),
    external: Sequence[str] = (),
) -> tuple[ExposureRow, ...]:
    """Return a row for each offer, the widest first.

    `outside` are the interfaces that packets from outside arrive on; without any, access is unknown. `inside`
    are others that lead to clients, such as a VPN's: the sources in their networks arrive there. `external`
    are the names, or patterns, of the settings.
    """
    exposure = _Exposure(prepared, tuple(outside), inside, tuple(external))
    return _widest_first(exposure.row(offer) for offer in offers)


def expose_both(
    offers: Sequence[Offer],
    before: Mapping[Family, Prepared],
    after: Mapping[Family, Prepared],
    outside: Sequence[HostInterface],
    inside: Sequence[HostInterface] = (),
    unchanged: Unchanged | None = None,
) -> tuple[tuple[ExposureRow, ...], tuple[ExposureRow, ...]]:
    """Return the rows before and after a load, each as `expose` does.

    Where packets pass no chain that the load changes, the same sources reach the port after it, and the row
    after the load is the one before it, with the rules and notes of then. `unchanged` is given where it is
    known.
    """
    unchanged = unchanged or Unchanged(find_changed(before, after))
    old, new = (_Exposure(each, tuple(outside), inside, ()) for each in (before, after))
    was, now = [], []
    for offer in offers:
        row, passed = old.row_with_chains(offer)
        same = all(unchanged.holds(family, passed.get(family, frozenset())) for family in offer.families)
        was.append(row)
        now.append(row if same else new.row(offer))
    return _widest_first(was), _widest_first(now)


def _widest_first(rows: Iterable[ExposureRow]) -> tuple[ExposureRow, ...]:
    return tuple(sorted(rows, key=lambda row: LEVELS.index(row.level)))


def find_idle_rules(document: Document, rows: Iterable[ExposureRow], moment: str) -> tuple[DocumentRule, ...]:
    """Return the allowances of a moment that name only ports without a row: nothing listens there.

    Rules for the ports inside containers and for forwarded traffic are left out: rows do not show all that is
    routed there. So are rules for containers of which some accept every port.
    """
    offered, every = set[tuple[str, int]](), set[str]()
    for row in rows:
        offered.add((row.offer.protocol, row.offer.port))
        if row.offer.ports and row.offer.kind == "container":
            every.add(row.offer.protocol)
    return tuple(
        rule
        for rule in document.rules
        if rule.enabled
        and rule.action == "allow"
        and applies_at(rule, moment)
        and rule.ports
        and rule.port_kind == "published"
        and rule.scope != "forwarded"
        and not (rule.scope != "host" and every & {rule.protocol})
        and not any(applies_to_port(rule, protocol, port) for protocol, port in offered)
    )


class _Exposure:
    """One exposure; ports that share a service share the simulator's answer."""

    def __init__(
        self,
        prepared: Mapping[Family, Prepared],
        outside: tuple[HostInterface, ...],
        inside: Sequence[HostInterface],
        external: tuple[str, ...],
    ) -> None:
        self.prepared = prepared
        self.outside = outside
        self.external = external
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
        self.passed: dict[Family, set[ChainKey]] = {}
        self.allowances = {family: AllowingRules(each) for family, each in prepared.items()}

    def row(self, offer: Offer) -> ExposureRow:
        """Return the row of one offer."""
        notes = [*offer.notes, *self._notes(offer)]
        ways = [each for family in offer.families for each in self._forwarding(offer, family)]
        if offer.address is not None and ways:
            closes = all(self._is_external(each) for each in ways)
            notes.append(sentences.forwarded_from_neighbours(offer.address, closes=closes))
        access = [answer for family in offer.families for answer in self._family(offer, family)]
        starting = {each for one in access for each in one.starting}
        notes += [sentences.starts_later(name, moment_text(moment)) for name, moment in sorted(starting)]
        return ExposureRow(offer, merge_answers(access), tuple(notes))

    def row_with_chains(self, offer: Offer) -> tuple[ExposureRow, Mapping[Family, frozenset[ChainKey]]]:
        """Return the row of one offer, and the chains of each family on which it depends."""
        self.passed = {}
        return self.row(offer), {family: frozenset(found) for family, found in self.passed.items()}

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
        if offer.address is not None and offer.address.is_loopback and not self._forwarding(offer, family):
            yield _unreachable(family, (), sentences.bound_to_loopback(offer.address))
            return
        if offer.unseen and not offer.direct:
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
                answer = self._answer(offer, family, interface, destinations, sources)
                yield _doubted(answer, offer.unseen) if offer.unseen else answer
                if offer.protocol == "udp" and offer.address is None and family in offer.sockets:
                    yield from self._group_answers(offer, family, interface, sources, answer)
        if not checked:
            yield _unreachable(family, (), self._reason_without_check(offer, family))

    def _group_answers(
        self, offer: Offer, family: Family, interface: HostInterface, sources: AddressSet, known: Access
    ) -> Iterable[Access]:
        """Yield an answer about broadcast and multicast packets if more sources reach the port by them.

        They stay on the host, where docker-proxy has the published ports of containers. Broadcast packets
        come from the networks of the interface.
        """
        networks = [each.network for each in interface.addresses if each.version == family]
        ends = [each.broadcast_address for each in networks if family == 4 and each.prefixlen < 31]
        broadcast = [*dict.fromkeys((BROADCAST, *ends))] if family == 4 else []
        groups = [each for each in interface.groups if each.version == family]
        near = AddressSet.of(family, networks)
        told = known.passes.union(known.unknown)
        for destinations, all_sources in ((broadcast, near), (groups, sources)):
            if not destinations:
                continue
            bare = replace(offer, kind="process", published=())
            found = self._answer(bare, family, interface, destinations, sources.intersection(all_sources))
            if found.passes.difference(known.passes) or found.unknown.difference(told):
                yield replace(found, reason=sentences.BY_GROUP_PACKETS)

    def _forwarding(self, offer: Offer, family: Family) -> list[str]:
        """Return the interfaces by which neighbours reach a port of a loopback address.

        Docker before 28 forwards their packets.
        """
        if offer.address is None or not offer.address.is_loopback or offer.unseen:
            return []
        if not any(each.family == family for each in offer.published):
            return []
        everything = AddressSet.everything(family)
        return [
            interface.name
            for interface in self.outside
            if self._answer(
                offer, family, interface, self._destinations(offer, family, interface), everything
            ).level
            != "nobody"
        ]

    def _is_external(self, name: str) -> bool:
        """Return True if the settings name an interface as external."""
        return any(interfaces_overlap(name, pattern) for pattern in self.external)

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
        if (
            offer.redirect is None
            and not offer.direct
            and self._elsewhere(prepared, offer, family, interface)
        ):
            return _unreachable(family, (interface.name,), sentences.NOT_THIS_HOSTS_ADDRESS)
        found = [self._reach(prepared, offer, family, interface, each) for each in destinations]
        passes, unknown = found[0].passes, found[0].unknown
        for more in found[1:]:
            passes, unknown = passes.union(more.passes), unknown.union(more.unknown)
        if all(isinstance(each, IPv6Address) and each.is_link_local for each in destinations):
            # Only neighbours can send to such an address.
            all_sources = _SAME_LINK
        if offer.direct and family == 6:
            # No host forwards packets of a link-local source.
            all_sources = all_sources.difference(_SAME_LINK)
        passes = passes.intersection(all_sources)
        unknown = unknown.intersection(all_sources).difference(passes)
        refused = all_sources.difference(passes.union(unknown))
        parts = tuple(part for each in found for part in each.parts)
        allowing = self.allowances[family]
        rules = tuple(
            dict.fromkeys(
                name
                for each in found
                for name in allowing.find_allowing(each, passes.intersection(each.passes))
            )
        )
        starting = tuple(pair for each in found for pair in allowing.find_starting(each).items())
        level = level_of(family, passes, unknown)
        return Access(
            family, (interface.name,), level, passes, refused, unknown, rules, parts, starting=starting
        )

    def _elsewhere(self, prepared: Prepared, offer: Offer, family: Family, interface: HostInterface) -> bool:
        if offer.address is None or offer.redirect is not None or offer.direct:
            return False
        return prepared.surroundings.route(family, offer.address, interface.name) not in (LOCAL, None)

    def _reach(
        self, prepared: Prepared, offer: Offer, family: Family, interface: HostInterface, address: Address
    ) -> Reach:
        service = Service(family, protocol_number(offer.protocol) or 0, address, offer.port, interface.name)
        if service not in self.answers:
            self.answers[service] = simulate_service(prepared, service, ENTRIES)
        found = self.answers[service]
        self.passed.setdefault(family, set()).update(found.passed)
        return found


def _unreachable(family: Family, interfaces: tuple[str, ...], reason: str) -> Access:
    nothing = AddressSet.nothing(family)
    return Access(
        family, interfaces, "nobody", nothing, AddressSet.everything(family), nothing, reason=reason
    )


def _unknown(family: Family, interfaces: tuple[str, ...], reason: str) -> Access:
    nothing = AddressSet.nothing(family)
    all_sources = AddressSet.everything(family)
    return Access(family, interfaces, "unknown", nothing, nothing, all_sources, reason=reason)


def _doubted(answer: Access, reason: str) -> Access:
    """Return an answer in which rules that are not visible may refuse what passes."""
    unknown = answer.unknown.union(answer.passes)
    if not unknown:
        return answer
    nothing = AddressSet.nothing(answer.family)
    return replace(answer, level="unknown", passes=nothing, unknown=unknown, rules=(), reason=reason)


def level_of(family: Family, passes: AddressSet, unknown: AddressSet) -> ExposureLevel:
    """Return the level of an answer."""
    if covers_the_internet(family, passes):
        return "anywhere"
    if unknown:
        return "unknown"
    return "networks" if passes else "nobody"


def merge_answers(answers: Iterable[Access]) -> tuple[Access, ...]:
    """Join the interfaces over which the same sources reach an offer."""
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

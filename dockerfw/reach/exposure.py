"""Access may reach what a host offers: anywhere, some networks, nobody, or nobody can tell.

Owns the question that is asked of the simulator for each port (which address, by which interface) and how its
answers are gathered into a row. The verdicts themselves are simulation/services.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Final, Literal

from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.rule_ports import applies_to_port
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach.allowing_rules import AllowingRules
from dockerfw.reach.listening import Address
from dockerfw.reach.offers import Offer
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, HostInterface, Surroundings
from dockerfw.simulation.trace import Verdict

Level = Literal["anywhere", "unknown", "networks", "nobody"]
LEVELS: Final[tuple[Level, ...]] = ("anywhere", "unknown", "networks", "nobody")
"""The widest first: a row's level is the first of these that one of its answers has."""

# More addresses of one interface than this are not each asked for; the row says so.
MOST_ADDRESSES: Final = 8

# The addresses of strangers: what the world is for IPv6, and all of IPv4.
WORLD: Final[Mapping[Family, AddressSet]] = {
    4: AddressSet.everything(4),
    6: AddressSet.of(6, ["2000::/3"]),
}
_SAME_LINK: Final = AddressSet.of(6, ["fe80::/10"])


@dataclass(frozen=True, slots=True)
class Access:
    """Access reaches an offer over one family by some interfaces.

    `rules` are the ids of dockerfw's rules that let them in, `parts` sets of sources with the verdict that
    they meet; `reason` is why no rule was asked.
    """

    family: Family
    interfaces: tuple[str, ...]
    level: Level
    passes: AddressSet
    refused: AddressSet
    unknown: AddressSet
    rules: tuple[str, ...] = ()
    parts: tuple[tuple[AddressSet, Verdict], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExposureRow:
    """An offer with who reaches it; the level is that of the widest answer."""

    offer: Offer
    access: tuple[Access, ...]
    notes: tuple[str, ...]

    @property
    def level(self) -> Level:
        """The widest of its answers."""
        found = {each.level for each in self.access}
        return next((level for level in LEVELS if level in found), "nobody")

    @property
    def key(self) -> tuple[str, int, Address | None, str]:
        """What tells this row from others, now and after a change of the rules."""
        return (self.offer.protocol, self.offer.port, self.offer.address, self.offer.interface)


def external_interfaces(names: Sequence[str], surroundings: Surroundings) -> tuple[HostInterface, ...]:
    """Return the interfaces by which strangers come: those named, else those of the default routes."""
    if not names:
        names = sorted({name for ways in surroundings.default_routes.values() for name in ways})
    return tuple(
        each for each in surroundings.interfaces if any(interfaces_overlap(each.name, name) for name in names)
    )


def expose(
    offers: Iterable[Offer], prepared: Mapping[Family, Prepared], outside: Sequence[HostInterface]
) -> tuple[ExposureRow, ...]:
    """Return a row for each offer, the widest open first. `outside` are the interfaces to come in by."""
    asking = _Asking(prepared, tuple(outside))
    rows = [asking.row(offer) for offer in offers]
    return tuple(sorted(rows, key=lambda row: LEVELS.index(row.level)))


def find_idle_rules(document: Document, rows: Iterable[ExposureRow]) -> tuple[DocumentRule, ...]:
    """Return the enabled rules that name ports of which none is among the rows: nothing answers behind them.

    A rule for the ports inside containers is left out, since what is routed there is in no row.
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


class _Asking:
    """The questions of one exposure; ports that share an answer share the question."""

    def __init__(self, prepared: Mapping[Family, Prepared], outside: tuple[HostInterface, ...]) -> None:
        self.prepared = prepared
        self.outside = outside
        self.answers: dict[Service, Reach] = {}
        self.allowances = {family: AllowingRules(each.ruleset, family) for family, each in prepared.items()}

    def row(self, offer: Offer) -> ExposureRow:
        """Ask for one offer."""
        notes = [*offer.notes, *self._notes(offer)]
        who = [answer for family in offer.families for answer in self._family(offer, family)]
        return ExposureRow(offer, _merged(who), tuple(notes))

    def _notes(self, offer: Offer) -> Iterable[str]:
        if offer.interface:
            yield f"Takes only what comes in by {offer.interface}."
        if offer.address is not None and not offer.address.is_loopback:
            owner = self._owner(offer.address)
            if owner is not None and owner not in {each.name for each in self.outside}:
                yield f"{offer.address} belongs to {owner}: from outside only who is routed there dials it."
        if offer.address is None:
            for each in self.outside:
                if len(each.addresses) > MOST_ADDRESSES:
                    yield f"Looked at {MOST_ADDRESSES} of {len(each.addresses)} addresses of {each.name}."

    def _owner(self, address: Address) -> str | None:
        """Return the interface that has an address."""
        for prepared in self.prepared.values():
            for interface in prepared.surroundings.interfaces:
                if any(address == each.ip for each in interface.addresses):
                    return interface.name
        return None

    def _family(self, offer: Offer, family: Family) -> Iterable[Access]:
        if offer.address is not None and offer.address.is_loopback:
            yield _nobody(family, (), f"bound to {offer.address}: the host itself only")
            return
        if offer.unseen:
            yield _unknown(family, tuple(each.name for each in self.outside), offer.unseen)
            return
        asked = False
        for interface in self.outside:
            if offer.interface and offer.interface != interface.name:
                continue
            destinations = self._destinations(offer, family, interface)
            if destinations:
                asked = True
                yield self._answer(offer, family, interface, destinations)
        if not asked:
            yield _nobody(family, (), self._why_not_asked(offer, family))

    def _why_not_asked(self, offer: Offer, family: Family) -> str:
        if offer.interface:
            return f"bound to {offer.interface}, which is not external"
        if not self.outside:
            return "the host has no external interface"
        names = ", ".join(each.name for each in self.outside)
        return f"{names} has no {FAMILY_NAMES[family]} address"

    def _destinations(self, offer: Offer, family: Family, interface: HostInterface) -> list[Address]:
        if offer.address is not None:
            return [offer.address]
        own = [each.ip for each in interface.addresses if each.version == family]
        wide = [address for address in own if not address.is_link_local]
        return (wide or own)[:MOST_ADDRESSES]

    def _answer(
        self, offer: Offer, family: Family, interface: HostInterface, destinations: list[Address]
    ) -> Access:
        prepared = self.prepared.get(family)
        if prepared is None:
            reason = f"the rules of {FAMILY_NAMES[family]} could not be read"
            return _unknown(family, (interface.name,), reason)
        if self._elsewhere(prepared, offer, family, interface):
            return _nobody(family, (interface.name,), "the host does not have this address now")
        found = [self._reach(prepared, offer, family, interface, each) for each in destinations]
        passes, unknown = found[0].passes, found[0].unknown
        for more in found[1:]:
            passes, unknown = passes.union(more.passes), unknown.union(more.unknown)
        unknown = unknown.difference(passes)
        everyone = AddressSet.everything(family)
        if all(isinstance(each, IPv6Address) and each.is_link_local for each in destinations):
            # Nobody but neighbours can send to such an address.
            everyone = _SAME_LINK
            passes, unknown = passes.intersection(everyone), unknown.intersection(everyone)
        refused = everyone.difference(passes.union(unknown))
        parts = tuple(part for each in found for part in each.parts)
        protocol = protocol_number(offer.protocol) or 0
        rules = self.allowances[family].find_allowing(passes, protocol, offer.port, offer.inner_port(family))
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


def _nobody(family: Family, interfaces: tuple[str, ...], reason: str) -> Access:
    nothing = AddressSet.nothing(family)
    return Access(
        family, interfaces, "nobody", nothing, AddressSet.everything(family), nothing, reason=reason
    )


def _unknown(family: Family, interfaces: tuple[str, ...], reason: str) -> Access:
    nothing = AddressSet.nothing(family)
    everyone = AddressSet.everything(family)
    return Access(family, interfaces, "unknown", nothing, nothing, everyone, reason=reason)


def _level(family: Family, passes: AddressSet, unknown: AddressSet) -> Level:
    if covers_the_internet(family, passes):
        return "anywhere"
    if unknown:
        return "unknown"
    return "networks" if passes else "nobody"


def covers_the_internet(family: Family, addresses: AddressSet) -> bool:
    """Say whether a set holds more than half of all strangers: a few banned ones are exceptions."""
    return 2 * addresses.intersection(WORLD[family]).count() > WORLD[family].count()


def _merged(answers: Iterable[Access]) -> tuple[Access, ...]:
    """Join the interfaces by which the same sources get in."""
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

"""What containers reach on their own host, before and after a load: its services, and docker-proxy's ports.

Containers reach each other and the internet through FORWARD, which a load changes only for external
interfaces. Their packets to the host pass INPUT like any other client's. changes.py is about outside access.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import change_sentences
from dockerfw.reach.changes import Change
from dockerfw.reach.container_networks import container_bridges
from dockerfw.reach.listening import Address, Listening
from dockerfw.reach.offers import Offer, find_offers
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface, Surroundings

MOST_ASKED: Final = 600
"""At most so many services on bridges are compared, the host's programs first. Each takes milliseconds."""

Rules = Mapping[Family, Prepared]
_Kind = Literal["closed", "opened", "unknown"]
# A bridge and a family, in which the containers of the bridge have addresses.
_Place = tuple[str, Family]


@dataclass(frozen=True, slots=True)
class LostService:
    """A service that containers of `sources` (networks) reach today, and would not reach after a load."""

    name: str
    protocol: str
    port: int
    published: bool
    sources: tuple[str, ...]

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The fields of a rule that allows it, without the source, as (name, value) pairs."""
        scope = "container" if self.published else "host"
        return (("scope", scope), ("protocol", self.protocol), ("ports", str(self.port)))


@dataclass(frozen=True, slots=True)
class ContainerEffect:
    """The effect of a load on what containers reach on their host.

    `whole` is False if there are too many services and bridges to compare all of them.
    """

    changes: tuple[Change, ...] = ()
    lost: tuple[LostService, ...] = ()
    whole: bool = True

    @property
    def question(self) -> str:
        """Say what containers reach today and would lose; empty without any."""
        return change_sentences.containers_keep([each.name for each in self.lost]) if self.lost else ""


NO_EFFECT: Final = ContainerEffect()


@dataclass(frozen=True, slots=True)
class _Network:
    """The containers' addresses on a bridge in one family, and the host's own address there."""

    bridge: str
    family: Family
    gateway: Address
    network: str
    sources: AddressSet


@dataclass(frozen=True, slots=True)
class _Finding:
    """How the access of containers to one offer changes; `reason` is why it is unknown."""

    kind: _Kind
    place: _Place
    partly: bool
    reason: str = ""


def find_container_effect(
    listening: Listening, surroundings: Surroundings, before: Rules, after: Rules
) -> ContainerEffect:
    """Compare what the containers of this host reach on it before and after a load.

    A family whose rules are unknown before or after the load is named as unknown.
    """
    bridges = [
        each
        for each in container_bridges(surroundings.interfaces, {}, listening.containers, ())
        if each.kind == "bridge"
    ]
    networks = [network for bridge in bridges for network in _networks(bridge)]
    unread = [family for family in FAMILIES if any(each.family == family for each in networks)]
    unread = [family for family in unread if family not in before or family not in after]
    changes = [Change("unknown", change_sentences.containers_unread(family)) for family in unread]
    networks = [each for each in networks if each.family not in unread]
    comparison = _Comparison(before, after)
    found: dict[tuple[_Kind, tuple[_Place, ...], bool, str, int], list[str]] = {}
    lost: list[LostService] = []
    offers = _host_offers(listening)
    for offer in offers:
        here = [each for each in networks if each.family in offer.families]
        findings = list(comparison.compare(offer, here))
        closed = {each.place for each in findings if each.kind == "closed"}
        if closed:
            nets = tuple(each.network for each in here if (each.bridge, each.family) in closed)
            published = offer.kind == "container"
            lost.append(LostService(_label(offer), offer.protocol, offer.port, published, nets))
        for kind, partly, reason in dict.fromkeys((each.kind, each.partly, each.reason) for each in findings):
            places = tuple(
                each.place
                for each in findings
                if (each.kind, each.partly, each.reason) == (kind, partly, reason)
            )
            found.setdefault((kind, places, partly, reason, len(here)), []).append(_label(offer))
    for (kind, places, partly, reason, asked), labels in found.items():
        where = () if len(places) == asked else places
        text = change_sentences.container_change(kind, labels, where, partly=partly, reason=reason)
        changes.append(Change(kind, text))
    order = ("closed", "opened", "unknown")
    changes.sort(key=lambda change: order.index(change.kind))
    return ContainerEffect(tuple(changes), tuple(lost), whole=comparison.whole)


def _host_offers(listening: Listening) -> tuple[Offer, ...]:
    """Return what the host's own sockets offer, programs first, then the ports of docker-proxy."""
    sockets = replace(listening, published=(), redirects=(), ingress=frozenset())
    found = [
        each
        for each in find_offers(sockets)
        if not each.unseen and not (each.address is not None and each.address.is_loopback)
    ]
    return tuple(sorted(found, key=lambda offer: offer.kind == "container"))


def _networks(bridge: HostInterface) -> Iterator[_Network]:
    for family in FAMILIES:
        own = [
            each
            for each in bridge.addresses
            if each.version == family and not (each.ip.is_link_local or each.ip.is_loopback)
        ]
        if own:
            sources = AddressSet.of(family, [each.network for each in own])
            sources = sources.difference(AddressSet.of(family, [str(each.ip) for each in own]))
            yield _Network(bridge.name, family, own[0].ip, str(own[0].network), sources)


def _label(offer: Offer) -> str:
    """Return `5432/tcp (postgres)`, `8080/tcp (published by shop-web-1)`."""
    at = f" at {offer.address}" if offer.address is not None else ""
    name = f"published by {offer.name}" if offer.kind == "container" and offer.name else offer.name
    name = name or ("published" if offer.kind == "container" else "")
    return f"{offer.port}/{offer.protocol}{at}{f' ({name})' if name else ''}"


class _Comparison:
    """Compares single services; `whole` becomes False when there are too many."""

    def __init__(self, before: Rules, after: Rules) -> None:
        self._rules = (before, after)
        self._left = MOST_ASKED
        self.whole = True

    def compare(self, offer: Offer, networks: Sequence[_Network]) -> Iterator[_Finding]:
        """Yield how the access of the containers of each network to an offer changes."""
        for network in networks:
            if offer.address is not None and offer.address.version != network.family:
                continue
            if offer.interface not in ("", network.bridge):
                continue
            if self._left == 0:
                self.whole = False
                return
            self._left -= 1
            was, now = (self._ask(rules[network.family], offer, network) for rules in self._rules)
            yield from _differences(was, now, network)

    def _ask(self, prepared: Prepared, offer: Offer, network: _Network) -> Reach:
        protocol = protocol_number(offer.protocol) or 0
        destination = offer.address or network.gateway
        service = Service(network.family, protocol, destination, offer.port, network.bridge)
        return simulate_service(prepared, service)


def _differences(was: Reach, now: Reach, network: _Network) -> Iterator[_Finding]:
    place = (network.bridge, network.family)
    closed = was.passes.difference(now.passes).difference(now.unknown).intersection(network.sources)
    opened = now.passes.difference(was.passes).difference(was.unknown).intersection(network.sources)
    unclear = now.unknown.difference(was.unknown).intersection(network.sources)
    for kind, sources in (("closed", closed), ("opened", opened)):
        if sources:
            partly = bool(network.sources.difference(sources))
            yield _Finding("closed" if kind == "closed" else "opened", place, partly)
    if unclear:
        reasons = (verdict.reason for part, verdict in now.parts if part.intersection(unclear))
        partly = bool(network.sources.difference(unclear))
        yield _Finding("unknown", place, partly, next((each for each in reasons if each), ""))

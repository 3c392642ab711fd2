"""The ports that a host offers to the network: listening sockets and published ports, one offer per port.

docker-proxy's socket and Docker's DNAT rule for the same port are one offer. exposure.py finds the sources
that reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dockerfw.chains.redirects import Redirect
from dockerfw.iptables.model import Family
from dockerfw.reach import sentences
from dockerfw.reach.listening import (
    DOCKER_PROXY,
    Address,
    Listener,
    Listening,
    OpenPort,
    Publication,
    Published,
    RunningContainer,
)

OfferKey = tuple[str, int, Address | None, str]
OfferKind = Literal["process", "container", "host-container", "ingress", "forward", "past-host"]
"""A program of the host, a container's port, a container on the host's network, swarm's ingress, a port that
a rule of others forwards to another address, a container that clients reach past this host."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One port that something listens on. `address` None is any address of the host, `interface` empty any.

    `name` is the process or container, empty if unknown; `detail` its systemd unit, or Compose's
    `project/service`. `published` is where Docker sends the packets, `redirect` where another rule sends
    them, `unseen` the reason why the rules on the path are unknown, `notes` are sentences with more details.
    `direct` means that clients connect to the container's own address. `ports` are words for an offer that
    stands for more than one port, such as `every other tcp port`, empty for one port. `sockets` are the
    families in which a socket of the host has the port, also docker-proxy's.
    """

    protocol: str
    port: int
    address: Address | None
    interface: str
    families: tuple[Family, ...]
    kind: OfferKind
    name: str
    detail: str
    published: tuple[Published, ...] = ()
    redirect: Redirect | None = None
    unseen: str = ""
    notes: tuple[str, ...] = ()
    direct: bool = False
    ports: str = ""
    sockets: tuple[Family, ...] = ()

    @property
    def key(self) -> OfferKey:
        """The key of the offer, the same before and after a change of the rules."""
        return (self.protocol, self.port, self.address, self.interface)

    @property
    def reaches_container(self) -> bool:
        """True if rules for containers apply to it."""
        return self.kind in ("container", "ingress")

    @property
    def is_forwarded(self) -> bool:
        """True if its packets are forwarded, to a container or to another machine."""
        return self.reaches_container or self.kind == "forward"

    @property
    def inner(self) -> tuple[str, ...]:
        """The endpoints that Docker sends the packets to, as `172.17.0.2:80`."""
        return _unique(_inner(each) for each in self.published)

    def inner_port(self, family: Family) -> int | None:
        """Return the port that packets are forwarded to, None for a family whose packets the host takes."""
        if self.kind == "ingress" or self.direct:
            return self.port
        if self.kind == "forward" and self.redirect is not None:
            return self.redirect.to_port or self.port
        return next((each.to_port for each in self.published if each.family == family), None)

    def inner_address(self, family: Family) -> Address | None:
        """Return the address that packets are forwarded to, None if the host takes them."""
        if self.kind == "forward" and self.redirect is not None:
            return self.redirect.to_address
        return next((each.to_address for each in self.published if each.family == family), None)


def find_offers(listening: Listening) -> tuple[Offer, ...]:
    """Return the offers, sorted by port, protocol and address."""
    groups: dict[tuple[str, int, Address | None, str], _Group] = {}

    def group(protocol: str, port: int, address: Address | None, interface: str = "") -> _Group:
        return groups.setdefault((protocol, port, address, interface), _Group())

    for published in listening.published:
        group(published.protocol, published.port, published.address).published.append(published)
    for listener in listening.listeners:
        place = group(listener.protocol, listener.port, listener.address, listener.interface)
        place.listeners.append(listener)
    for redirect in listening.redirects:
        place = group(redirect.protocol, redirect.port, redirect.address, redirect.interface)
        place.redirects.append(redirect)
    for protocol, port in listening.ingress:
        group(protocol, port, None).ingress = True
    for opened in listening.routed:
        group(opened.protocol, opened.port, opened.address).opened.append(opened)
    if listening.by_nftables:
        # Docker's rules are not visible: only its API tells what it publishes.
        for container in listening.containers or ():
            for each in container.publications:
                group(each.protocol, each.port, each.address).publishing = True
    at: dict[Address, list[RunningContainer]] = {}
    for container in listening.containers or ():
        for own in container.addresses:
            at.setdefault(own, []).append(container)
    found = [
        members.offer(protocol, port, address, interface, listening, at)
        for (protocol, port, address, interface), members in groups.items()
    ]
    if listening.by_nftables:
        found = [
            replace(each, unseen=sentences.RULES_IN_NFTABLES) if each.reaches_container else each
            for each in found
        ]
    return tuple(sorted(found, key=_order))


def _order(offer: Offer) -> tuple[object, ...]:
    address = (offer.address.version, int(offer.address)) if offer.address else (0, 0)
    return (offer.port, offer.protocol, address, offer.interface)


@dataclass(slots=True)
class _Group:
    """All sockets and rules for one port of one address."""

    published: list[Published] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    ingress: bool = False
    publishing: bool = False
    redirects: list[Redirect] = field(default_factory=list)
    opened: list[OpenPort] = field(default_factory=list)

    def offer(
        self,
        protocol: str,
        port: int,
        address: Address | None,
        interface: str,
        listening: Listening,
        at: Mapping[Address, Sequence[RunningContainer]],
    ) -> Offer:
        """Return the offer; `at` are the containers by their addresses."""
        families = {each.family for each in self.published} | {each.family for each in self.redirects}
        families |= {each.family for each in self.opened}
        families |= {family for each in self.listeners for family in each.families}
        redirect = self.redirects[0] if self.redirects and not self.published else None
        if redirect is not None and redirect.to_host:
            # The program at the other port answers.
            self.listeners = [each for each in listening.listeners if _receives(each, redirect)]
        if self.publishing and not families:
            families = {4}
        if self.ingress:
            # Only IPv4 is load-balanced; dockerd's socket only reserves the port and never answers.
            families = {4}
        kind, name, detail = self._identify(protocol, port, address, listening.containers or (), at)
        notes = tuple(self._notes(kind))
        if redirect is not None:
            to, inner = redirect.to_address, redirect.to_port or port
            notes = (sentences.redirected(to, inner), *notes)
            if not redirect.to_host:
                kind, name, detail = "forward", "", sentences.format_endpoint(to, inner)
        return Offer(
            protocol=protocol,
            port=port,
            address=address,
            interface=interface,
            families=tuple(sorted(families)),
            kind=kind,
            name=name,
            detail=detail,
            published=tuple(self.published),
            redirect=redirect,
            notes=notes,
            sockets=tuple(sorted({family for each in self.listeners for family in each.families})),
            direct=bool(self.opened) and not self.published and redirect is None,
        )

    def _identify(
        self,
        protocol: str,
        port: int,
        address: Address | None,
        containers: tuple[RunningContainer, ...],
        at: Mapping[Address, Sequence[RunningContainer]],
    ) -> tuple[OfferKind, str, str]:
        if self.ingress:
            return "ingress", "", sentences.INGRESS_SERVICE
        if self.published or self.publishing or self.opened or self._proxies:
            behind = self._behind(at) or [
                each
                for each in containers
                if any(_publishes(item, protocol, port, address) for item in each.publications)
            ]
            return (
                "container",
                _joined(each.name for each in behind),
                _joined(each.compose_name for each in behind),
            )
        inside = _unique(each.container for each in self.listeners)
        if inside:
            known = [each for each in containers if each.id in inside]
            name = _joined(each.name for each in known) or _joined(inside)
            compose_name = _joined(each.compose_name for each in known)
            return "host-container", name, compose_name or _joined(each.process for each in self.listeners)
        names = _joined(each.process for each in self.listeners)
        return "process", names, _joined(each.unit for each in self.listeners)

    def _behind(self, at: Mapping[Address, Sequence[RunningContainer]]) -> list[RunningContainer]:
        """Return the containers that Docker's rules for the port lead to."""
        targets = (*(each.to_address for each in self.published), *(each.address for each in self.opened))
        return [each for target in dict.fromkeys(targets) for each in at.get(target, ())]

    @property
    def _proxies(self) -> list[Listener]:
        return [each for each in self.listeners if each.process == DOCKER_PROXY]

    def _notes(self, kind: OfferKind) -> Iterable[str]:
        if kind == "ingress":
            yield sentences.INGRESS_ON_EVERY_NODE
            return
        if kind == "host-container":
            yield sentences.ON_HOST_NETWORK
        if self.opened:
            yield sentences.PUBLISHED_AT_OWN_ADDRESS
        proxied = {family for each in self._proxies for family in each.families}
        direct = {each.family for each in self.published}
        if proxied:
            yield sentences.taken_by_docker_proxy(
                sorted(proxied - direct), own_connections=bool(proxied & direct)
            )
        others = _unique(each.process for each in self.listeners if each.process not in ("", DOCKER_PROXY))
        if direct and others:
            yield sentences.also_listening(others)


def _receives(listener: Listener, redirect: Redirect) -> bool:
    """Return True if a program accepts packets that a rule sends to another port or address of the host."""
    wanted = (redirect.protocol, redirect.to_port or redirect.port)
    if (listener.protocol, listener.port) != wanted or redirect.family not in listener.families:
        return False
    if redirect.to_address is not None:
        return listener.address in (None, redirect.to_address)
    return listener.address is None or not listener.address.is_loopback


def _publishes(item: Publication, protocol: str, port: int, address: Address | None) -> bool:
    return item.protocol == protocol and item.port == port and item.address in (None, address)


def _inner(published: Published) -> str:
    return sentences.format_endpoint(published.to_address, published.to_port)


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(_unique(texts))

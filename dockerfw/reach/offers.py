"""What a host offers to the network, a line a port: the sockets, the published ports and who is behind them.

Owns which of them are one thing (docker-proxy's socket and Docker's DNAT rule for the same port), and how
each is named. Who may reach it is for exposure.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.reach.listening import (
    DOCKER_PROXY,
    Address,
    Container,
    Listener,
    Listening,
    Publication,
    Published,
)

RULES_IN_NFTABLES: Final = "Docker keeps its rules in nftables' own tables, where iptables does not show them"

Kind = Literal["process", "container", "host-container", "ingress"]
"""A program of the host, a container's published port, a container on the host's network, swarm's ingress."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One port that somebody answers. `address` None is any address of the host, `interface` empty any.

    `name` is the process or container, empty where that is not known; `detail` its systemd unit, or Compose's
    `project/service`. `published` is where Docker sends the packets, `unseen` why the rules on their way are
    not known, `notes` what else there is to know.
    """

    protocol: str
    port: int
    address: Address | None
    interface: str
    families: tuple[Family, ...]
    kind: Kind
    name: str
    detail: str
    published: tuple[Published, ...] = ()
    unseen: str = ""
    notes: tuple[str, ...] = ()

    @property
    def reaches_container(self) -> bool:
        """Say whether a rule for containers is what lets people in."""
        return self.kind in ("container", "ingress")

    @property
    def inner(self) -> tuple[str, ...]:
        """Where Docker sends the packets, as `172.17.0.2:80`."""
        return _unique(_inner(each) for each in self.published)

    def inner_port(self, family: Family) -> int | None:
        """Return the port that packets are forwarded to, None in a family whose packets the host takes."""
        if self.kind == "ingress":
            return self.port
        return next((each.to_port for each in self.published if each.family == family), None)


def find_offers(listening: Listening) -> tuple[Offer, ...]:
    """Return what is offered, by port, protocol and address."""
    groups: dict[tuple[str, int, Address | None, str], _Group] = {}

    def group(protocol: str, port: int, address: Address | None, interface: str = "") -> _Group:
        return groups.setdefault((protocol, port, address, interface), _Group())

    for published in listening.published:
        group(published.protocol, published.port, published.address).published.append(published)
    for listener in listening.listeners:
        place = group(listener.protocol, listener.port, listener.address, listener.interface)
        place.listeners.append(listener)
    for protocol, port in listening.ingress:
        group(protocol, port, None).ingress = True
    if listening.by_nftables:
        # Docker's rules are not seen: what it publishes only it can tell.
        for container in listening.containers or ():
            for each in container.publications:
                group(each.protocol, each.port, each.address).publishing = True
    found = [
        members.offer(protocol, port, address, interface, listening.containers)
        for (protocol, port, address, interface), members in groups.items()
    ]
    if listening.by_nftables:
        found = [
            replace(each, unseen=RULES_IN_NFTABLES) if each.reaches_container else each for each in found
        ]
    return tuple(sorted(found, key=_order))


def _order(offer: Offer) -> tuple[object, ...]:
    address = (offer.address.version, int(offer.address)) if offer.address else (0, 0)
    return (offer.port, offer.protocol, address, offer.interface)


@dataclass(slots=True)
class _Group:
    """All that takes packets for one port of one address."""

    published: list[Published] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    ingress: bool = False
    publishing: bool = False

    def offer(
        self,
        protocol: str,
        port: int,
        address: Address | None,
        interface: str,
        containers: tuple[Container, ...] | None,
    ) -> Offer:
        families = {each.family for each in self.published}
        families |= {family for each in self.listeners for family in each.families}
        if self.publishing and not families:
            families = {4}
        if self.ingress:
            # Only IPv4 is load-balanced; dockerd's socket keeps others off the port and answers nobody.
            families = {4}
        kind, name, detail = self._who(protocol, port, address, containers or ())
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
            notes=tuple(self._notes(kind)),
        )

    def _who(
        self, protocol: str, port: int, address: Address | None, containers: tuple[Container, ...]
    ) -> tuple[Kind, str, str]:
        if self.ingress:
            return "ingress", "", "the service that publishes it"
        if self.published or self.publishing or self._proxies:
            behind = self._behind(protocol, port, address, containers)
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

    def _behind(
        self, protocol: str, port: int, address: Address | None, containers: tuple[Container, ...]
    ) -> list[Container]:
        """Return the containers that answer: those that Docker's rules name, else the port's publishers."""
        targets = {each.to_address for each in self.published}
        found = [each for each in containers if targets & set(each.addresses)]
        return found or [
            each
            for each in containers
            if any(_publishes(item, protocol, port, address) for item in each.publications)
        ]

    @property
    def _proxies(self) -> list[Listener]:
        return [each for each in self.listeners if each.process == DOCKER_PROXY]

    def _notes(self, kind: Kind) -> Iterable[str]:
        if kind == "ingress":
            yield "Swarm's ingress network answers on every node, wherever the service runs."
            return
        if kind == "host-container":
            yield "On the host's own network: its ports are the host's."
        proxied = {family for each in self._proxies for family in each.families}
        direct = {each.family for each in self.published}
        taken = [f"{FAMILY_NAMES[family]} on the host itself" for family in sorted(proxied - direct)]
        if proxied & direct:
            taken.append("the host's own connections")
        if taken:
            yield f"docker-proxy takes {', and '.join(taken)}."
        others = _unique(each.process for each in self.listeners if each.process not in ("", DOCKER_PROXY))
        if direct and others:
            yield f"{', '.join(others)} listens here too, but Docker's rule takes the packets first."


def _publishes(item: Publication, protocol: str, port: int, address: Address | None) -> bool:
    return item.protocol == protocol and item.port == port and item.address in (None, address)


def _inner(published: Published) -> str:
    address = published.to_address
    return f"[{address}]:{published.to_port}" if address.version == 6 else f"{address}:{published.to_port}"


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(_unique(texts))

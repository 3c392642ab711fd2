"""The listening sockets of a host, the ports that Docker publishes, and the containers, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.redirects import Redirect
from dockerfw.iptables.model import Family
from dockerfw.simulation.packet import Address

__all__ = [
    "DOCKER_PROXY",
    "HOST_NETWORK",
    "Address",
    "Listener",
    "Listening",
    "OpenPort",
    "Publication",
    "Published",
    "RunningContainer",
    "find_containers",
]

HOST_NETWORK: Final = "host"
DOCKER_PROXY: Final = "docker-proxy"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket of the host. `address` None is any address; `v6only` matters for IPv6's any address.

    `interface` is the one it is bound to, empty for all; `container` is the short id of its container.
    """

    family: Family
    protocol: str
    address: Address | None
    port: int
    v6only: bool = False
    interface: str = ""
    process: str = ""
    unit: str = ""
    container: str = ""

    @property
    def families(self) -> tuple[Family, ...]:
        """The IP versions that it accepts: a socket on IPv6's any address accepts both."""
        if self.family == 6 and self.address is None and not self.v6only:
            return (4, 6)
        return (self.family,)


@dataclass(frozen=True, slots=True)
class Published:
    """A port that Docker publishes by a DNAT rule. `address` None is any address of the host."""

    family: Family
    protocol: str
    address: Address | None
    port: int
    to_address: Address
    to_port: int


@dataclass(frozen=True, slots=True)
class OpenPort:
    """A port of a container's own address that a rule of Docker's filter table accepts."""

    family: Family
    protocol: str
    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class Publication:
    """A port that a container publishes, as Docker's API reports it."""

    protocol: str
    address: Address | None
    port: int
    to_port: int


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A running container, as Docker's API reports it; `project` and `service` are Compose's.

    `ports` are the (protocol, port) pairs inside that Docker knows: published ones and those of the image.
    `labels` are texts such as `tier=web`, or the key alone where no rule can name the value.
    """

    id: str
    name: str
    project: str = ""
    service: str = ""
    network_mode: str = ""
    addresses: tuple[Address, ...] = ()
    publications: tuple[Publication, ...] = ()
    ports: tuple[tuple[str, int], ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def on_host_network(self) -> bool:
        """True if it uses the host's network, so that its ports are the host's."""
        return self.network_mode == HOST_NETWORK

    @property
    def compose_name(self) -> str:
        """Compose's `project/service`, else empty."""
        return f"{self.project}/{self.service}" if self.project and self.service else ""


@dataclass(frozen=True, slots=True)
class Listening:
    """Everything on a host that takes packets; `containers` is None if dockerfw may not ask Docker.

    `ingress` are the (protocol, port) pairs that swarm's ingress network answers. `by_nftables` means that
    Docker keeps its rules in its own nftables tables, which iptables does not show. `foreign_tables` are the
    nftables tables of other software: packets that iptables allows may be refused there, and
    `redirecting_tables` those that may send packets to another port before. `redirects` are the ports that
    rules outside Docker's chains send elsewhere. `opened` are the ports of containers that Docker's rules
    accept at the containers' own addresses.
    """

    listeners: tuple[Listener, ...] = ()
    published: tuple[Published, ...] = ()
    containers: tuple[RunningContainer, ...] | None = None
    ingress: frozenset[tuple[str, int]] = frozenset()
    by_nftables: bool = False
    foreign_tables: tuple[str, ...] = ()
    redirecting_tables: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    opened: tuple[OpenPort, ...] = ()

    @property
    def routed(self) -> tuple[OpenPort, ...]:
        """The ports that Docker publishes without a port of the host, as in gateway mode `routed`."""
        translated = {(each.protocol, each.to_address, each.to_port) for each in self.published}
        return tuple(
            each for each in self.opened if (each.protocol, each.address, each.port) not in translated
        )


def find_containers(containers: Iterable[RunningContainer], name: str) -> tuple[RunningContainer, ...]:
    """Return the containers with a name, else a `project/service`, else a service, else an id's start."""
    known = tuple(containers)
    for fits in (
        [each for each in known if each.name == name],
        [each for each in known if each.compose_name == name],
        [each for each in known if each.service == name],
        [each for each in known if len(name) >= 4 and each.id.startswith(name)],
    ):
        if fits:
            return tuple(fits)
    return ()

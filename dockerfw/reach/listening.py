"""What takes packets on a host: its listening sockets, the ports that Docker publishes, the containers.

Plain values, made from a snapshot or by a test. Nothing here decides who reaches them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from dockerfw.iptables.model import Family

Address = IPv4Address | IPv6Address

HOST_NETWORK: Final = "host"
DOCKER_PROXY: Final = "docker-proxy"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket of the host. `address` None is any address; `v6only` matters for IPv6's any.

    `interface` is the one it is bound to, empty for all; `container` the short id of the container it is in.
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
        """The IP versions whose packets it takes: a socket on IPv6's any address takes both."""
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
class Publication:
    """A port that a container publishes, as Docker itself says it."""

    protocol: str
    address: Address | None
    port: int
    to_port: int


@dataclass(frozen=True, slots=True)
class Container:
    """A running container, as Docker tells of it; `project` and `service` are Compose's."""

    id: str
    name: str
    project: str = ""
    service: str = ""
    network_mode: str = ""
    addresses: tuple[Address, ...] = ()
    publications: tuple[Publication, ...] = ()

    @property
    def on_host_network(self) -> bool:
        """Say whether it has no network of its own, so that its ports are the host's."""
        return self.network_mode == HOST_NETWORK

    @property
    def compose_name(self) -> str:
        """Compose's `project/service`, or nothing."""
        return f"{self.project}/{self.service}" if self.project and self.service else ""


@dataclass(frozen=True, slots=True)
class Listening:
    """Everything on a host that takes packets; `containers` is None if dockerfw may not ask Docker.

    `ingress` are the (protocol, port) pairs that swarm's ingress network answers. `by_nftables` means that
    Docker keeps its rules in its own nftables tables, which iptables does not show. `foreign_tables` are the
    nftables tables of other software: packets that iptables allows may be refused there.
    """

    listeners: tuple[Listener, ...] = ()
    published: tuple[Published, ...] = ()
    containers: tuple[Container, ...] | None = None
    ingress: frozenset[tuple[str, int]] = frozenset()
    by_nftables: bool = False
    foreign_tables: tuple[str, ...] = ()


def find_containers(containers: Iterable[Container], name: str) -> tuple[Container, ...]:
    """Return whom a name means: the container, else `project/service`, else the service, else an id."""
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

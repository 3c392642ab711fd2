"""The host that the sandbox plays: a made-up shop, its logs, and the programs of the host itself.

Every address, name and port of the sandbox is here. The neighbours turn them into Docker's answers
(`made_up_docker`), Docker's chains (`docker_chains`), interfaces (`sandbox`) and packets (`visitors`,
`containers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from typing import Final, Literal

HOST: Final = "192.0.2.10"
HOST6: Final = "2001:db8::10"


@dataclass(frozen=True, slots=True)
class Network:
    """A bridge network of Docker; `gateway` is the host's own address on it."""

    name: str
    bridge: str
    gateway: IPv4Interface


@dataclass(frozen=True, slots=True)
class Publish:
    """A published port: the port that clients dial, the one inside, and the host's address that it is on."""

    published: int
    inside: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A running container of a Compose project."""

    project: str
    service: str
    network: Network
    address: str
    ports: tuple[Publish, ...] = ()
    # Ports that only other containers use.
    exposed: tuple[int, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that Compose gives to the first container of a service."""
        return f"{self.project}-{self.service}-1"

    @property
    def listening(self) -> tuple[int, ...]:
        """The ports inside the container on which a program listens."""
        return (*(port.inside for port in self.ports), *self.exposed)


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the host, with the places where it listens."""

    name: str
    places: tuple[tuple[Literal["tcp", "udp"], str, int], ...]


DOCKER0: Final = Network("bridge", "docker0", IPv4Interface("172.17.0.1/16"))
SHOP: Final = Network("shop_default", "br-68428f03a4d1", IPv4Interface("172.19.0.1/16"))
LOGS: Final = Network("logs_default", "br-3fb1c27a90de", IPv4Interface("172.20.0.1/16"))
NETWORKS: Final = (DOCKER0, SHOP, LOGS)

METRICS: Final = Container("logs", "metrics", LOGS, "172.20.0.3", (Publish(9090, 9090, "127.0.0.1"),))
CONTAINERS: Final = (
    Container("shop", "web", SHOP, "172.19.0.2", (Publish(80, 80), Publish(443, 443)), (), {"team": "shop"}),
    Container("shop", "preview", SHOP, "172.19.0.3", (Publish(8080, 80),), (), {"team": "shop"}),
    Container("shop", "db", SHOP, "172.19.0.4", (Publish(5432, 5432, "127.0.0.1"),)),
    Container("shop", "cache", SHOP, "172.19.0.5", (), (6379,)),
    Container("logs", "elastic", LOGS, "172.20.0.2", (Publish(9200, 9200),), (9300,), {"team": "search"}),
    METRICS,
)
NODE_EXPORTER: Final = 9100
PROGRAMS: Final = (
    Program("sshd", (("tcp", "0.0.0.0", 22), ("tcp", "::", 22))),  # noqa: S104
    Program("node_exporter", (("tcp", "0.0.0.0", NODE_EXPORTER), ("tcp", "::", NODE_EXPORTER))),  # noqa: S104
    Program("master", (("tcp", "127.0.0.1", 25),)),
    Program("chronyd", (("udp", "127.0.0.1", 323), ("udp", "::1", 323))),
)

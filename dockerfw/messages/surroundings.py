"""What lies around a host's rules, as parts of the snapshot: interfaces, ports, sockets, containers, sets.

Owns the shape of each: frozen values, strict `from_json`, plain `to_json`. It must not do I/O, run a command,
or import Django. What the root worker could not find out is empty or None here, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeVar, cast

from dockerfw.iptables.model import Family
from dockerfw.messages.fields import Fields

CONTAINER_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
MAX_SOCKETS = 4096
MAX_CONTAINERS = 4096
MAX_CONTAINER_PORTS = 1024
MAX_SETS = 256
MAX_SET_MEMBERS = 20_000
MAX_NAME = 255

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of the host with its addresses in CIDR form.

    `master` is the bridge, bond or VRF that it belongs to; `kind` is the kernel's word for what it is
    ("bridge", "veth", "wireguard"), empty for a plain device.
    """

    name: str
    addresses: tuple[str, ...]
    up: bool
    master: str | None = None
    kind: str = ""

    @classmethod
    def from_json(cls, value: object, path: str = "") -> Interface:
        """Read an interface. Raises OrderError."""
        fields = Fields(value, path)
        interface = cls(
            name=fields.text("name", longest=64),
            addresses=fields.addresses("addresses", most=4096),
            up=fields.flag("up"),
            master=fields.optional("master", lambda key: fields.text(key, longest=64)),
            kind=fields.text("kind", longest=64),
        )
        fields.done()
        return interface

    def to_json(self) -> dict[str, object]:
        """Return the interface as a JSON object."""
        return {
            "name": self.name,
            "addresses": list(self.addresses),
            "up": self.up,
            "master": self.master,
            "kind": self.kind,
        }


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port that Docker publishes, read from its DNAT rules; `address` is empty when it is any address."""

    family: Family
    protocol: str
    address: str
    port: int
    to_address: str
    to_port: int

    @classmethod
    def from_json(cls, value: object, path: str = "") -> PublishedPort:
        """Read a published port. Raises OrderError."""
        fields = Fields(value, path)
        port = cls(
            family=_family(fields),
            protocol=fields.text("protocol", longest=32),
            address=fields.text("address", longest=64),
            port=fields.integer("port", least=1, most=65535),
            to_address=fields.text("to_address", longest=64),
            to_port=fields.integer("to_port", least=1, most=65535),
        )
        fields.done()
        return port

    def to_json(self) -> dict[str, object]:
        """Return the published port as a JSON object."""
        return {
            "family": self.family,
            "protocol": self.protocol,
            "address": self.address,
            "port": self.port,
            "to_address": self.to_address,
            "to_port": self.to_port,
        }


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket of the host that takes what comes: TCP that listens, UDP that is bound and not connected.

    `address` is empty for any address; a socket of family 6 on any address takes IPv4 too unless `v6only`.
    `interface` is the one that it is bound to, empty for all. Of who holds it, what is not known is empty:
    `process` is the name, `pid` None when that is not known or several processes share it, `unit` the systemd
    unit, `container` the id (12 digits) of the container in whose control group it was made.
    """

    family: Family
    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    v6only: bool = False
    interface: str = ""
    process: str = ""
    pid: int | None = None
    unit: str = ""
    container: str = ""

    @classmethod
    def from_json(cls, value: object, path: str = "") -> ListeningSocket:
        """Read a listening socket. Raises OrderError."""
        fields = Fields(value, path)
        found = cls(
            family=_family(fields),
            protocol=cast(Literal["tcp", "udp"], fields.one_of("protocol", ("tcp", "udp"))),
            address=_address(fields, "address"),
            port=fields.integer("port", least=1, most=65535),
            v6only=fields.flag("v6only"),
            interface=fields.text("interface", longest=64),
            process=fields.text("process", longest=64),
            pid=fields.optional("pid", lambda key: fields.integer(key, least=1)),
            unit=fields.text("unit", longest=MAX_NAME),
            container=_container_id(fields, "container"),
        )
        fields.done()
        return found

    def to_json(self) -> dict[str, object]:
        """Return the socket as a JSON object."""
        return {
            "family": self.family,
            "protocol": self.protocol,
            "address": self.address,
            "port": self.port,
            "v6only": self.v6only,
            "interface": self.interface,
            "process": self.process,
            "pid": self.pid,
            "unit": self.unit,
            "container": self.container,
        }


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port of a container as Docker says it: `public` on `address` leads to it; None when not published."""

    protocol: str
    port: int
    public: int | None = None
    address: str = ""

    @classmethod
    def from_json(cls, value: object, path: str = "") -> ContainerPort:
        """Read a container's port. Raises OrderError."""
        fields = Fields(value, path)
        port = cls(
            protocol=fields.one_of("protocol", ("tcp", "udp", "sctp")),
            port=fields.integer("port", least=1, most=65535),
            public=fields.optional("public", lambda key: fields.integer(key, least=1, most=65535)),
            address=_address(fields, "address"),
        )
        fields.done()
        return port

    def to_json(self) -> dict[str, object]:
        """Return the port as a JSON object."""
        return {"protocol": self.protocol, "port": self.port, "public": self.public, "address": self.address}


@dataclass(frozen=True, slots=True)
class Container:
    """A running container as Docker tells it; `project` and `service` are Compose's or a swarm stack's.

    `addresses` are its addresses in all networks, without a length; those of a container that shares the
    host's network (`network_mode` "host") are none.
    """

    id: str
    name: str
    project: str = ""
    service: str = ""
    network_mode: str = ""
    addresses: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()

    @classmethod
    def from_json(cls, value: object, path: str = "") -> Container:
        """Read a container. Raises OrderError."""
        fields = Fields(value, path)
        container = cls(
            id=fields.text("id", longest=12, pattern=CONTAINER_ID, shape="the id of a container"),
            name=fields.text("name", longest=MAX_NAME),
            project=fields.text("project", longest=MAX_NAME),
            service=fields.text("service", longest=MAX_NAME),
            network_mode=fields.text("network_mode", longest=MAX_NAME),
            addresses=fields.addresses("addresses", most=1024),
            ports=_all(fields, "ports", ContainerPort.from_json, most=MAX_CONTAINER_PORTS),
        )
        fields.done()
        return container

    def to_json(self) -> dict[str, object]:
        """Return the container as a JSON object."""
        return {
            "id": self.id,
            "name": self.name,
            "project": self.project,
            "service": self.service,
            "network_mode": self.network_mode,
            "addresses": list(self.addresses),
            "ports": [port.to_json() for port in self.ports],
        }


@dataclass(frozen=True, slots=True)
class SetMembers:
    """An ipset that a rule names, with its members as `ipset save` writes them.

    `members` is None for a set that is too large or could not be read; `kind` is its type (`hash:net`), empty
    when not even that is known; `options` are the rest of its `create` line (`family inet hashsize 1024 …`).
    """

    name: str
    kind: str = ""
    members: tuple[str, ...] | None = None
    options: str = ""

    @classmethod
    def from_json(cls, value: object, path: str = "") -> SetMembers:
        """Read a set. Raises OrderError."""
        fields = Fields(value, path)
        found = cls(
            name=fields.text("name", longest=64),
            kind=fields.text("kind", longest=64),
            members=fields.optional(
                "members", lambda key: fields.texts(key, most=MAX_SET_MEMBERS, longest=MAX_NAME)
            ),
            options=fields.text("options", longest=MAX_NAME),
        )
        fields.done()
        return found

    def to_json(self) -> dict[str, object]:
        """Return the set as a JSON object."""
        members = None if self.members is None else list(self.members)
        return {"name": self.name, "kind": self.kind, "members": members, "options": self.options}


def read_sockets(fields: Fields) -> tuple[ListeningSocket, ...]:
    """Read a snapshot's sockets. Raises OrderError."""
    return _all(fields, "sockets", ListeningSocket.from_json, most=MAX_SOCKETS)


def read_containers(fields: Fields) -> tuple[Container, ...] | None:
    """Read a snapshot's containers, None where Docker was not asked. Raises OrderError."""
    return fields.optional(
        "containers", lambda key: _all(fields, key, Container.from_json, most=MAX_CONTAINERS)
    )


def read_sets(fields: Fields) -> tuple[SetMembers, ...]:
    """Read a snapshot's sets. Raises OrderError."""
    return _all(fields, "sets", SetMembers.from_json, most=MAX_SETS)


def _all(fields: Fields, key: str, read: Callable[[object, str], T], *, most: int) -> tuple[T, ...]:
    return tuple(read(item, path) for item, path in fields.items(key, most=most))


def _family(fields: Fields) -> Family:
    family = fields.integer("family", least=4, most=6)
    if family not in (4, 6):
        fields.fail("family", "must be 4 or 6")
    return cast(Family, family)


def _address(fields: Fields, key: str) -> str:
    """Read an address without a length, or nothing for any address."""
    text = fields.text(key, longest=64)
    if text:
        try:
            ip_address(text)
        except ValueError:
            fields.fail(key, "must be an address such as 192.0.2.1, or empty")
    return text


def _container_id(fields: Fields, key: str) -> str:
    text = fields.text(key, longest=12)
    if text and not CONTAINER_ID.fullmatch(text):
        fields.fail(key, "is not the id of a container")
    return text

"""The snapshot: what the root worker last saw on its host, as a message.

Owns its shape: frozen values, strict `from_json`, plain `to_json`. It must not do I/O, read a clock, run a
command, or import Django.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from dockerfw.iptables.model import Backend, Family
from dockerfw.messages.confirmed import Kept
from dockerfw.messages.fields import MAX_SAVE_CHARACTERS, Fields
from dockerfw.messages.session_groups import SessionGroups
from dockerfw.messages.surroundings import (
    Container,
    Interface,
    ListeningSocket,
    PublishedPort,
    SetMembers,
    read_containers,
    read_sets,
    read_sockets,
)

__all__ = [
    "FAMILIES",
    "Backend",
    "CommandError",
    "Container",
    "DockerState",
    "Family",
    "Interface",
    "Kept",
    "ListeningSocket",
    "PublishedPort",
    "SetMembers",
    "Snapshot",
    "saves_digest",
]

SNAPSHOT_FORMAT = "dockerfw-snapshot/1"

DockerState = Literal["iptables", "nftables", "absent"]

FAMILIES: tuple[Family, Family] = (4, 6)
BACKENDS: tuple[Backend, Backend] = ("nft", "legacy")


@dataclass(frozen=True, slots=True)
class CommandError:
    """A command of a look at the host that did not work; what it would have told is not known."""

    command: tuple[str, ...]
    exit_status: int | None
    stderr: str

    @classmethod
    def from_json(cls, value: object, path: str = "") -> CommandError:
        """Read a command error. Raises OrderError."""
        fields = Fields(value, path)
        error = cls(
            command=fields.texts("command", most=64, longest=4000),
            exit_status=fields.optional(
                "exit_status", lambda key: fields.integer(key, least=-1000, most=1000)
            ),
            stderr=fields.text("stderr", longest=16_000),
        )
        fields.done()
        return error

    def to_json(self) -> dict[str, object]:
        """Return the command error as a JSON object."""
        return {"command": list(self.command), "exit_status": self.exit_status, "stderr": self.stderr}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the root worker saw: both families' saves with counters, and what lies around them.

    A family whose save failed has an empty text in `saves` and an entry in `errors`. `sessions` is None where
    conntrack is not installed, or failed and has an entry there too; it is empty where nothing is loaded.
    `containers` is None where the root worker has no Docker socket, or Docker does not answer; `sets` are
    those that rules name. `families` are those that the kernel speaks, `docker_backends` those in which
    Docker's chains are, `kept` is what the root worker knows of the revision that it kept last.
    `bridges_filtered` are the families of which the rules get to see also what only crosses a bridge
    (br_netfilter). `own_tables` are tables of nftables' own, not Docker's, in which somebody filters and
    which no save shows, such as `inet firewalld`.
    """

    host: str
    taken_at: str
    backend: Backend
    docker_state: DockerState
    saves: Mapping[Family, str]
    interfaces: tuple[Interface, ...]
    default_routes: Mapping[Family, tuple[str, ...]]
    published: tuple[PublishedPort, ...]
    versions: Mapping[str, str]
    errors: tuple[CommandError, ...]
    sha256: str
    sessions: SessionGroups | None = None
    sockets: tuple[ListeningSocket, ...] = ()
    containers: tuple[Container, ...] | None = None
    sets: tuple[SetMembers, ...] = ()
    families: tuple[Family, ...] = FAMILIES
    docker_backends: tuple[Backend, ...] = ()
    kept: Kept | None = None
    bridges_filtered: tuple[Family, ...] | None = None
    own_tables: tuple[str, ...] = ()

    @property
    def unread(self) -> frozenset[Family]:
        """The families whose rules could not be read, so that an empty text says nothing."""
        programs = {(error.command[0] if error.command else "") for error in self.errors}
        names: dict[Family, str] = {4: "iptables-", 6: "ip6tables-"}
        return frozenset(
            family
            for family in FAMILIES
            if not self.saves[family] and any(program.startswith(names[family]) for program in programs)
        )

    @classmethod
    def from_json(cls, value: object) -> Snapshot:
        """Read a snapshot. Raises OrderError."""
        fields = Fields.of_message(value, SNAPSHOT_FORMAT)
        saves, routes = fields.object("saves"), fields.object("default_routes")
        docker, versions = fields.object("docker"), fields.object("versions")
        docker_states = ("iptables", "nftables", "absent")
        snapshot = cls(
            host=fields.host(),
            taken_at=fields.time("taken_at"),
            backend=cast(Backend, fields.one_of("backend", BACKENDS)),
            docker_state=cast(DockerState, docker.one_of("state", docker_states)),
            saves={
                4: saves.text("4", longest=MAX_SAVE_CHARACTERS),
                6: saves.text("6", longest=MAX_SAVE_CHARACTERS),
            },
            interfaces=tuple(
                Interface.from_json(item, path) for item, path in fields.items("interfaces", most=8192)
            ),
            default_routes={
                4: routes.texts("4", most=1024, longest=64),
                6: routes.texts("6", most=1024, longest=64),
            },
            published=tuple(
                PublishedPort.from_json(item, path) for item, path in fields.items("published", most=65536)
            ),
            versions={key: versions.text(key, longest=200) for key in ("iptables", "kernel")},
            errors=tuple(
                CommandError.from_json(item, path) for item, path in fields.items("errors", most=64)
            ),
            sha256=fields.digest("sha256"),
            sessions=fields.optional(
                "sessions", lambda key: SessionGroups.from_json(fields.take(key), fields.at(key))
            ),
            sockets=read_sockets(fields),
            containers=read_containers(fields),
            sets=read_sets(fields),
            families=(4, 6) if fields.flag("ipv6") else (4,),
            docker_backends=_backends(fields),
            kept=fields.optional("kept", lambda key: Kept.from_json(fields.take(key), key)),
            bridges_filtered=fields.optional("bridges_filtered", lambda key: _families(fields, key)),
            own_tables=fields.texts("own_tables", most=64, longest=200) if fields.has("own_tables") else (),
        )
        for part in (saves, routes, docker, versions, fields):
            part.done()
        return snapshot

    def to_json(self) -> dict[str, object]:
        """Return the snapshot as a JSON object."""
        return {
            "format": SNAPSHOT_FORMAT,
            "host": self.host,
            "taken_at": self.taken_at,
            "backend": self.backend,
            "docker": {"state": self.docker_state},
            "saves": {"4": self.saves[4], "6": self.saves[6]},
            "interfaces": [interface.to_json() for interface in self.interfaces],
            "default_routes": {"4": list(self.default_routes[4]), "6": list(self.default_routes[6])},
            "published": [port.to_json() for port in self.published],
            "versions": dict(self.versions),
            "errors": [error.to_json() for error in self.errors],
            "sha256": self.sha256,
            "sessions": None if self.sessions is None else self.sessions.to_json(),
            "sockets": [socket.to_json() for socket in self.sockets],
            "containers": _containers_json(self.containers),
            "sets": [found.to_json() for found in self.sets],
            "ipv6": 6 in self.families,
            "docker_backends": list(self.docker_backends),
            "kept": self.kept.to_json() if self.kept else None,
            "bridges_filtered": None if self.bridges_filtered is None else [*map(str, self.bridges_filtered)],
            # Release 0.1.0 knows no such key, and refuses what it does not know.
            **({"own_tables": list(self.own_tables)} if self.own_tables else {}),
        }


def _families(fields: Fields, key: str) -> tuple[Family, ...]:
    found = fields.texts(key, most=2, longest=1)
    if not set(found) <= {"4", "6"}:
        fields.fail(key, "must be of 4, 6")
    return tuple(family for family in FAMILIES if str(family) in found)


def _backends(fields: Fields) -> tuple[Backend, ...]:
    found = fields.texts("docker_backends", most=2, longest=10)
    if not set(found) <= set(BACKENDS):
        fields.fail("docker_backends", f"must be of {', '.join(BACKENDS)}")
    return cast("tuple[Backend, ...]", found)


def _containers_json(containers: tuple[Container, ...] | None) -> list[dict[str, object]] | None:
    return None if containers is None else [container.to_json() for container in containers]


def saves_digest(saves: Mapping[Family, str]) -> str:
    """Digest both families' saves without their comment lines, which carry the time of day."""
    digest = hashlib.sha256()
    for family in FAMILIES:
        digest.update(b"%d\n" % family)
        lines = saves[family].split("\n")
        kept = "\n".join(line for line in lines if not line.startswith("#"))
        digest.update(kept.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()

"""The snapshot: what the root worker last observed on its host, as a message."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.iptables.unprinted import Unprinted, find_unprinted
from dockerfw.messages.codec import Absent, AtMost, Key, Message
from dockerfw.messages.confirmed import FAMILY_DIGITS, Confirmed
from dockerfw.messages.outcomes import CommandLine, ErrorOutput, ExitStatus
from dockerfw.messages.session_groups import SessionGroups
from dockerfw.messages.shapes import (
    Converted,
    Digest,
    Entries,
    Flag,
    HostName,
    InterfaceName,
    ListOf,
    OneOf,
    Text,
    Time,
)
from dockerfw.messages.surroundings import (
    MAX_CONTAINER_SETS,
    MAX_CONTAINERS,
    MAX_HITS,
    MAX_PUBLISHED,
    MAX_SETS,
    MAX_SOCKETS,
    MAX_STATIC_SETS,
    Container,
    Interface,
    ListeningSocket,
    PublishedPort,
    RuleHits,
    RuleUses,
    SetMembers,
    StaticSetState,
    TrackedConnections,
)

MAX_BRIDGES = 256
MAX_SAVE_CHARACTERS = 16 * 1024 * 1024

DockerState = Literal["iptables", "nftables", "absent"]


def snapshot_key(host: str) -> str:
    """Return the Redis key that holds the newest snapshot of `host`."""
    return f"dockerfw:snapshot:{host}"


_DOCKER_OBJECT = Converted(
    Entries(("state",), OneOf(get_args(DockerState))),
    after=lambda found: found["state"],
    before=lambda state: {"state": state},
)
_HAS_IPV6 = Converted(
    Flag(), after=lambda ipv6: FAMILIES if ipv6 else (4,), before=lambda families: 6 in families
)


@dataclass(frozen=True, slots=True)
class CommandError(Message):
    """A command that failed while the root worker observed the host; what it would have shown is unknown."""

    command: CommandLine
    exit_status: ExitStatus | None
    stderr: ErrorOutput


@dataclass(frozen=True, slots=True)
class Snapshot(Message):
    """Both families' saves with counters, and the facts around them.

    A family whose save failed has an empty text in `saves` and an entry in `errors`. A save may also name
    tables that it does not show (`unprinted`). `sessions` is None where conntrack is not installed, or failed
    and has an entry there too; it is empty where nothing is loaded. `containers` is None where the root
    worker has no Docker socket, or Docker does not answer; `sets` are those that rules name. `families` are
    those that the kernel supports, `docker_backends` those that contain Docker's chains, `confirmed` is what
    the root worker knows about the revision that was confirmed last.
    `bridges_filtered` are the families whose rules also see packets that only cross a bridge (br_netfilter),
    None when that is unknown. `foreign_tables` are tables of nftables that filter, are not Docker's, and are
    not in any save, such as `inet firewalld`. `redirecting_tables` are such tables that change destinations.
    `named_bridges` are the bridges of Docker's networks for which an admin chose a name. `static_sets` are
    the sets of sources that dockerfw's rules match, without their elements, and `hits` what these elements
    have let through, by rule. A rule that is not among them had no such hit, if the sets could be read.
    `lacks_ip_set` is True if the host cannot have ipsets, and False if it can or that is unknown.
    `uses` tells when the rules of the confirmed revision were used last, None while that is not known.
    `tracked` is the use of the kernel's table of connections, None where the kernel does not tell.
    """

    FORMAT: ClassVar = "dockerfw-snapshot/1"

    host: HostName
    taken_at: Time
    backend: Backend
    docker_state: Annotated[DockerState, Key("docker"), _DOCKER_OBJECT]
    saves: Annotated[Mapping[Family, str], Entries(FAMILIES, Text(MAX_SAVE_CHARACTERS))]
    interfaces: Annotated[tuple[Interface, ...], AtMost(8192)]
    default_routes: Annotated[Mapping[Family, tuple[str, ...]], Entries(FAMILIES, ListOf(Text(64), 1024))]
    published: Annotated[tuple[PublishedPort, ...], AtMost(MAX_PUBLISHED)]
    versions: Annotated[Mapping[str, str], Entries(("iptables", "kernel"), Text(200))]
    errors: Annotated[tuple[CommandError, ...], AtMost(64)]
    sha256: Digest
    sessions: SessionGroups | None = None
    sockets: Annotated[tuple[ListeningSocket, ...], AtMost(MAX_SOCKETS)] = ()
    containers: Annotated[tuple[Container, ...], AtMost(MAX_CONTAINERS)] | None = None
    sets: Annotated[tuple[SetMembers, ...], AtMost(MAX_SETS + MAX_CONTAINER_SETS)] = ()
    families: Annotated[tuple[Family, ...], Key("ipv6"), _HAS_IPV6] = FAMILIES
    docker_backends: Annotated[tuple[Backend, ...], AtMost(2)] = ()
    confirmed: Annotated[Confirmed | None, Key("kept")] = None
    bridges_filtered: Annotated[tuple[Family, ...], FAMILY_DIGITS] | None = None
    # Release 0.1.0 refuses the key of this field.
    foreign_tables: Annotated[
        tuple[Annotated[str, Text(200)], ...], AtMost(64), Key("own_tables"), Absent.WHEN_EMPTY
    ] = ()
    redirecting_tables: Annotated[tuple[Annotated[str, Text(200)], ...], AtMost(64), Absent.WHEN_EMPTY] = ()
    named_bridges: Annotated[tuple[InterfaceName, ...], AtMost(MAX_BRIDGES), Absent.WHEN_EMPTY] = ()
    static_sets: Annotated[tuple[StaticSetState, ...], AtMost(MAX_STATIC_SETS), Absent.WHEN_EMPTY] = ()
    hits: Annotated[tuple[RuleHits, ...], AtMost(MAX_HITS), Absent.WHEN_EMPTY] = ()
    uses: Annotated[RuleUses | None, Absent.WHEN_EMPTY] = None
    lacks_ip_set: Annotated[bool, Absent.WHEN_EMPTY] = False
    tracked: Annotated[TrackedConnections | None, Absent.WHEN_EMPTY] = None

    @property
    def failed(self) -> frozenset[Family]:
        """The families whose save failed, so that an empty save has no meaning."""
        programs = {(error.command[0] if error.command else "") for error in self.errors}
        names: dict[Family, str] = {4: "iptables-", 6: "ip6tables-"}
        return frozenset(
            family
            for family in FAMILIES
            if not self.saves[family] and any(program.startswith(names[family]) for program in programs)
        )

    @property
    def unread(self) -> frozenset[Family]:
        """The families whose rules are not all known: the save failed, or says that it is not complete."""
        return self.failed | {family for family, _ in self.unprinted}

    @property
    def unprinted(self) -> tuple[tuple[Family, Unprinted], ...]:
        """What the saves themselves say they do not show."""
        return tuple((family, one) for family in FAMILIES for one in find_unprinted(self.saves[family]))

    @property
    def listeners_known(self) -> bool:
        """False if the listening sockets could not be read, or a list is full and may lack some."""
        failed = any(error.command[:1] == ("ss",) for error in self.errors)
        full = len(self.sockets) >= MAX_SOCKETS or len(self.published) >= MAX_PUBLISHED
        return not failed and not full

    @property
    def interfaces_known(self) -> bool:
        """False if the interfaces or the routes of a family that the kernel supports could not be read."""
        failed = [error.command for error in self.errors if error.command[:1] == ("ip",)]
        without_ipv6 = 6 not in self.families
        return bool(self.interfaces) and all(without_ipv6 and "-6" in words for words in failed)


def saves_digest(saves: Mapping[Family, str]) -> str:
    """Return the digest of both families' saves without their comment lines, which contain the time.

    What these lines say about rules that are not shown belongs to the digest.
    """
    digest = hashlib.sha256()
    for family in FAMILIES:
        digest.update(b"%d\n" % family)
        digest.update(_without_comments(saves[family]).encode("utf-8", "surrogatepass"))
        for one in find_unprinted(saves[family]):
            digest.update(f"{one.table}: {one.sentence}\n".encode())
    return digest.hexdigest()


def _without_comments(save: str) -> str:
    """Return a save without the lines that begin with `#`. Only these few are looked at one by one."""
    text, kept, position = f"\n{save}", [], 0
    while (found := text.find("\n#", position)) >= 0:
        kept.append(text[position:found])
        end = text.find("\n", found + 1)
        position = len(text) if end < 0 else end
    return "".join((*kept, text[position:]))[1:]

"""The values of a document: settings, rules and expectations, and the order in which they are written.

Their fields are always canonical: only document.py creates them from text of admins or files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dockerfw.document.fields import Note, port_range
from dockerfw.document.rule_fields import families_of, group_of, source_order
from dockerfw.iptables.protocols import protocol_number

Scope = Literal["host", "container", "both", "forwarded"]
PortKind = Literal["published", "container"]
Refuse = Literal["reject", "drop"]
Icmp = Literal["accept", "refuse"]
Destination = Literal["host", "container"]
ContainersReachHost = Literal["by-rules", "allow"]
Action = Literal["allow", "block"]
GroupKind = Literal["static", "feed", "names", "countries"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the whole host: its interfaces, how it refuses packets, and what containers may reach.

    With `containers_reach_host` "allow" the containers of this host reach every port of it, without a rule.
    With `log_refused` the kernel logs what dockerfw refuses, for the page of refused packets.
    """

    external_interfaces: tuple[str, ...] = ()
    trusted_interfaces: tuple[str, ...] = ("lo",)
    refuse: Refuse = "reject"
    icmp: Icmp = "accept"
    heal_anchors: bool = False
    containers_reach_host: ContainersReachHost = "by-rules"
    log_refused: bool = True


@dataclass(frozen=True, slots=True)
class DocumentRule:
    """One allowance or block with canonical fields. `ports` are texts such as `22` and `8000-8010`.

    `sources` are networks and groups (`@office`); without any it is anyone.
    `to` is a destination address or network, empty for any. `container` is a container's name,
    `project/service` or `label:key=value`, empty for every container. `interface` is the interface it arrives
    on, with a trailing `+` for any ending. `limit` is a text such as `6/minute`. `starts` and `expires` are
    times of UTC such as `2027-01-31T18:00:00Z`. `owner`, `ticket` and `tags` are for people.
    """

    id: str
    scope: Scope
    sources: tuple[str, ...] = ()
    protocol: str = "any"
    ports: tuple[str, ...] = ()
    port_kind: PortKind = "published"
    comment: str = ""
    enabled: bool = True
    to: str = ""
    action: Action = "allow"
    container: str = ""
    interface: str = ""
    limit: str = ""
    starts: str = ""
    expires: str = ""
    owner: str = ""
    ticket: str = ""
    tags: tuple[str, ...] = ()

    @property
    def is_for_host(self) -> bool:
        """True if it allows packets to the host itself."""
        return self.scope in ("host", "both")

    @property
    def is_for_containers(self) -> bool:
        """True if it allows packets to every container. It matches all else that is forwarded, too."""
        return self.scope in ("container", "both")

    @property
    def families(self) -> tuple[Literal[4, 6], ...]:
        """The IP versions that the rule can apply to; what a group has is not looked at."""
        if self.to:
            return (6,) if ":" in self.to else (4,)
        if self.protocol == "ipv6-icmp":
            return (6,)
        if self.sources and not any(map(group_of, self.sources)):
            return families_of(self.sources)
        return (4, 6)


@dataclass(frozen=True, slots=True)
class Expectation:
    """A statement that must stay true for any rules: packets from a source reach a port, or never do.

    `port` is the port that the client connects to, None if the protocol has no ports. `container` is the name
    of a container, its Compose service, or project/service; empty means any container that answers there.
    """

    source: str
    protocol: str
    port: int | None
    to: Destination = "host"
    container: str = ""
    passes: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A named list of networks, used as a source `@name`. Which fields are used depends on its kind.

    `entries` are the networks of a static group. A feed is fetched from `url` each `refresh_hours`, by plain
    http only with `allow_http`. `names` are DNS names, and `countries` two-letter codes. What a group that is
    not static stands for right now is a binding and not part of a document.
    """

    name: str
    kind: GroupKind = "static"
    entries: tuple[str, ...] = ()
    url: str = ""
    refresh_hours: int = 24
    allow_http: bool = False
    names: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Settings, groups by name, rules by `rule_order`, expectations by `expectation_order`.

    Notes are not compared.
    """

    settings: Settings = field(default_factory=Settings)
    rules: tuple[DocumentRule, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    notes: tuple[Note, ...] = field(default=(), compare=False)
    groups: tuple[Group, ...] = ()
    # Remembered, because caches are asked for a document again and again: of 10,000 rules it takes 8 ms.
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)
    # Set by `document.digest`. Two documents that were read separately are compared by it.
    _digest: str = field(default="", init=False, repr=False, compare=False)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Document):
            return NotImplemented
        if self._digest and other._digest:
            return self._digest == other._digest
        if self._hash is not None and other._hash is not None and self._hash != other._hash:
            return False
        mine = (self.settings, self.rules, self.expectations, self.groups)
        return mine == (other.settings, other.rules, other.expectations, other.groups)

    def __hash__(self) -> int:
        if self._hash is None:
            found = hash((self.settings, self.rules, self.expectations, self.groups))
            object.__setattr__(self, "_hash", found)
            return found
        return self._hash


def rule_order(rule: DocumentRule) -> tuple[object, ...]:
    """Return the sort key of rules: protocol number, ports as numbers, sources by family and address, id."""
    number = 0 if rule.protocol == "any" else protocol_number(rule.protocol) or 256
    ports = tuple(port_range(text) for text in rule.ports)
    return (number, ports, tuple(map(source_order, rule.sources)), rule.id)


def expectation_order(expectation: Expectation) -> tuple[object, ...]:
    """Return the sort key of expectations: protocol number, port, destination, source, the rest."""
    return (
        protocol_number(expectation.protocol) or 256,
        expectation.port or 0,
        expectation.to,
        expectation.container,
        () if expectation.source == "any" else source_order(expectation.source),
        expectation.passes,
        expectation.comment,
    )

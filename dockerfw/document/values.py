"""The values of a document: settings, rules and expectations, and the order in which they are written.

Their fields are always canonical: only document.py creates them from text of admins or files.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from dockerfw.document.fields import Note, port_range
from dockerfw.iptables.protocols import protocol_number

Scope = Literal["host", "container", "both"]
PortKind = Literal["published", "container"]
Refuse = Literal["reject", "drop"]
Icmp = Literal["accept", "refuse"]
Destination = Literal["host", "container"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the whole host: its interfaces, and how it refuses packets."""

    external_interfaces: tuple[str, ...] = ()
    trusted_interfaces: tuple[str, ...] = ("lo",)
    refuse: Refuse = "reject"
    icmp: Icmp = "accept"
    heal_anchors: bool = False


@dataclass(frozen=True, slots=True)
class DocumentRule:
    """One allow rule with canonical fields. `ports` are texts such as `22` and `8000-8010`."""

    id: str
    scope: Scope
    source: str = "any"
    protocol: str = "any"
    ports: tuple[str, ...] = ()
    port_kind: PortKind = "published"
    comment: str = ""
    enabled: bool = True

    @property
    def families(self) -> tuple[Literal[4, 6], ...]:
        """The IP versions for which the rule is rendered."""
        if self.source != "any":
            return (6,) if ":" in self.source else (4,)
        return (6,) if self.protocol == "ipv6-icmp" else (4, 6)


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
class Document:
    """Settings, rules by `rule_order`, expectations by `expectation_order`; notes are not compared."""

    settings: Settings = field(default_factory=Settings)
    rules: tuple[DocumentRule, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    notes: tuple[Note, ...] = field(default=(), compare=False)


def rule_order(rule: DocumentRule) -> tuple[object, ...]:
    """Return the sort key of rules: protocol number, ports as numbers, source by family and address, id."""
    number = 0 if rule.protocol == "any" else protocol_number(rule.protocol) or 256
    ports = tuple(port_range(text) for text in rule.ports)
    return (number, ports, _source_order(rule.source), rule.id)


def expectation_order(expectation: Expectation) -> tuple[object, ...]:
    """Return the sort key of expectations: protocol number, port, destination, source, the rest."""
    return (
        protocol_number(expectation.protocol) or 256,
        expectation.port or 0,
        expectation.to,
        expectation.container,
        _source_order(expectation.source),
        expectation.passes,
        expectation.comment,
    )


# As large as the largest document: a smaller cache would have no hits when a large document is sorted again.
@lru_cache(maxsize=20_000)
def _source_order(source: str) -> tuple[int, int, int]:
    if source == "any":
        return (0, 0, 0)
    network = ipaddress.ip_network(source)
    return (network.version, int(network.network_address), network.prefixlen)

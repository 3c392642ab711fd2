"""The values of a document: settings, rules, expectations, and the one order in which they are written down.

They are canonical by construction: only document.py makes them out of what people or files say.
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
Target = Literal["host", "container"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole host: its interfaces, and how it refuses."""

    external_interfaces: tuple[str, ...] = ()
    trusted_interfaces: tuple[str, ...] = ("lo",)
    refuse: Refuse = "reject"
    icmp: Icmp = "accept"
    heal_anchors: bool = False


@dataclass(frozen=True, slots=True)
class DocumentRule:
    """One allowance, every field canonical. `ports` are texts like `22` and `8000-8010`."""

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
        """The IP versions that the rule is rendered for."""
        if self.source != "any":
            return (6,) if ":" in self.source else (4,)
        return (6,) if self.protocol == "ipv6-icmp" else (4, 6)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What has to stay true whatever the rules say: that packets from a source reach a port, or never do.

    `port` is the one that the client dials, None where the protocol has none. `container` is a container's
    name, its Compose service, or project/service; empty means whichever container answers there.
    """

    source: str
    protocol: str
    port: int | None
    to: Target = "host"
    container: str = ""
    passes: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Settings, rules sorted by `rule_order`, expectations by theirs; notes do not count in comparison."""

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
    """Return the sort key of expectations: protocol number, port, where it goes, source, the rest."""
    return (
        protocol_number(expectation.protocol) or 256,
        expectation.port or 0,
        expectation.to,
        expectation.container,
        _source_order(expectation.source),
        expectation.passes,
        expectation.comment,
    )


# As many as a document has rules at most: with fewer, sorting a large one again would find none of them.
@lru_cache(maxsize=20_000)
def _source_order(source: str) -> tuple[int, int, int]:
    if source == "any":
        return (0, 0, 0)
    network = ipaddress.ip_network(source)
    return (network.version, int(network.network_address), network.prefixlen)

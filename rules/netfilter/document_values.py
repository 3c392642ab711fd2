"""The values of a document: settings, rules, and the one order in which rules are written down.

They are canonical by construction: only document.py makes them out of what people or files say.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from rules.netfilter.fields import Note, port_range
from rules.netfilter.protocols import protocol_number

Scope = Literal["host", "container", "both"]
PortKind = Literal["published", "container"]
Refuse = Literal["reject", "drop"]
Icmp = Literal["accept", "refuse"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole host: its interfaces, and how it refuses."""

    external_interfaces: tuple[str, ...] = ()
    trusted_interfaces: tuple[str, ...] = ("lo",)
    refuse: Refuse = "reject"
    icmp: Icmp = "accept"


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
class Document:
    """Settings and rules, the rules sorted by `rule_order`; notes do not take part in comparison."""

    settings: Settings = field(default_factory=Settings)
    rules: tuple[DocumentRule, ...] = ()
    notes: tuple[Note, ...] = field(default=(), compare=False)


def rule_order(rule: DocumentRule) -> tuple[object, ...]:
    """Return the sort key of rules: protocol number, ports as numbers, source by family and address, id."""
    number = 0 if rule.protocol == "any" else protocol_number(rule.protocol) or 256
    ports = tuple(port_range(text) for text in rule.ports)
    return (number, ports, _source_order(rule.source), rule.id)


@lru_cache(maxsize=4096)
def _source_order(source: str) -> tuple[int, int, int]:
    if source == "any":
        return (0, 0, 0)
    network = ipaddress.ip_network(source)
    return (network.version, int(network.network_address), network.prefixlen)

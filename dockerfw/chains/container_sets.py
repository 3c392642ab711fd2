"""Rules for containers by name: the bound sets that their lines match, and what each set stands for.

A set is named by a digest of its definition, so revisions whose rules ask the same share it.
What its members are is in dockerfw/reach/container_sets.py.

A rule for published ports matches two sets of (address, protocol and port), because a packet for a container
takes one of two ways. Docker's DNAT forwards most, and they match the container's address with its port
inside, beside the dialled port. docker-proxy takes the others, and they match the host's address with the
published port. A rule for ports inside matches a set of addresses, beside the port.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast, get_args

from dockerfw.chains.names import FILTERS_CONTAINERS, FILTERS_HOST
from dockerfw.document.container_definitions import (
    MOST_DEFINITIONS,
    PUBLISHED_PROTOCOLS,
    ContainerSetKind,
    definitions_of,
)
from dockerfw.document.fields import Problems
from dockerfw.document.rule_fields import read_container
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family

_LETTERS: Final[Mapping[ContainerSetKind, str]] = {"published": "c", "proxied": "c", "inside": "a"}
_PORT: Final = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?", re.ASCII)
# A packet straight to a container's own address has not been dialled to a published port.
_TRANSLATED: Final = "-m conntrack --ctstate DNAT "


@dataclass(frozen=True, slots=True)
class ContainerSet:
    """What a set stands for: the ports of the containers that `selector` names.

    `published` are the addresses of these containers with the ports inside to which the published `ports`
    lead, `proxied` the host's addresses with these published ports where docker-proxy holds them, and
    `inside` the addresses of the containers alone. `protocol` is `any`, tcp, udp or sctp, and no `ports` are
    all published ones; `inside` has neither.
    """

    selector: str
    kind: ContainerSetKind
    protocol: str = "any"
    ports: tuple[str, ...] = ()

    def name(self, family: Family) -> str:
        """Return the name of a family's set. Loaded rules contain it, so later releases keep the names."""
        digest = hashlib.sha256(self.to_text().encode("ascii")).hexdigest()[:20]
        return f"dockerfw{family}-{_LETTERS[self.kind]}{digest}"

    def to_text(self) -> str:
        """Return the definition as one line of ASCII, which the name is made from."""
        return json.dumps([self.selector, self.kind, self.protocol, self.ports], separators=(",", ":"))

    @staticmethod
    def from_text(text: str) -> ContainerSet | None:
        """Read what `to_text` wrote, None for anything else."""
        try:
            selector, kind, protocol, ports = json.loads(text)
        except (ValueError, TypeError):
            return None
        texts = (selector, kind, protocol, *ports) if isinstance(ports, list) else (None,)
        if not all(isinstance(each, str) for each in texts):
            return None
        known = kind in get_args(ContainerSetKind) and protocol in PUBLISHED_PROTOCOLS
        valid = bool(selector) and read_container(selector, "", Problems()) == selector
        if not (known and valid and all(map(_PORT.fullmatch, ports))):
            return None
        return ContainerSet(selector, cast(ContainerSetKind, kind), protocol, tuple(ports))


_NAME: Final = re.compile(r"dockerfw[46]-[ac][0-9a-f]{20}", re.ASCII)
_NAMES_IN: Final = re.compile(rf"\b{_NAME.pattern}\b", re.ASCII)


def is_container_set(name: str) -> bool:
    """Return True if the text is the name of a set for a rule by name."""
    return _NAME.fullmatch(name) is not None


Definitions = Mapping[str, ContainerSet]
"""What sets stand for, by the name of the set."""

NO_DEFINITIONS: Final[Definitions] = MappingProxyType({})


def container_definitions(document: Document) -> Definitions:
    """Return what the container sets of a document's enabled rules stand for, by name, for both families.

    The validator allows no more than MOST_DEFINITIONS. Of a document from before that bound, the rules of the
    others match nothing.
    """
    found: dict[ContainerSet, None] = {}
    for rule in document.rules:
        if rule.enabled and rule.container:
            found |= dict.fromkeys(ContainerSet(*each) for each in definitions_of(rule))
    first = list(found)[:MOST_DEFINITIONS]
    families: tuple[Family, ...] = (4, 6)
    return MappingProxyType({each.name(family): each for each in first for family in families})


def container_match(rule: DocumentRule, family: Family, chain: str) -> str | None:
    """Return what the lines of a rule by name match in a chain, beside source, protocol, port and comment.

    None means that the rule has no line in that chain. In FILTERS-CONTAINERS the port is the dialled one
    (`--ctorigdstport`), or the one inside (`--dport`) for a rule whose ports are counted inside. In
    FILTERS-HOST it is `--dport`, the published one.
    """
    found = container_set(rule, chain)
    if found is None:
        return None
    directions = "dst" if found.kind == "inside" else "dst,dst"
    translated = _TRANSLATED if found.kind == "published" else ""
    return f"{translated}-m set --match-set {found.name(family)} {directions}"


_CHAIN_OF: Final[Mapping[ContainerSetKind, str]] = {
    "published": FILTERS_CONTAINERS,
    "proxied": FILTERS_HOST,
    "inside": FILTERS_CONTAINERS,
}


def container_set(rule: DocumentRule, chain: str) -> ContainerSet | None:
    """Return the set that the lines of a rule by name match in a chain, None if it has no line there."""
    found = (ContainerSet(*each) for each in definitions_of(rule) if _CHAIN_OF[each.kind] == chain)
    return next(found, None)


def describe_set(definition: ContainerSet) -> str:
    """Return what a set holds, in words."""
    if definition.kind == "inside":
        return f"the addresses of {definition.selector}"
    protocol = "" if definition.protocol == "any" else f"/{definition.protocol}"
    ports = f"port {', '.join(definition.ports)}{protocol}" if definition.ports else f"every port{protocol}"
    by = " through docker-proxy" if definition.kind == "proxied" else ""
    return f"{ports} that {definition.selector} publishes{by}"


def explain_sets(text: str, definitions: Definitions) -> str:
    """Return a text with what each of these sets holds after its name."""
    return _NAMES_IN.sub(
        lambda found: (
            f"{found[0]} ({describe_set(definitions[found[0]])})" if found[0] in definitions else found[0]
        ),
        text,
    )

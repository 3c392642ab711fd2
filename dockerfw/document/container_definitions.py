"""What the ipsets of rules by container stand for: each different definition has a set in each IP version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from dockerfw.document import fields, sentences
from dockerfw.document.fields import Problems
from dockerfw.document.rules import CONTAINER_KIND
from dockerfw.document.values import DocumentRule

ContainerSetKind = Literal["published", "proxied", "inside"]

PUBLISHED_PROTOCOLS: Final = ("any", "tcp", "udp", "sctp")
"""The protocols of rules by name, which are those that Docker publishes. Rules of others have no lines."""
MOST_DEFINITIONS: Final = 2000
"""The most definitions of a document. Each is an ipset that follows the containers of its host."""

_PROXIED: Final = ("any", "tcp", "udp")


class ContainerDefinition(NamedTuple):
    """The ports of the containers that `selector` names, as dockerfw/chains/container_sets.py says."""

    selector: str
    kind: ContainerSetKind
    protocol: str = "any"
    ports: tuple[str, ...] = ()


def definitions_of(rule: DocumentRule) -> tuple[ContainerDefinition, ...]:
    """Return the definitions that a rule needs: two where docker-proxy may help."""
    if not rule.container or rule.scope != "container" or rule.protocol not in PUBLISHED_PROTOCOLS:
        return ()
    if rule.port_kind == CONTAINER_KIND:
        return (ContainerDefinition(rule.container, "inside"),)
    published = ContainerDefinition(rule.container, "published", rule.protocol, rule.ports)
    return (published, published._replace(kind="proxied")) if rule.protocol in _PROXIED else (published,)


def check_definitions(read: Iterable[tuple[str, DocumentRule]], problems: Problems) -> None:
    """Record an error at the first enabled rule whose definitions are too many, with how many all need."""
    found: set[ContainerDefinition] = set()
    first = None
    for path, rule in read:
        if rule.enabled:
            found.update(definitions_of(rule))
            if first is None and len(found) > MOST_DEFINITIONS:
                first = path
    if first is not None:
        message = sentences.too_many_container_sets(len(found), MOST_DEFINITIONS)
        problems.error(fields.join(first, "container"), message)

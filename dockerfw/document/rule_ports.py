"""Whether a rule includes a port: the one test that warnings, exposure and open sessions share.

coverage.py compares one rule with another.
"""

from __future__ import annotations

from collections.abc import Iterable

from dockerfw.document.fields import port_range
from dockerfw.document.values import DocumentRule


def includes_port(rule: DocumentRule, port: int) -> bool:
    """Return True if the rule includes a port number; a rule without ports includes all of them."""
    return not rule.ports or any(first <= port <= last for first, last in map(port_range, rule.ports))


def applies_to_port(rule: DocumentRule, protocol: str, port: int, inner_ports: Iterable[int] = ()) -> bool:
    """Return True if the rule's protocol and ports include a port that clients use.

    `inner_ports` are the ports inside the containers to which Docker sends the packets. A rule with
    `port_kind` container counts by those. Scope, source and `enabled` are not compared.
    """
    if rule.protocol not in ("any", protocol):
        return False
    counted = inner_ports if rule.port_kind == "container" else (port,)
    return not rule.ports or any(includes_port(rule, number) for number in counted)

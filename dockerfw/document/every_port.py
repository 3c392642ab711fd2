"""Which rules allow every port of a protocol, and which of them a change adds.

Such rules open services that start later, so admins confirm each of them before it is applied.
"""

from __future__ import annotations

from dataclasses import replace

from dockerfw.document.coverage import covers
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

_EVERY_PORT = ("1-65535",)


def opens_every_port(rule: DocumentRule) -> bool:
    """Return True if the rule allows every port of its protocol, without ports or by ranges.

    A rule for a protocol without ports, such as icmp, does not, and neither does a block.
    """
    if rule.action == "block":
        return False
    if rule.protocol == "any":
        return True
    if rule.ports and all(text.isdigit() for text in rule.ports):
        # A rule has 100 ports at most: most of thousands of rules are told without comparing.
        return False
    return rule.protocol in PROTOCOLS_WITH_PORTS and covers(rule, replace(rule, ports=_EVERY_PORT))


def new_every_port_rules(old: Document | None, new: Document) -> tuple[DocumentRule, ...]:
    """Return the enabled rules of `new` that open every port and that no rule of `old` covers."""
    found = _every_port_rules(new)
    known = _every_port_rules(old) if old and found else []
    return tuple(rule for rule in found if not any(covers(wide, rule) for wide in known))


def _every_port_rules(document: Document) -> list[DocumentRule]:
    return [rule for rule in document.rules if rule.enabled and opens_every_port(rule)]

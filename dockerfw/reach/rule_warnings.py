"""Warnings about rules, compared with the listening ports: nothing listens, a database is open, no rule.

Warnings never stop anything. The simulator tells which sources a rule really allows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.document.catalogue import DATABASES
from dockerfw.document.rule_ports import applies_to_port, includes_port
from dockerfw.document.values import DocumentRule
from dockerfw.reach import sentences
from dockerfw.reach.offers import Offer

RuleWarningCode = Literal["idle", "wide-database"]

# A shorter prefix than this is too wide a source for a database.
_WIDE: Final = {4: 8, 6: 16}


@dataclass(frozen=True, slots=True)
class RuleWarning:
    """A warning about one rule, as a sentence."""

    code: RuleWarningCode
    message: str


def rule_warnings(
    rule: DocumentRule, offers: Sequence[Offer], *, sockets_known: bool
) -> tuple[RuleWarning, ...]:
    """Return the warnings about a rule; `sockets_known`: `offers` includes the host's own sockets."""
    if not rule.enabled or not rule.ports:
        return ()
    behind = [offer for offer in offers if _applies_to(rule, offer)]
    found = [_wide_database(rule, behind)]
    # Traffic routed to a container's own port has no offer.
    if not behind and rule.port_kind == "published" and (sockets_known or rule.scope == "container"):
        where = {"host": "on the host", "container": "in a container", "both": ""}[rule.scope]
        ports = f"{rule.ports[0]}/{rule.protocol}" if len(rule.ports) == 1 else "these ports"
        found.append(RuleWarning("idle", sentences.nothing_listening(ports, where)))
    return tuple(each for each in found if each is not None)


def find_ports_without_rule(rules: Iterable[DocumentRule], offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return the published ports without an enabled rule: every client is refused there."""
    known = [rule for rule in rules if rule.enabled and rule.scope != "host"]
    singles: set[tuple[str, int, str]] = set()
    wide: list[DocumentRule] = []
    for rule in known:
        if rule.ports and all("-" not in port for port in rule.ports):
            singles |= {(rule.protocol, int(port), rule.port_kind) for port in rule.ports}
        else:
            wide.append(rule)
    return tuple(
        offer
        for offer in offers
        if offer.reaches_container
        and not offer.unseen
        and not (offer.address is not None and offer.address.is_loopback)
        and (offer.protocol, offer.port, "published") not in singles
        and not any((offer.protocol, port, "container") in singles for port in _inner_ports(offer))
        and not any(_applies_to(rule, offer) for rule in wide)
    )


def _wide_database(rule: DocumentRule, behind: Iterable[Offer]) -> RuleWarning | None:
    if not _is_wide(rule.source):
        return None
    numbered = DATABASES.items() if rule.protocol in ("tcp", "udp") else ()
    names = [name for name, ports in numbered if any(includes_port(rule, port) for port in ports)]
    # A database may be published at another port.
    inner = {port for offer in behind for port in _inner_ports(offer)}
    names += [name for name, ports in DATABASES.items() if inner & set(ports)]
    if not names:
        return None
    return RuleWarning("wide-database", sentences.wide_database(names[0], rule.source))


def _is_wide(source: str) -> bool:
    if source == "any":
        return True
    network = ipaddress.ip_network(source)
    return network.prefixlen < _WIDE[network.version]


def _applies_to(rule: DocumentRule, offer: Offer) -> bool:
    """Return True if a rule's scope, protocol and ports include an offer."""
    if rule.scope == ("host" if offer.reaches_container else "container"):
        return False
    return applies_to_port(rule, offer.protocol, offer.port, _inner_ports(offer))


def _inner_ports(offer: Offer) -> tuple[int, ...]:
    return tuple({each.to_port for each in offer.published})

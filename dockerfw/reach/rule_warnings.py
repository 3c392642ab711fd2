"""Warnings about rules, compared with the listening ports: nothing listens, a database is open, no rule.

Warnings never stop anything. The simulator tells which sources a rule really allows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.document.catalogue import DATABASES
from dockerfw.document.container_labels import LABEL
from dockerfw.document.rule_fields import group_of
from dockerfw.document.rule_ports import applies_to_port, includes_port
from dockerfw.document.values import DocumentRule
from dockerfw.reach import sentences
from dockerfw.reach.offers import Offer, OfferKey

RuleWarningCode = Literal[
    "idle",
    "opens-containers",
    "wide-database",
    "expired",
    "tight-limit",
    "unbound",
    "empty-group",
    "hidden",
    "hides",
]
_NOTES: Final = ("idle", "opens-containers")

# A shorter prefix than this is too wide a source for a database.
_WIDE: Final = {4: 8, 6: 16}


@dataclass(frozen=True, slots=True)
class RuleWarning:
    """A warning about one rule, as a sentence."""

    code: RuleWarningCode
    message: str

    @property
    def needs_attention(self) -> bool:
        """Return True if the rule probably does not do what its author wants."""
        return self.code not in _NOTES


def rule_warnings(
    rule: DocumentRule, offers: Sequence[Offer], *, sockets_known: bool
) -> tuple[RuleWarning, ...]:
    """Return the warnings about a rule; `sockets_known`: `offers` includes the host's own sockets."""
    if not rule.enabled or not (rule.ports or rule.to):
        return ()
    behind = [offer for offer in offers if applies_to_offer(rule, offer)]
    found = [_opens_containers(rule, behind)]
    if not rule.ports:
        return tuple(each for each in found if each is not None)
    found.append(_wide_database(rule, behind))
    # Traffic routed to a container's own port or to another machine has no offer.
    listed = rule.port_kind == "published" and rule.scope != "forwarded"
    if not behind and listed and (sockets_known or rule.scope == "container"):
        where = {"host": "on the host", "container": "in a container"}.get(rule.scope, "")
        ports = f"{rule.ports[0]}/{rule.protocol}" if len(rule.ports) == 1 else "these ports"
        found.append(RuleWarning("idle", sentences.nothing_listening(ports, where)))
    return tuple(each for each in found if each is not None)


def find_ports_without_rule(rules: Iterable[DocumentRule], offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return the published ports without an enabled rule: every client is refused there."""
    known = [rule for rule in rules if rule.enabled and rule.scope != "host"]
    singles: set[tuple[str, int, str]] = set()
    wide: list[DocumentRule] = []
    for rule in known:
        plain = rule.is_for_containers and not rule.container
        if plain and rule.ports and all("-" not in port for port in rule.ports):
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
        and not any(applies_to_offer(rule, offer) for rule in wide)
    )


def find_ruled_ports(rules: Iterable[DocumentRule], offers: Iterable[Offer]) -> frozenset[OfferKey]:
    """Return the keys of the offers that an enabled rule is about, whether it allows or blocks."""
    singles, others = set[tuple[str, str, int]](), list[DocumentRule]()
    for rule in rules:
        if rule.enabled and _is_plain(rule):
            singles |= {(rule.scope, rule.protocol, int(port)) for port in rule.ports}
        elif rule.enabled:
            others.append(rule)
    return frozenset(
        offer.key
        for offer in offers
        if any((scope, offer.protocol, offer.port) in singles for scope in _scopes(offer))
        or any(applies_to_offer(rule, offer) for rule in others)
    )


def _is_plain(rule: DocumentRule) -> bool:
    """Return True for a rule that only its scope, protocol and single ports describe."""
    single = bool(rule.ports) and all("-" not in port for port in rule.ports)
    return single and rule.port_kind == "published" and not (rule.container or rule.to)


def _scopes(offer: Offer) -> tuple[str, str]:
    return ("both", "container" if offer.is_forwarded else "host")


def _opens_containers(rule: DocumentRule, behind: Iterable[Offer]) -> RuleWarning | None:
    """Warn about a rule for forwarded traffic whose destination includes published ports of containers."""
    ports = [f"{offer.port}/{offer.protocol}" for offer in behind if rule.to and offer.reaches_container]
    if not ports:
        return None
    return RuleWarning("opens-containers", sentences.opens_containers(list(dict.fromkeys(ports))))


def _wide_database(rule: DocumentRule, behind: Iterable[Offer]) -> RuleWarning | None:
    wide = _widest(rule.sources)
    if rule.action == "block" or wide is None:
        return None
    numbered = DATABASES.items() if rule.protocol in ("tcp", "udp") else ()
    names = [name for name, ports in numbered if any(includes_port(rule, port) for port in ports)]
    # A database may be published at another port.
    inner = {port for offer in behind for port in _inner_ports(offer)}
    names += [name for name, ports in DATABASES.items() if inner & set(ports)]
    if not names:
        return None
    return RuleWarning("wide-database", sentences.wide_database(names[0], wide))


def _widest(sources: Sequence[str]) -> str | None:
    """Return a source that is too wide for a database, or None. What a group has is not looked at."""
    if not sources:
        return "any"
    networks = (ipaddress.ip_network(source) for source in sources if not group_of(source))
    return next((str(each) for each in networks if each.prefixlen < _WIDE[each.version]), None)


def applies_to_offer(rule: DocumentRule, offer: Offer) -> bool:
    """Return True if a rule's scope, container, protocol and ports include an offer."""
    if rule.to:
        addresses = [offer.inner_address(family) for family in offer.families]
        if not any(each is not None and each in ipaddress.ip_network(rule.to) for each in addresses):
            return False
    elif rule.scope == ("host" if offer.is_forwarded else "container"):
        return False
    if not _may_be_named(rule.container, offer):
        return False
    return applies_to_port(rule, offer.protocol, offer.port, _inner_ports(offer))


def _may_be_named(selector: str, offer: Offer) -> bool:
    """Return True unless a rule names another container. The labels of an offer's container are unknown."""
    unknown = not offer.name or not selector or selector.startswith(LABEL)
    return unknown or selector in (offer.name, offer.detail)


def _inner_ports(offer: Offer) -> tuple[int, ...]:
    direct = {offer.port} if offer.direct else set()
    return tuple({each.to_port for each in offer.published} | direct)

"""Sessions from outside, and those that one document allows and another refuses.

A rule is compared with a session exactly as its line in the kernel would be with the first packet. Unclear
sessions are left out: a session is named only if it certainly needed a rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from dockerfw.document.document import CONTAINER_KIND
from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.reach.conntrack import Session
from dockerfw.simulation.packet import Address

SessionTarget = Literal["host", "container"]

_ICMP: Final[dict[Family, str]] = {4: "icmp", 6: "ipv6-icmp"}
_DHCPV6_CLIENT: Final = 546


@dataclass(frozen=True, slots=True)
class Route:
    """A route: the interface that packets to a network leave by, and so arrive on; default is `0.0.0.0/0`."""

    network: str
    interface: str


@dataclass(frozen=True, slots=True)
class InboundSession:
    """A session from outside; `port` is the port that the client used, `inner_port` the one it arrived at.

    `interfaces` are those it may have arrived on. Sessions are equal if no rule can tell them apart.
    """

    place: SessionTarget
    family: Family
    protocol: str
    source: str
    port: int | None
    inner_port: int | None
    interfaces: tuple[str, ...]


class Routing:
    """A host's own addresses and its routes, which tell the direction of a session."""

    def __init__(self, own: Iterable[str], routes: Iterable[Route]) -> None:
        self._own = frozenset(own)
        self._routes: dict[tuple[int, int], dict[int, dict[str, None]]] = {}
        for route in routes:
            network = ipaddress.ip_network(route.network)
            known = self._routes.setdefault((network.version, network.prefixlen), {})
            known.setdefault(int(network.network_address), {})[route.interface] = None
        self._lengths = sorted(self._routes, reverse=True)

    def find_inbound(self, session: Session) -> InboundSession | None:
        """Return a session as rules see it, None unless a client outside started it."""
        original, reply = session.original, session.reply
        source = _address(original.source)
        # If the replies go to another address than the source, it was masqueraded: it is outgoing.
        if source.is_loopback or original.source in self._own or reply.destination != original.source:
            return None
        arrives_here = reply.source in self._own
        if arrives_here and original.destination not in self._own:
            return None
        interfaces = self._interfaces(source)
        if not interfaces:
            return None
        return InboundSession(
            place="host" if arrives_here else "container",
            family=session.family,
            protocol=session.protocol,
            source=original.source,
            port=original.destination_port,
            inner_port=reply.source_port,
            interfaces=interfaces,
        )

    def _interfaces(self, address: Address) -> tuple[str, ...]:
        number = int(address)
        for version, length in self._lengths:
            if version == address.version:
                shift = address.max_prefixlen - length
                found = self._routes[version, length].get(number >> shift << shift)
                if found:
                    return tuple(found)
        return ()


class NewlyRefused:
    """The sessions that the document before allowed and the document after refuses.

    `before` has a document for each family that had one. It is fast for very many sessions.
    """

    def __init__(self, before: Mapping[Family, Document], after: Document) -> None:
        self._before = {family: SessionJudge(document) for family, document in before.items()}
        self._after = SessionJudge(after)

    def includes(self, session: InboundSession) -> bool:
        """Return True if the document before allowed the session and the document after refuses it."""
        before = self._before.get(session.family)
        return before is not None and before.allows(session) is True and self._after.allows(session) is False


class SessionJudge:
    """One document's answers; sessions that differ only in their sources share one search."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[tuple[object, ...], bool | tuple[str, ...] | None] = {}

    def allows(self, session: InboundSession) -> bool | None:
        """Return whether the document allows the session, None if it does not filter it."""
        kind = (session.place, session.protocol, session.port, session.inner_port, session.interfaces)
        key = (session.family, *kind, session.protocol == "udp" and _address(session.source).is_link_local)
        if key not in self._known:
            self._known[key] = self._allows(session)
        known = self._known[key]
        if not isinstance(known, tuple):
            return known
        return any(_comes_from(source, session.source) for source in known)

    def _allows(self, session: InboundSession) -> bool | tuple[str, ...] | None:
        if not is_filtered(self._document, session):
            return None
        if _is_basic(self._document, session):
            return True
        rules = (rule for rule in self._document.rules if _applies_to(rule, session))
        return tuple({rule.source for rule in rules})


def is_filtered(document: Document, session: InboundSession) -> bool:
    """Return True if a document filters the session, whichever of its interfaces it arrived on."""
    settings = document.settings
    if session.place == "container":
        return all(_is_one_of(name, settings.external_interfaces) for name in session.interfaces)
    return not any(_is_one_of(name, settings.trusted_interfaces) for name in session.interfaces)


def rule_allows(rule: DocumentRule, session: InboundSession) -> bool:
    """Return True if a rule allows the session."""
    return _applies_to(rule, session) and _comes_from(rule.source, session.source)


def _applies_to(rule: DocumentRule, session: InboundSession) -> bool:
    """Return True if a rule allows such a session from the rule's source."""
    if not rule.enabled or session.family not in rule.families:
        return False
    protocol = _ICMP[session.family] if rule.protocol == "icmp" else rule.protocol
    if protocol not in ("any", session.protocol):
        return False
    published = rule.port_kind != CONTAINER_KIND
    if rule.scope not in ("both", session.place):
        # On the host docker-proxy takes IPv6 packets for containers without an IPv6 address.
        proxied = session.place == "host" and session.family == 6 and published and bool(rule.ports)
        return proxied and _has_port(rule, session.inner_port)
    dialled = published and rule.scope != "host"
    return _has_port(rule, session.port if dialled else session.inner_port)


def _is_basic(document: Document, session: InboundSession) -> bool:
    """Return True if render.py's basics allow the session with any rules."""
    if session.place != "host":
        return False
    if session.protocol == _ICMP[session.family]:
        return document.settings.icmp == "accept"
    dhcpv6 = (session.family, session.protocol, session.inner_port) == (6, "udp", _DHCPV6_CLIENT)
    return dhcpv6 and _address(session.source).is_link_local


def _has_port(rule: DocumentRule, port: int | None) -> bool:
    return not rule.ports or (port is not None and includes_port(rule, port))


def _comes_from(source: str, address: str) -> bool:
    return source == "any" or _address(address) in _network(source)


def _is_one_of(name: str, names: Iterable[str]) -> bool:
    return any(interfaces_overlap(name, other) for other in names)


@lru_cache(maxsize=32_768)
def _address(text: str) -> Address:
    return ipaddress.ip_address(text)


@lru_cache(maxsize=32_768)
def _network(source: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(source)

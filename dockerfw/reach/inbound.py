"""Sessions from outside, and those that one document allows and another refuses.

A rule is compared with a session exactly as its line in the kernel would be with the first packet, and with
the members of the sets that the line matches: containers by name, docker-proxy's sockets, lists. Unclear
sessions are left out: a session is named only if it certainly needed a rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

from dockerfw.chains.container_sets import container_definitions, container_set
from dockerfw.chains.group_sets import bound_group_set
from dockerfw.chains.names import FILTERS_CONTAINERS, FILTERS_HOST, PROXY_SETS
from dockerfw.chains.set_matches import PROXIED_PROTOCOLS
from dockerfw.document.coverage import expanded
from dockerfw.document.document import CONTAINER_KIND
from dockerfw.document.fields import interface_covers, interfaces_overlap
from dockerfw.document.moments import document_at, to_second
from dockerfw.document.rule_fields import group_of
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import Action, Document, DocumentRule, Group
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.reach.conntrack import Session
from dockerfw.simulation.packet import Address
from dockerfw.simulation.set_members import covering_texts

SessionTarget = Literal["host", "container"]

Members = Mapping[str, Collection[str]]
"""The members of bound sets, as `ipset save` prints them. Those of a set that is missing are unknown."""

UNKNOWN_MEMBERS: Final[Members] = MappingProxyType({})

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

    `interfaces` are those it may have arrived on, `destination` is the address that it is forwarded to, empty
    on the host. `dialled` is the address that the client used, empty where it is unknown or is not the one of
    the host that the packets arrive at. Sessions are equal if no rule can tell them apart.
    """

    place: SessionTarget
    family: Family
    protocol: str
    source: str
    port: int | None
    inner_port: int | None
    interfaces: tuple[str, ...]
    destination: str = ""
    dialled: str = ""


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
            destination="" if arrives_here else reply.source,
            dialled="" if arrives_here and original.destination != reply.source else original.destination,
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

    `before` has a document for each family that had one. `moment` is now, in UTC: it tells which rules
    count. `members` are those of the sets in `sets_asked` of all documents. It is fast for very many
    sessions.
    """

    def __init__(
        self,
        before: Mapping[Family, Document],
        after: Document,
        *,
        moment: str = "",
        members: Members = UNKNOWN_MEMBERS,
    ) -> None:
        self._before = {
            family: SessionJudge(document, moment, members) for family, document in before.items()
        }
        self._after = SessionJudge(after, moment, members)

    def includes(self, session: InboundSession) -> bool:
        """Return True if the document before allowed the session and the document after refuses it.

        A block before of which it cannot be told whether it applied does not count: such a session is refused
        now, whatever it was.
        """
        before = self._before.get(session.family)
        return (
            before is not None
            and before.allows(session, unless_blocked=True) is True
            and self._after.allows(session) is False
        )


def sets_asked(document: Document) -> tuple[str, ...]:
    """Return the names of the bound sets whose members tell which sessions a document allows."""
    named = {group_of(source) for rule in document.rules if rule.enabled for source in rule.sources}
    lists = (group for group in document.groups if group.kind != "static" and group.name in named)
    return (
        *PROXY_SETS.values(),
        *container_definitions(document),
        *(bound_group_set(group, family) for group in lists for family in FAMILIES),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """The sources of the rules that apply to one kind of session, by action and whether that is certain.

    `lists` are the networks of the lists among them.
    """

    sources: Mapping[tuple[Action, bool], Collection[str]]
    lists: Members

    def allows(self, session: InboundSession, *, unless_blocked: bool) -> bool | None:
        def has(action: Action, *, certain: bool) -> bool:
            sources = self.sources.get((action, certain), ())
            return any(self._includes(source, session.source) for source in sources)

        if has("block", certain=True):
            return False
        if has("allow", certain=True):
            return True if unless_blocked or not has("block", certain=False) else None
        # What no rule allows is refused, whatever is blocked.
        return None if has("allow", certain=False) else False

    def _includes(self, source: str, address: str) -> bool:
        if source in self.lists:
            return any(text in self.lists[source] for text in covering_texts(_address(address)))
        return _comes_from(source, address)


class SessionJudge:
    """One document's answers; sessions that differ only in their sources share one search.

    Without a `moment` it cannot tell what rules with times allow, and without `members` of their sets not
    what rules for containers by name and rules with lists allow.
    """

    def __init__(self, document: Document, moment: str = "", members: Members = UNKNOWN_MEMBERS) -> None:
        if moment:
            document = document_at(document, to_second(moment))
        self._document = document
        self._members = members
        self._rules = expanded(document.rules, document.groups)
        named = {source for rule in self._rules for source in rule.sources if group_of(source)}
        groups = [group for group in document.groups if f"@{group.name}" in named]
        self._lists = {family: dict(_lists_of(groups, family, members)) for family in FAMILIES}
        self._behind = any(rule.to or rule.container for rule in document.rules)
        self._places = self._behind or any(rule.scope == "container" for rule in document.rules)
        self._known: dict[tuple[object, ...], bool | _Judged | None] = {}

    def allows(self, session: InboundSession, *, unless_blocked: bool = False) -> bool | None:
        """Return whether the document allows the session, None if it does not filter it or cannot be told.

        With `unless_blocked`, blocks of which it cannot be told whether they apply do not count.
        """
        kind = (session.place, session.protocol, session.port, session.inner_port, session.interfaces)
        link_local = session.protocol == "udp" and _address(session.source).is_link_local
        dialled = self._places if session.place == "host" else self._behind
        addresses = (self._behind and session.destination, dialled and session.dialled)
        key = (session.family, *kind, link_local, *addresses)
        if key not in self._known:
            self._known[key] = self._allows(session)
        known = self._known[key]
        if isinstance(known, _Judged):
            return known.allows(session, unless_blocked=unless_blocked)
        return known

    def _allows(self, session: InboundSession) -> bool | _Judged | None:
        if not is_filtered(self._document, session):
            return None
        if _is_basic(self._document, session):
            return True
        lists = self._lists[session.family]
        found: dict[tuple[Action, bool], set[str]] = {}
        for rule in self._rules:
            applies = _applies_to(rule, session, self._members)
            for source in rule.sources or ("any",) if applies is not False else ():
                untold = group_of(source) and source not in lists
                certain = applies is True and not untold
                found.setdefault((rule.action, certain), set()).add("any" if untold else source)
        return _Judged(found, lists)


def _lists_of(
    groups: Iterable[Group], family: Family, members: Members
) -> Iterator[tuple[str, Collection[str]]]:
    """Yield the groups whose networks are known, as rules name them, with their networks as in ipsets."""
    for group in groups:
        if group.kind == "static":
            own = "/32" if family == 4 else "/128"
            yield f"@{group.name}", frozenset(entry.removesuffix(own) for entry in group.entries)
        elif (name := bound_group_set(group, family)) in members:
            yield f"@{group.name}", members[name]


def is_filtered(document: Document, session: InboundSession) -> bool:
    """Return True if a document filters the session, whichever of its interfaces it arrived on."""
    settings = document.settings
    if session.place == "container":
        return all(_is_one_of(name, settings.external_interfaces) for name in session.interfaces)
    if settings.containers_reach_host == "allow" and not all(
        _is_one_of(name, settings.external_interfaces) for name in session.interfaces
    ):
        # It may come from a container's bridge, from which no packet needs a rule.
        return False
    return not any(_is_one_of(name, settings.trusted_interfaces) for name in session.interfaces)


def rule_allows(rule: DocumentRule, session: InboundSession, members: Members = UNKNOWN_MEMBERS) -> bool:
    """Return True if a rule allows the session, or may allow it."""
    if rule.action == "block" or _applies_to(rule, session, members) is False:
        return False
    return any(group_of(each) or _comes_from(each, session.source) for each in rule.sources or ("any",))


def _applies_to(rule: DocumentRule, session: InboundSession, members: Members) -> bool | None:
    """Return whether a rule applies to such a session from its sources, None where that cannot be told."""
    if not rule.enabled or session.family not in rule.families:
        return False
    protocol = _ICMP[session.family] if rule.protocol == "icmp" else rule.protocol
    if protocol not in ("any", session.protocol):
        return False
    # What costs least comes first: thousands of rules are compared with each kind of session.
    parts = (_has_ports, _has_interface, _is_dialled, _is_bound)
    certain = not (rule.starts or rule.expires)
    for part in parts:
        applies = part(rule, session, members)
        if applies is False:
            return False
        certain = certain and applies is True
    return True if certain else None


def _has_ports(rule: DocumentRule, session: InboundSession, members: Members) -> bool:
    """Return True if a rule is about the session's place and port."""
    published = rule.port_kind != CONTAINER_KIND
    if rule.scope == "forwarded":
        return bool(session.destination) and _has_port(
            rule, session.port if published else session.inner_port
        )
    if rule.scope not in ("both", session.place):
        # On the host docker-proxy takes packets for containers.
        proxied = session.place == "host" and published
        return proxied and _has_port(rule, session.inner_port) and _may_be_proxied(rule, session)
    dialled = published and rule.scope != "host"
    return _has_port(rule, session.port if dialled else session.inner_port)


def _may_be_proxied(rule: DocumentRule, session: InboundSession) -> bool:
    """Return True if a rule for containers has a line for the packets that docker-proxy takes."""
    if rule.container:
        return True
    if not rule.ports:
        return rule.action == "block" and session.protocol in PROXIED_PROTOCOLS
    return session.family == 6 or rule.protocol in PROXIED_PROTOCOLS


def _has_interface(rule: DocumentRule, session: InboundSession, members: Members) -> bool | None:
    if not rule.interface or all(interface_covers(rule.interface, name) for name in session.interfaces):
        return True
    return None if _is_one_of(rule.interface, session.interfaces) else False


def _is_dialled(rule: DocumentRule, session: InboundSession, members: Members) -> bool | None:
    """Return True if the session has the destination of a rule, which is the one before or after DNAT."""
    if not rule.to:
        return True
    dialled = rule.scope in ("both", "container") and rule.port_kind != CONTAINER_KIND
    address = session.dialled if dialled or session.place == "host" else session.destination
    return _address(address) in _network(rule.to) if address else None


def _is_bound(rule: DocumentRule, session: InboundSession, members: Members) -> bool | None:
    """Return True if the set that the rule's line matches has the session's address and port."""
    chain = FILTERS_CONTAINERS if session.place == "container" else FILTERS_HOST
    if not rule.container:
        by_set = chain == FILTERS_HOST and rule.scope == "container" and session.protocol in PROXIED_PROTOCOLS
        if not by_set:
            return True
        held = _is_member(PROXY_SETS[session.family], session.dialled, session, members)
        # Without the set's members the port of an allowance counts, as in earlier releases' lines.
        return True if held is None and rule.action == "allow" else held
    found = container_set(rule, chain)
    if found is None:
        return False
    name = found.name(session.family)
    if found.kind == "proxied":
        return _is_member(name, session.dialled, session, members)
    if found.kind == "inside":
        return _is_member(name, session.destination, None, members)
    if not session.dialled:
        return None
    if (session.dialled, session.port) == (session.destination, session.inner_port):
        # The lines for published ports match only what was translated.
        return False
    return _is_member(name, session.destination, session, members)


def _is_member(name: str, address: str, ported: InboundSession | None, members: Members) -> bool | None:
    """Return True if a set has an address, with the port of a session if one is given."""
    found = members.get(name)
    if found is None or not address:
        return None
    port = f",{ported.protocol}:{ported.inner_port}" if ported else ""
    return any(f"{text}{port}" in found for text in covering_texts(_address(address)))


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

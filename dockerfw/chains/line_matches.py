"""The lines of one rule: in which chains it has lines, and what each line matches beside the source.

match_groups.py joins the lines of several rules, container_sets.py knows the rules for containers by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from dockerfw.chains.container_sets import container_match
from dockerfw.chains.names import FILTERS, FILTERS_BLOCK, FILTERS_CONTAINERS, FILTERS_HOST, rule_comment
from dockerfw.chains.new_connections import limit_match, time_match
from dockerfw.chains.set_matches import PROXIED_PROTOCOLS, proxy_match
from dockerfw.document.fields import port_range
from dockerfw.document.rules import CONTAINER_KIND
from dockerfw.document.values import DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import (
    ICMP,
    IPV6_ICMP,
    PROTOCOLS_WITH_OWN_MATCH,
    protocol_for_iptables,
    protocol_name,
    protocol_number,
)

Phase = Literal["block", "plain", "limited"]
"""A part of a chain: blocks come first, and limited allowances after all others."""

Space = Literal["published", "destination"]
"""The port that the client used, before Docker rewrote it, or the port that the packet has here."""

MULTIPORT_SLOTS: Final = 15
_ALLOWING: Final = {"host": FILTERS_HOST, "both": FILTERS}
_BLOCKING: Final = {"host": FILTERS_HOST, "both": FILTERS_BLOCK}


class LineMatch(NamedTuple):
    """What the lines of a rule in one chain match beside the source, in the words of iptables.

    `general` are the destination and the interface, `number` is the protocol's number, 0 for any. `ports` are
    texts of a document, each port space has its own match. `to` is a destination before Docker rewrote it.
    `more` are further matches, and `limit` is the last match of a line.
    """

    general: str
    number: int
    protocol: str
    space: Space
    ports: tuple[str, ...]
    to: str
    more: str
    limit: str
    target: str

    def port_matches(self) -> tuple[str, ...]:
        """Return the match on the ports of each line; a rule with many ports has several lines."""
        ports, published = self.ports, self.space == "published"
        if len(ports) == 1:
            # Nearly all have one port.
            port = ports[0]
            return (published_match(port, self.to) if published else _destination_match(self.protocol, port),)
        if published:
            return tuple(published_match(port, self.to) for port in ports or ("",))
        return tuple(_destination_matches(self.protocol, ports)) if ports else ("",)

    def with_port(self, port: str) -> LineMatch:
        """Return the match for one of the ports."""
        return self._replace(ports=(port,))

    @property
    def destination(self) -> str:
        """The destination after Docker rewrote it, empty without one."""
        return self.general.removeprefix("-d ").partition(" ")[0] if self.general.startswith("-d ") else ""

    def towards(self, network: str) -> str:
        """Return the match on the protocol, the ports and another destination of the same kind."""
        general = "" if self.to else f"-d {network}"
        way = self._replace(general=general, to=network if self.to else "")
        return _joined(general, f"-p {self.protocol}" if self.number else "", way.port_matches()[0])

    def line(self, ports: str, *, source: str = "", source_set: str = "", rule_id: str = "") -> str:
        """Return the line for one of `port_matches` and one source, or for the sources in a set."""
        return _joined(
            f"-s {source}" if source else "",
            self.general,
            f"-p {self.protocol}" if self.number else "",
            ports,
            self.more,
            f"-m set --match-set {source_set} src" if source_set else "",
            rule_comment(rule_id) if rule_id else "",
            self.limit,
            f"-j {self.target}",
        )


def rule_matches(
    rule: DocumentRule, family: Family, *, has_ip_set: bool = True
) -> Iterator[tuple[str, Phase, LineMatch]]:
    """Yield the chain, the phase and the match of each of a rule's groups of lines.

    On a host that cannot have ipsets, docker-proxy's packets are not let through.
    """
    homes = _BLOCKING if rule.action == "block" else _ALLOWING
    phase: Phase = "block" if rule.action == "block" else "limited" if rule.limit else "plain"
    home = homes.get(rule.scope, FILTERS_CONTAINERS)
    published = rule.port_kind != CONTAINER_KIND and rule.scope != "host"
    match = _match(rule, family, home, "published" if published else "destination")
    if match is not None:
        yield home, phase, match
    if rule.scope == "container" and published and (has_ip_set or not is_proxied(rule)):
        match = _docker_proxy_match(rule, family)
        if match is not None:
            yield FILTERS_HOST, phase, match


def is_proxied(rule: DocumentRule) -> bool:
    """Return True if docker-proxy may take a rule's packets, which a bound set tells."""
    return (
        rule.scope == "container"
        and rule.port_kind != CONTAINER_KIND
        and rule.protocol in ("any", *PROXIED_PROTOCOLS)
        and (bool(rule.ports) or rule.action == "block")
    )


def _docker_proxy_match(rule: DocumentRule, family: Family) -> LineMatch | None:
    """Match the port where docker-proxy takes it: such packets pass INPUT with the published port.

    It takes IPv6 packets for a container without IPv6, packets of containers to a port that this host
    publishes, and everything if dockerd has no rules. A program of the host on the same port stays refused.
    """
    if rule.container:
        return _match(rule, family, FILTERS_HOST, "destination")
    ported = bool(rule.ports)
    if not ported and (rule.action == "allow" or rule.protocol not in ("any", *PROXIED_PROTOCOLS)):
        return None
    by_set = not ported or rule.protocol in PROXIED_PROTOCOLS
    # The root worker sees docker-proxy's sockets of TCP and UDP only.
    if not by_set and family == 4:
        return None
    return _match(rule, family, FILTERS_HOST, "destination", proxy_match(family) if by_set else "")


def _match(rule: DocumentRule, family: Family, chain: str, space: Space, first: str = "") -> LineMatch | None:
    """Return what the lines of a rule match in a chain, None if there is none; `first` is one match more."""
    original = space == "published" and rule.scope != "forwarded"
    number, protocol = _protocol(rule.protocol, family)
    more = time_match(rule.starts, rule.expires)
    if rule.container:
        found = container_match(rule, family, chain)
        if found is None:
            return None
        more = _joined(found, more)
    return LineMatch(
        general=_joined(
            f"-d {rule.to}" if rule.to and not original else "",
            f"-i {rule.interface}" if rule.interface else "",
        ),
        number=number,
        protocol=protocol,
        space="published"
        if space == "published" and (rule.ports or (original and rule.to))
        else "destination",
        ports=rule.ports,
        to=rule.to if original else "",
        more=_joined(first, more),
        limit=limit_match(rule.id, rule.limit, family) if rule.limit else "",
        target="DROP" if rule.action == "block" else "RETURN",
    )


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


@lru_cache(maxsize=64)
def _protocol(protocol: str, family: Family) -> tuple[int, str]:
    if protocol == "any":
        return 0, ""
    if protocol == protocol_name(ICMP) and family == 6:
        return IPV6_ICMP, protocol_name(IPV6_ICMP)
    return protocol_number(protocol) or 0, protocol_for_iptables(protocol)


def published_match(port: str, to: str = "") -> str:
    """Match the port and the address that the client used, before Docker rewrote them; none without both."""
    parts = []
    if to:
        parts.append(f"--ctorigdst {to.removesuffix('/128' if ':' in to else '/32')}")
    if port:
        parts.append(f"--ctorigdstport {_colon(port)}")
    return f"-m conntrack {' '.join(parts)} --ctdir ORIGINAL" if parts else ""


def port_range_match(protocol: str, space: Space, port: str) -> str:
    """Match a port or a range of ports of a protocol in a port space."""
    if space == "published":
        return published_match(port)
    return _destination_match(protocol, port)


def _destination_match(protocol: str, port: str) -> str:
    if protocol in PROTOCOLS_WITH_OWN_MATCH:
        return f"-m {protocol} --dport {_colon(port)}"
    return f"-m multiport --dports {_colon(port)}"


def _destination_matches(protocol: str, ports: Sequence[str]) -> Iterator[str]:
    if len(ports) == 1:
        yield _destination_match(protocol, ports[0])
    else:
        yield from (f"-m multiport --dports {','.join(chunk)}" for chunk in _multiport_chunks(ports))


def _multiport_chunks(ports: Sequence[str]) -> Iterator[list[str]]:
    """Split ports so that each part fits one multiport match, in which a range counts two."""
    chunk: list[str] = []
    used = 0
    for text in ports:
        first, last = port_range(text)
        slots = 1 if first == last else 2
        if used + slots > MULTIPORT_SLOTS:
            yield chunk
            chunk, used = [], 0
        chunk.append(_colon(text))
        used += slots
    if chunk:
        yield chunk


def _colon(port: str) -> str:
    return port.replace("-", ":")

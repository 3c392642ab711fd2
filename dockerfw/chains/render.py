"""Restore text for one family: the input of `iptables-restore -n` that loads a document.

The same document gives the same bytes. The text flushes only dockerfw's own chains (declaring them is the
flush), sets no policy, and changes INPUT, DOCKER-USER and FORWARD only to place or remove dockerfw's anchors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from dockerfw.chains.anchors import anchor_work, wanted_anchors
from dockerfw.chains.forwarding import add_own_jumps
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    FILTERS_CONTAINERS,
    FILTERS_HOST,
    FORWARD,
    OWN_CHAINS,
    Label,
    body,
    own_rules,
    rule_comment,
)
from dockerfw.chains.pairing import pair_lines
from dockerfw.chains.rendering import Rendering, read_rendering
from dockerfw.document.document import CONTAINER_KIND, digest
from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule, Settings
from dockerfw.iptables.model import Counters, Family, Ruleset
from dockerfw.iptables.protocols import (
    ICMP,
    IPV6_ICMP,
    PROTOCOLS_WITH_OWN_MATCH,
    protocol_for_iptables,
    protocol_name,
)

MULTIPORT_SLOTS: Final = 15
ESTABLISHED: Final = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
DHCPV6_REPLIES: Final = "-s fe80::/10 -p udp -m udp --sport 547 --dport 546 -j RETURN"
# Without these an IPv6 host loses its neighbours, its router and its multicast groups (RFC 4890, 4.4.1): MLD
# 130-132 and 143, router and neighbour discovery 133-136 with their inverse 141-142.
IPV6_VITAL_TYPES: Final = (130, 131, 132, 133, 134, 135, 136, 141, 142, 143)
# Docker before 28 forwards a packet that is dialled to a port published to 127.0.0.1 even if it arrives from
# the local network: DNAT comes before the kernel drops such a packet as martian.
DIALLED_TO_LOOPBACK: Final[Mapping[Family, str]] = {
    4: "-m conntrack --ctorigdst 127.0.0.0/8 --ctdir ORIGINAL -j DROP",
    6: "-m conntrack --ctorigdst ::1 --ctdir ORIGINAL -j DROP",
}
_WRITTEN_ORDER: Final = (FILTERS_HOST, FILTERS_CONTAINERS, FILTERS)


def render_restore(
    document: Document,
    family: Family,
    *,
    live: Ruleset | None = None,
    revision: int = 0,
    counters: bool = False,
    containers: bool = False,
) -> str:
    """Return the restore text of a document for one family.

    `live` is the host's ruleset, read just before; None is a host with Docker's chains and no dockerfw rules.
    `counters` writes `[packets:bytes]` before each rule, those of the same rule in `live` (for `-c`).
    `containers` is True if container networks have addresses of the family.
    """
    rendering = render(document, family, revision)
    return write_restore(rendering, family, live=live, counters=counters, containers=containers)


def render(document: Document, family: Family, revision: int = 0) -> Rendering:
    """Return the rules and jumps that make a document true for one family."""
    return Rendering(wanted_chains(document, family, revision), wanted_anchors(document.settings))


def earlier_rendering(
    document: Document, family: Family, revision: int = 0, *, live: Ruleset | None = None
) -> Rendering:
    """Return what a release that kept no copy of its rules loaded for a document.

    It lacks the lines that were added since, except those that `live` has.
    """
    found = render(document, family, revision)
    held = {body(rule) for rule in own_rules(live, FILTERS_CONTAINERS)}
    lines = found.chains[FILTERS_CONTAINERS]
    kept = tuple(line for line in lines if line != DIALLED_TO_LOOPBACK[family] or line in held)
    return Rendering({**found.chains, FILTERS_CONTAINERS: kept}, found.jumps)


def loaded_rendering(restore_text: str, settings: Settings, *, own_jumps: bool = False) -> Rendering:
    """Return what a kernel holds after a restore text: it names only the jumps that were missing before.

    `own_jumps` is True if the family then has jumps of dockerfw's own in FORWARD.
    """
    jumps = dict(wanted_anchors(settings))
    if own_jumps:
        jumps[FORWARD] = jumps[DOCKER_USER]
    return Rendering(read_rendering(restore_text).chains, jumps)


def write_restore(
    rendering: Rendering,
    family: Family,
    *,
    live: Ruleset | None = None,
    counters: bool = False,
    containers: bool = False,
) -> str:
    """Write the restore text that brings a family's chains and jumps from `live` to a rendering."""
    chains = rendering.chains
    work = anchor_work(add_own_jumps(rendering.jumps, live, containers=containers), live)
    lines = ["*filter", *(f":{name} - [0:0]" for name in OWN_CHAINS)]
    if work.creates_docker_user:
        lines.append(f"-N {DOCKER_USER}")
    lines += [f"-D {rule.text[3:]}" for rule in work.delete]
    for chain in _WRITTEN_ORDER:
        if counters:
            hits = _carried_counters(chain, chains[chain], live, family)
            lines += [f"{hit} -A {chain} {line}" for hit, line in zip(hits, chains[chain], strict=True)]
        else:
            lines += [f"-A {chain} {line}" for line in chains[chain]]
    prefix = "[0:0] " if counters else ""
    lines += [f"{prefix}-I {chain} 1 {text}" for chain, text in work.insert]
    return "\n".join([*lines, "COMMIT", ""])


@lru_cache(maxsize=4)
def wanted_chains(document: Document, family: Family, revision: int = 0) -> Mapping[str, tuple[str, ...]]:
    """Return the rules of dockerfw's three chains, each without `-A CHAIN`, in order."""
    rules = [rule for rule in document.rules if rule.enabled and family in rule.families]
    settings = document.settings
    label = Label(revision, digest(document)[:12])
    return {
        FILTERS: (*_lines(rules, FILTERS, family), _refusal(settings, family, label)),
        FILTERS_CONTAINERS: (
            ESTABLISHED,
            DIALLED_TO_LOOPBACK[family],
            *_lines(rules, FILTERS_CONTAINERS, family),
            f"-j {FILTERS}",
        ),
        FILTERS_HOST: (
            *(f"-i {name} -j RETURN" for name in settings.trusted_interfaces),
            ESTABLISHED,
            *_icmp_lines(settings, family),
            *_lines(rules, FILTERS_HOST, family),
            f"-j {FILTERS}",
        ),
    }


def rule_lines(rule: DocumentRule, family: Family) -> Mapping[str, tuple[str, ...]]:
    """Return the lines of one rule by chain, each without `-A CHAIN`; none for another family."""
    if not rule.enabled or family not in rule.families:
        return {}
    found = {chain: tuple(_lines([rule], chain, family)) for chain in OWN_CHAINS}
    return {chain: lines for chain, lines in found.items() if lines}


def _lines(rules: Sequence[DocumentRule], chain: str, family: Family) -> Iterator[str]:
    for rule in rules:
        ports = _ports_in(rule, chain, family)
        if ports is None:
            continue
        before, after = _before_ports(rule, family), rule_comment(rule.id) + " -j RETURN"
        for match in ports:
            yield " ".join(part for part in (before, match, after) if part)


def _ports_in(rule: DocumentRule, chain: str, family: Family) -> Sequence[str] | None:
    """Return the port matches of a rule in a chain, one for each line; None if it has no line there."""
    home = {"host": FILTERS_HOST, "container": FILTERS_CONTAINERS, "both": FILTERS}[rule.scope]
    published = rule.port_kind != CONTAINER_KIND
    if chain == home:
        if not rule.ports:
            return ("",)
        by_published = published and rule.scope != "host"
        return _published_ports(rule) if by_published else _destination_ports(rule)
    # On the host docker-proxy takes IPv6 packets for a container that has no IPv6 address. They pass INPUT
    # with the published port as their destination.
    to_docker_proxy = chain == FILTERS_HOST and family == 6 and rule.scope == "container"
    return _destination_ports(rule) if to_docker_proxy and published and rule.ports else None


def _before_ports(rule: DocumentRule, family: Family) -> str:
    parts = []
    if rule.source != "any" and not rule.source.endswith("/0"):
        parts.append(f"-s {rule.source}")
    if rule.protocol != "any":
        parts.append(f"-p {_protocol(rule, family)}")
    return " ".join(parts)


def _protocol(rule: DocumentRule, family: Family) -> str:
    if rule.protocol == protocol_name(ICMP) and family == 6:
        return protocol_name(IPV6_ICMP)
    return protocol_for_iptables(rule.protocol)


def _published_ports(rule: DocumentRule) -> list[str]:
    """Match the port that the client used, before Docker rewrote it."""
    return [f"-m conntrack --ctorigdstport {_colon(text)} --ctdir ORIGINAL" for text in rule.ports]


def _destination_ports(rule: DocumentRule) -> list[str]:
    if len(rule.ports) == 1 and rule.protocol in PROTOCOLS_WITH_OWN_MATCH:
        return [f"-m {rule.protocol} --dport {_colon(rule.ports[0])}"]
    return [f"-m multiport --dports {','.join(chunk)}" for chunk in _multiport_chunks(rule.ports)]


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


def _icmp_lines(settings: Settings, family: Family) -> list[str]:
    if family == 4:
        return ["-p icmp -j RETURN"] if settings.icmp == "accept" else []
    if settings.icmp == "accept":
        return ["-p ipv6-icmp -j RETURN", DHCPV6_REPLIES]
    vital = [f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -j RETURN" for number in IPV6_VITAL_TYPES]
    return [*vital, DHCPV6_REPLIES]


def _refusal(settings: Settings, family: Family, label: Label) -> str:
    comment = f'-m comment --comment "{label}"'
    if settings.refuse == "drop":
        return f"{comment} -j DROP"
    reason = "icmp-host-prohibited" if family == 4 else "icmp6-adm-prohibited"
    return f"{comment} -j REJECT --reject-with {reason}"


def _carried_counters(
    chain: str, lines: Sequence[str], live: Ruleset | None, family: Family
) -> list[Counters]:
    pairing = pair_lines(chain, lines, own_rules(live, chain), family)
    return [rule.counters if rule and rule.counters else Counters(0, 0) for rule in pairing.live]

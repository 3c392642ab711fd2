"""Restore text for one family: the input of `iptables-restore -n` that loads a document.

The same document gives the same bytes. The text flushes only dockerfw's own chains (declaring them is the
flush), sets no policy, and changes INPUT, DOCKER-USER and FORWARD only to place or remove dockerfw's anchors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from operator import attrgetter
from typing import Final

from dockerfw.chains.anchors import anchor_work, wanted_anchors
from dockerfw.chains.compiled import CompiledRules, compile_rules
from dockerfw.chains.forwarding import add_own_jumps
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    FILTERS_BLOCK,
    FILTERS_CONTAINERS,
    FILTERS_HOST,
    FORWARD,
    Label,
    body,
    own_chains,
    own_rules,
    sort_chains,
)
from dockerfw.chains.new_connections import stamp_times
from dockerfw.chains.pairing import carried_counters
from dockerfw.chains.rendered_rules import Rendering, read_rendering
from dockerfw.chains.set_matches import bridges_line, earlier_line, matches_own_set
from dockerfw.document.document import digest
from dockerfw.document.values import Document, DocumentRule, Group, Settings
from dockerfw.iptables.model import Family, Ruleset

ESTABLISHED: Final = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
_TO_FILTERS: Final = f"-j {FILTERS}"
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

_FOR_PEOPLE: Final = frozenset({"comment", "owner", "ticket", "tags"})
_read_rule = attrgetter(*(each.name for each in fields(DocumentRule) if each.name not in _FOR_PEOPLE))
_NO_LABEL: Final = f'-m comment --comment "{Label(0, "0" * 12)}"'


@dataclass(frozen=True, slots=True)
class _KernelRules:
    """Enabled rules, equal to others that differ only in what is for people: these are compiled once."""

    rules: tuple[DocumentRule, ...] = field(compare=False, repr=False)
    key: tuple[tuple[object, ...], ...]

    @classmethod
    def of(cls, document: Document) -> _KernelRules:
        rules = tuple(rule for rule in document.rules if rule.enabled)
        return cls(rules, tuple(map(_read_rule, rules)))


def render_restore(
    document: Document,
    family: Family,
    *,
    live: Ruleset | None = None,
    revision: int = 0,
    counters: bool = False,
    containers: bool = False,
    moment: str = "",
    limits: Thresholds = USUAL,
) -> str:
    """Return the restore text of a document for one family; the sets of its rendering are loaded before.

    `live` is the host's ruleset, read just before; None is a host with Docker's chains and no dockerfw rules.
    `counters` writes `[packets:bytes]` before each rule, those of the same rule in `live` (for `-c`).
    `containers` is True if container networks have addresses of the family. `moment` is the time of the
    apply, such as `2027-01-31T18:00:00Z`: a rule that expires starts then. `limits` are `WITHOUT_IP_SET` for
    a host that cannot have ipsets.
    """
    rendering = render(document, family, revision, live=live, moment=moment, limits=limits)
    return write_restore(rendering, family, live=live, counters=counters, containers=containers)


def render(
    document: Document,
    family: Family,
    revision: int = 0,
    *,
    live: Ruleset | None = None,
    moment: str = "",
    limits: Thresholds = USUAL,
) -> Rendering:
    """Return the rules, jumps and sets that make a document true for one family.

    `live` and `moment` tell when a rule that expires starts, see `render_restore`.
    """
    found = render_cached(document, family, revision, limits)
    return replace(found, chains=stamp_times(found.chains, family, live, moment))


def earlier_rendering(
    document: Document,
    family: Family,
    revision: int = 0,
    *,
    live: Ruleset | None = None,
    limits: Thresholds = USUAL,
) -> Rendering:
    """Return what a release that kept no copy of its rules loaded for a document.

    It lacks the lines that were added since, except those that `live` has.
    """
    found = render(document, family, revision, live=live, limits=limits)
    held = {body(rule) for rule in own_rules(live, FILTERS_CONTAINERS)}
    lines = found.chains[FILTERS_CONTAINERS]
    kept = tuple(line for line in lines if line != DIALLED_TO_LOOPBACK[family] or line in held)
    host = found.chains[FILTERS_HOST]
    if not any(matches_own_set(rule.text) for rule in own_rules(live, FILTERS_HOST)):
        host = tuple(earlier for line in host if (earlier := earlier_line(line, family)) is not None)
    return replace(found, chains={**found.chains, FILTERS_CONTAINERS: kept, FILTERS_HOST: host})


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
    stale = [name for name in own_chains(live) if name not in chains]
    lines = ["*filter", *(f":{name} - [0:0]" for name in sort_chains((*chains, *stale)))]
    if work.creates_docker_user:
        lines.append(f"-N {DOCKER_USER}")
    lines += [f"-D {rule.text[3:]}" for rule in work.delete]
    hits = carried_counters(chains, live, family) if counters else {}
    for chain in written_order(chains):
        if counters:
            pairs = zip(hits[chain], chains[chain], strict=True)
            lines += [f"{hit} -A {chain} {line}" for hit, line in pairs]
        else:
            lines += [f"-A {chain} {line}" for line in chains[chain]]
    prefix = "[0:0] " if counters else ""
    lines += [f"{prefix}-I {chain} 1 {text}" for chain, text in work.insert]
    called = {rule.target.name for rule in work.jumps if rule.target is not None}
    # A chain that another rule calls cannot be removed, and stays empty.
    lines += [f"-X {name}" for name in stale if name not in called]
    return "\n".join([*lines, "COMMIT", ""])


def written_order(chains: Iterable[str]) -> tuple[str, ...]:
    """Return names of chains in the order in which texts and pages show them: as packets pass them."""
    names = sort_chains(chains)
    first = [name for name in (FILTERS_HOST, FILTERS_CONTAINERS, FILTERS_BLOCK, FILTERS) if name in names]
    return (*first, *(name for name in names if name not in first))


def wanted_chains(document: Document, family: Family, revision: int = 0) -> Mapping[str, tuple[str, ...]]:
    """Return the rules of dockerfw's chains in order, each without `-A CHAIN`; none starts at an apply."""
    return render_cached(document, family, revision).chains


def render_cached(document: Document, family: Family, revision: int, limits: Thresholds = USUAL) -> Rendering:
    """Return the rendering of a document, in which no rule starts at an apply.

    It is compiled once, whatever revision its label names: that takes seconds for 100,000 sources.
    """
    found = render_compiled(document, family, limits)
    if not revision:
        return found
    return replace(found, chains=_relabelled(found.chains, _label(document, 0), _label(document, revision)))


@lru_cache(maxsize=4)
def render_compiled(document: Document, family: Family, limits: Thresholds) -> Rendering:
    """Return the rendering of a document that was never a revision."""
    return render_rules(document, family, limits=limits)


def _relabelled(chains: Mapping[str, tuple[str, ...]], former: str, label: str) -> dict[str, tuple[str, ...]]:
    """Return chains with another label in the last line of those that have one."""
    return {
        name: (*lines[:-1], lines[-1].replace(former, label, 1)) if lines and former in lines[-1] else lines
        for name, lines in chains.items()
    }


def _label(document: Document, revision: int) -> str:
    """Return the match with the revision's label, which begins the last line of a chain."""
    return f'-m comment --comment "{Label(revision, digest(document)[:12])}"'


def render_rules(
    document: Document, family: Family, revision: int = 0, limits: Thresholds = USUAL
) -> Rendering:
    """Return the rules, jumps and sets of a document; `limits` are the sizes at which their form changes."""
    settings = document.settings
    label = _label(document, revision)
    found = _compile(_KernelRules.of(document), document.groups, family, _refusal(settings, family), limits)
    allowances = _relabelled(found.allowances, _NO_LABEL, label)
    blocking = (f"-j {FILTERS_BLOCK}",) if FILTERS_BLOCK in found.chains else ()
    blocks = {chain: (*blocking, *lines) for chain, lines in found.blocks.items()}
    chains = {
        FILTERS: allowances[FILTERS],
        FILTERS_CONTAINERS: (
            ESTABLISHED,
            DIALLED_TO_LOOPBACK[family],
            *blocks[FILTERS_CONTAINERS],
            *allowances[FILTERS_CONTAINERS],
        ),
        FILTERS_HOST: (
            *(f"-i {name} -j RETURN" for name in settings.trusted_interfaces),
            *((bridges_line(family),) if settings.containers_reach_host == "allow" else ()),
            ESTABLISHED,
            *_icmp_lines(settings, family, blocks[FILTERS_HOST]),
            *allowances[FILTERS_HOST],
        ),
        **_relabelled(found.chains, _NO_LABEL, label),
    }
    return Rendering(chains, wanted_anchors(settings), found.sets)


@lru_cache(maxsize=4)
def _compile(
    rules: _KernelRules, groups: tuple[Group, ...], family: Family, refusal: str, limits: Thresholds
) -> CompiledRules:
    """Compile rules with a label that names no document."""
    return compile_rules(rules.rules, groups, family, (f"{_NO_LABEL} {refusal}",), _NO_LABEL, limits)


def rule_lines(
    rule: DocumentRule, family: Family, groups: Sequence[Group] = ()
) -> Mapping[str, tuple[str, ...]]:
    """Return the lines of one rule alone by chain, each without `-A CHAIN`; none for another family."""
    if not rule.enabled:
        return {}
    found = compile_rules((rule,), groups, family, (), "")
    lines: dict[str, tuple[str, ...]] = {name: found.chains.get(name, ()) for name in (FILTERS_BLOCK,)}
    for chain, allowances in found.allowances.items():
        lines[chain] = tuple(
            line for line in (*found.blocks.get(chain, ()), *allowances) if line != _TO_FILTERS
        )
    return {chain: lines[chain] for chain in sort_chains(lines) if lines[chain]}


def _icmp_lines(settings: Settings, family: Family, blocks: Sequence[str]) -> list[str]:
    """Return the lines for icmp, with the blocks where they belong: after what IPv6 cannot do without."""
    if family == 4:
        return [*blocks, *(["-p icmp -j RETURN"] if settings.icmp == "accept" else [])]
    every = ["-p ipv6-icmp -j RETURN"] if settings.icmp == "accept" else []
    if every and not blocks:
        return [*every, DHCPV6_REPLIES]
    vital = [f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -j RETURN" for number in IPV6_VITAL_TYPES]
    return [*vital, DHCPV6_REPLIES, *blocks, *every]


def _refusal(settings: Settings, family: Family) -> str:
    if settings.refuse == "drop":
        return "-j DROP"
    reason = "icmp-host-prohibited" if family == 4 else "icmp6-adm-prohibited"
    return f"-j REJECT --reject-with {reason}"

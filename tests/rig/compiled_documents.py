"""Random documents that use every key of a rule, and large ones, for tests of the compiler."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dockerfw.chains.group_sets import bound_group_set
from dockerfw.chains.match_groups import Thresholds
from dockerfw.chains.render import render_rules
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.document.values import Document, DocumentRule, Group, Scope, Settings, rule_order
from dockerfw.iptables.model import Family

PLAIN = Thresholds(lines=10**9, row=10**9, limited_row=10**9)
"""Every rule is lines, and nothing is dispatched: what the compiled rules are compared with."""
SMALL = Thresholds(lines=1, row=2, limited_row=2, fan_out=2, sets=2, chained=4, inline=1)
"""Every form appears in a document of a few rules."""

NETWORKS = (
    *("0.0.0.0/0", "203.0.113.5/32", "203.0.113.0/24", "203.0.113.0/28", "203.0.0.0/16", "198.51.100.7/32"),
    *("198.51.100.0/24", "192.0.2.0/24", "10.0.0.0/8", "2001:db8:9::5/128", "2001:db8:9::/64", "::/0"),
    *("2001:db8::/32", "2001:db8:7::/48"),
)
GROUPS = (
    Group("feed", "feed", url="https://lists.example/networks"),
    Group("home", "names", names=("home.example.org",)),
    Group("office", entries=("198.51.100.0/24", "203.0.113.64/26", "192.0.2.77/32", "2001:db8:7::/48")),
)
_MEMBERS: Mapping[Family, Mapping[str, tuple[str, ...]]] = {
    4: {"feed": ("8.8.8.0/24", "203.0.113.200"), "home": ("10.1.1.1",)},
    6: {"feed": ("2a00::/16",), "home": ("2001:db8:9::6",)},
}
BOUND: Mapping[Family, Mapping[str, tuple[str, ...]]] = {
    family: {bound_group_set(group, family): members[group.name] for group in GROUPS if group.name in members}
    for family, members in _MEMBERS.items()
}
"""The members of the sets of the groups that are bound, by name."""
PORTS = ("22", "80", "80-90", "81", "443", "8000-8100", "8050-9000", "1-65535", "1024-65535", "8443", "53")

TOWARDS = (
    *("192.0.2.1/32", "192.0.2.0/24", "192.0.2.0/31", "192.0.0.0/16", "172.17.0.9/32", "172.17.0.2/32"),
    *("172.17.0.0/28", "172.16.0.0/12", "10.1.2.3/32", "10.1.0.0/16", "203.0.113.7/32", "198.51.100.0/25"),
    *(f"172.17.{third}.{last}/32" for third in (0, 1, 7) for last in range(7)),
    *("2001:db8::1/128", "2001:db8::/64", "2001:db8::/32", "fd00:17::9/128", "fd00:17::2/128", "fd00::/8"),
    *(f"fd00:17::{last}/128" for last in range(10, 30)),
)
"""Destinations of which some contain others."""


def rule(identifier: str, scope: Scope, sources: Sequence[str] = (), **keys: Any) -> DocumentRule:
    """Make a rule; ports may be one text."""
    ports = keys.pop("ports", ())
    return DocumentRule(
        identifier, scope, tuple(sources), ports=(ports,) if isinstance(ports, str) else tuple(ports), **keys
    )


def document(rules: Iterable[DocumentRule], groups: Iterable[Group] = (), **settings: Any) -> Document:
    """Make a document for eth0 with rules in their order."""
    ordered = tuple(sorted(rules, key=rule_order))
    return Document(Settings(("eth0",), **settings), ordered, groups=tuple(groups))


def random_rule(dice: random.Random, number: int, *, times: bool = False) -> DocumentRule:
    """Make a rule with any keys that go together."""
    scopes: tuple[Scope, ...] = ("host", "host", "both", "both", "container", "container", "forwarded")
    scope = dice.choice(scopes)
    protocol = dice.choice(("tcp", "tcp", "tcp", "udp", "sctp", "dccp", "icmp", "any", "any", "gre"))
    keys: dict[str, Any] = {"protocol": protocol}
    if protocol in ("tcp", "udp", "sctp", "dccp"):
        keys["ports"] = tuple(dict.fromkeys(dice.choices(PORTS, k=dice.choice((0, 1, 1, 2, 3)))))
        if keys["ports"] and scope != "host" and dice.random() < 0.3:
            keys["port_kind"] = "container"
    if scope == "forwarded":
        keys["to"] = dice.choice(("172.17.0.0/16", "172.17.0.9/32", "fd00:17::/64"))
    elif dice.random() < 0.15:
        keys["to"] = dice.choice(("192.0.2.1/32", "192.0.2.0/24", "2001:db8::1/128"))
    if dice.random() < 0.15:
        keys["interface"] = "eth0"
    if dice.random() < 0.2:
        keys["action"] = "block"
    elif dice.random() < 0.2:
        keys["limit"] = dice.choice(("6/minute", "5/second", "60/hour", "1/hour", "99999/hour", "7/minute"))
    if times and dice.random() < 0.3:
        keys["expires"] = dice.choice(
            ("2027-01-31T18:00:00Z", "2038-01-19T03:14:07Z", "2026-01-01T00:00:00Z")
        )
    if times and dice.random() < 0.2:
        keys["starts"] = dice.choice(("2026-12-24T00:00:00Z", "2027-02-01T00:00:00Z"))
    count = dice.choice((0, 1, 1, 1, 2, 5, 9))
    sources = dice.sample((*NETWORKS, "@office", "@feed", "@home"), count)
    to = keys.get("to", "")
    if to:
        sources = [each for each in sources if each[0] == "@" or (":" in each) == (":" in to)]
    return rule(f"r{number:04}", scope, sources, **keys)


def random_document(dice: random.Random, size: int, *, times: bool = False) -> Document:
    """Make a document of about `size` rules, many of which match the same but for their sources."""
    rules: list[DocumentRule] = []
    while len(rules) < size:
        first = random_rule(dice, len(rules), times=times)
        rules.append(first)
        if first.ports and dice.random() < 0.15:
            rules += _towards(dice, first, len(rules))
        for _ in range(dice.choice((0, 0, 1, 5))):
            other = random_rule(dice, len(rules), times=times)
            if not (first.to or other.to):
                rules.append(replace(first, id=other.id, sources=other.sources))
    return document(
        rules,
        GROUPS,
        icmp=dice.choice(("accept", "refuse")),
        refuse=dice.choice(("reject", "drop")),
        containers_reach_host=dice.choice(("by-rules", "allow")),
    )


def _towards(dice: random.Random, first: DocumentRule, number: int) -> Iterator[DocumentRule]:
    """Yield rules that differ from a first one in their destinations, and in their sources of that family."""
    for at in range(dice.choice((4, 12, 40))):
        to = dice.choice(TOWARDS)
        # With a destination, /0 is the same as anyone.
        family = [each for each in NETWORKS if (":" in each) == (":" in to) and not each.endswith("/0")]
        sources = tuple(dice.sample((*family, "@feed"), dice.choice((0, 1, 5))))
        yield replace(first, id=f"r{number + at:04}", to=to, sources=sources)


def compiled(wanted: Document, family: Family, limits: Thresholds) -> Rendering:
    """Compile a document with other thresholds."""
    return render_rules(wanted, family, 3, limits)

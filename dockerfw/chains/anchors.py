"""The anchors: the jumps in INPUT, DOCKER-USER and, where it is needed, FORWARD that call dockerfw's chains.

Compares a live filter table with the settings and lists the anchors to insert, move or remove, and the lines
that the article's iptables.conf left behind. Only lines that dockerfw or the article wrote are listed, by
their exact shapes. All other rules stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    FILTERS_CONTAINERS,
    FORWARD,
    HOST_ANCHOR,
    INPUT,
    PANIC_ANCHOR,
    body,
    container_anchor,
    is_own_chain,
)
from dockerfw.document.values import Settings
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.model import Rule, Ruleset

_ARTICLE_INPUT: Final = frozenset(
    canonical_text(f"-A {INPUT} {text}", family)
    for text, family in (
        ("-i lo -j ACCEPT", 4),
        ("-p icmp -j ACCEPT", 4),
        ("-p icmp -m icmp --icmp-type any -j ACCEPT", 4),
        ("-i lo -j ACCEPT", 6),
        ("-p ipv6-icmp -j ACCEPT", 6),
    )
)


_LOGS: Final = frozenset(("LOG", "NFLOG", "ULOG"))
CALLING_CHAINS: Final = (INPUT, FORWARD, DOCKER_USER)
"""The chains that may hold anchors."""

AnchorPlace = Literal["first", "not first", "missing"]


@dataclass(frozen=True, slots=True)
class AnchorChange:
    """One anchor to insert, to move to the top, or to remove; `text` is the rule without `-A CHAIN`."""

    action: Literal["insert", "move", "remove"]
    chain: str
    text: str


@dataclass(frozen=True, slots=True)
class AnchorWork:
    """The changes that a load makes outside dockerfw's chains.

    `delete` are live rules to delete, once each; `insert` are (chain, rule) to insert at 1, in order;
    `adopted` are those of `delete` that come from the article's file; `jumps` are other rules that jump to
    dockerfw's chains and stay.
    """

    creates_docker_user: bool
    delete: tuple[Rule, ...]
    insert: tuple[tuple[str, str], ...]
    changes: tuple[AnchorChange, ...]
    adopted: tuple[Rule, ...]
    jumps: tuple[Rule, ...]


def wanted_anchors(settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """Return the anchors by chain, without `-A CHAIN`, in the order in which a fresh load leaves them.

    They are those of any host. `add_own_jumps` of forwarding.py adds those of a live family.
    """
    containers = tuple(container_anchor(name) for name in settings.external_interfaces)
    return {INPUT: (HOST_ANCHOR,), DOCKER_USER: containers}


def anchor_work(wanted: Mapping[str, tuple[str, ...]], live: Ruleset | None) -> AnchorWork:
    """Compare live anchors with the wanted ones; None is a host with DOCKER-USER and no dockerfw rules."""
    adopted = (*_article_input(_rules(live, INPUT)), *_article_jumps(_rules(live, DOCKER_USER)))
    delete: list[Rule] = []
    insert: list[tuple[str, str]] = []
    changes: list[AnchorChange] = []
    for chain, anchors in {**wanted, FORWARD: wanted.get(FORWARD, ())}.items():
        rules = _rules(live, chain)
        stale = [rule for rule in rules if is_anchor(rule) and body(rule) not in anchors]
        gone = [*stale, *(rule for rule in adopted if rule.chain == chain)]
        misplaced = _misplaced(rules, anchors, gone)
        copies = [rule for rule in rules if body(rule) in misplaced]
        present = {body(rule) for rule in copies}
        delete += [*gone, *copies]
        insert += [(chain, text) for text in reversed(anchors) if text in misplaced]
        changes += [AnchorChange("remove", chain, body(rule)) for rule in stale]
        changes += [
            AnchorChange("move" if text in present else "insert", chain, text)
            for text in anchors
            if text in misplaced
        ]
    has_docker_user = live is None or live.chain("filter", DOCKER_USER) is not None
    creates = bool(wanted[DOCKER_USER]) and not has_docker_user
    return AnchorWork(creates, tuple(delete), tuple(insert), tuple(changes), adopted, _jumps(live, delete))


def only_counts_or_logs(rule: Rule) -> bool:
    """Return True if the rule decides about no packet, so that it may stand before an anchor."""
    return rule.target is None or rule.target.name in _LOGS


def first_foreign(rules: Sequence[Rule], anchors: Sequence[str]) -> Rule | None:
    """Return the first other rule that decides, if it comes before one of the anchors that are present."""
    found: Rule | None = None
    for rule in rules:
        if body(rule) in anchors:
            if found is not None:
                return found
        elif found is None and not only_counts_or_logs(rule):
            found = rule
    return None


def anchored_interfaces(live: Ruleset) -> list[str]:
    """Return the interfaces that have an anchor in DOCKER-USER, at any place."""
    chain = live.chain("filter", DOCKER_USER)
    found = (rule.text.split() for rule in (chain.rules if chain else ()))
    names = [
        words[3] for words in found if len(words) == 6 and words[2] == "-i" and words[5] == FILTERS_CONTAINERS
    ]
    return sorted(set(names))


def anchor_place(live: Ruleset, chain: str, text: str) -> AnchorPlace:
    """Return where an anchor is; before it, anchors of other interfaces and logging do not count."""
    found = live.chain("filter", chain)
    for rule in found.rules if found else ():
        if body(rule) == text:
            return "first"
        if only_counts_or_logs(rule):
            continue
        if body(rule) != PANIC_ANCHOR and not body(rule).endswith(f" -j {FILTERS_CONTAINERS}"):
            break
    present = found is not None and any(body(rule) == text for rule in found.rules)
    return "not first" if present else "missing"


def _rules(live: Ruleset | None, chain: str) -> tuple[Rule, ...]:
    found = live.chain("filter", chain) if live is not None else None
    return found.rules if found is not None else ()


def is_anchor(rule: Rule) -> bool:
    """Return True if a rule has exactly the shape of an anchor, for any interface."""
    words = rule.text.split()
    if rule.chain == INPUT:
        return body(rule) == HOST_ANCHOR
    return len(words) == 6 and words[2] == "-i" and words[4:] == ["-j", FILTERS_CONTAINERS]


def _misplaced(rules: Sequence[Rule], anchors: Sequence[str], gone: Sequence[Rule]) -> set[str]:
    """Return the anchors that are missing, duplicated, or after a rule that stays and decides."""
    copies = Counter(body(rule) for rule in rules)
    removed = {id(rule) for rule in gone}
    in_place: set[str] = set()
    for rule in rules:
        text = body(rule)
        # An anchor may come after the panic jump: panic refuses what dockerfw's chains allow.
        if id(rule) in removed or text == PANIC_ANCHOR or (text in anchors and copies[text] > 1):
            continue
        if text not in anchors:
            if only_counts_or_logs(rule):
                continue
            break
        in_place.add(text)
    return set(anchors) - in_place


def _article_input(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Find `-j FILTERS` in INPUT, also for one interface, and the loopback and icmp lines right above it."""
    jumps = [index for index, rule in enumerate(rules) if adopted_interface(rule) is not None]
    if not jumps:
        return ()
    start = jumps[0]
    while start and _is_article_line(rules[start - 1]):
        start -= 1
    return (*rules[start : jumps[0]], *(rules[index] for index in jumps))


def _is_article_line(rule: Rule) -> bool:
    return rule.text.endswith("-j ACCEPT") and (
        canonical_text(rule.text, 4) in _ARTICLE_INPUT or canonical_text(rule.text, 6) in _ARTICLE_INPUT
    )


def _article_jumps(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Find `-i INTERFACE -j FILTERS`, or the jump for all interfaces, in DOCKER-USER."""
    return tuple(rule for rule in rules if adopted_interface(rule) is not None)


def adopted_interface(rule: Rule) -> str | None:
    """Return the interface of a jump to FILTERS that can be adopted, empty for all; None for other rules.

    A jump with any other condition is left to its author. A comment is no condition.
    """
    if FILTERS not in rule.text or rule.target is None or rule.target.name != FILTERS or rule.target.goto:
        return None
    found = ""
    for match in rule.matches:
        for option in match.options if match.module != "comment" else ():
            if match.module is not None or option.name != "-i" or option.negated:
                return None
            found = option.values[0]
    return found


def _jumps(live: Ruleset | None, delete: Sequence[Rule]) -> tuple[Rule, ...]:
    """Find other rules that jump to dockerfw's chains: with more conditions, or from other chains."""
    if live is None or "filter" not in live.tables:
        return ()
    deleted = {id(rule) for rule in delete}
    return tuple(
        rule
        for chain in live.tables["filter"].chains.values()
        if not is_own_chain(chain.name)
        for rule in chain.rules
        if FILTERS in rule.text
        and id(rule) not in deleted
        and not (chain.name in CALLING_CHAINS and is_anchor(rule))
        and rule.target is not None
        and is_own_chain(rule.target.name)
    )

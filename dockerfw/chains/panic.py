"""The restore texts of panic and release, and the texts that undo them.

Panic is a chain of its own, called first from INPUT, FORWARD and DOCKER-USER. The loaded revision stays and
is active again when the chain is removed. Release removes every jump to dockerfw's chains and leaves the
chains. Each text is for one family and one `iptables-restore -n`, which loads it as a whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dockerfw.chains.anchors import CALLING_CHAINS, is_anchor
from dockerfw.chains.names import DOCKER_USER, FORWARD, INPUT, PANIC, PANIC_ANCHOR, body, is_own_chain
from dockerfw.chains.render import IPV6_VITAL_TYPES
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.simulation.addresses import Network

_REFUSAL = '-m comment --comment "dockerfw panic" -j DROP'


def render_panic(family: Family, live: Ruleset, allowed: Sequence[Network]) -> str:
    """Return text that refuses everything except loopback and these addresses, forwarded both ways.

    For IPv6 it allows the messages without which the allowed addresses could not be reached.
    """
    lines = [f":{PANIC} - [0:0]", *_deletions(live, PANIC_ANCHOR)]
    lines += [f"-A {PANIC} {text}" for text in _panic_rules(family, allowed)]
    present = [chain for chain in CALLING_CHAINS if chain != DOCKER_USER or live.chain("filter", chain)]
    lines += [f"-I {chain} 1 {PANIC_ANCHOR}" for chain in present]
    return _text(lines)


def render_panic_end(live: Ruleset) -> str:
    """Return text that ends a panic; empty without a panic."""
    if live.chain("filter", PANIC) is None:
        return ""
    return _text([f":{PANIC} - [0:0]", *_deletions(live, PANIC_ANCHOR), f"-X {PANIC}"])


def render_release(live: Ruleset) -> str:
    """Return text that removes every anchor and a panic; empty without any."""
    calls = [f"-D {rule.text[3:]}" for _, rule in find_anchors(live)]
    if live.chain("filter", PANIC) is None:
        return _text(calls) if calls else ""
    return _text([f":{PANIC} - [0:0]", *calls, f"-X {PANIC}"])


def render_panic_undo(before: Ruleset, now: Ruleset) -> str:
    """Return text that restores the anchors and the panic of `before`; other rules stay."""
    previous = before.chain("filter", PANIC)
    there = previous is not None or now.chain("filter", PANIC) is not None
    lines = [f":{PANIC} - [0:0]"] if there else []
    lines += [f"-D {rule.text[3:]}" for _, rule in find_anchors(now)]
    if previous is not None:
        lines += [rule.text for rule in previous.rules]
    elif there:
        lines.append(f"-X {PANIC}")
    lines += [f"-I {rule.chain} {place} {body(rule)}" for place, rule in find_anchors(before)]
    return _text(lines) if lines else ""


def find_anchors(live: Ruleset) -> list[tuple[int, Rule]]:
    """Return dockerfw's jumps to its chains, each with its place in its chain, which counts from 1."""
    table = live.tables.get("filter")
    return [
        (place, rule)
        for chain in (table.chains.values() if table else ())
        for place, rule in enumerate(chain.rules, 1)
        if body(rule) == PANIC_ANCHOR or (chain.name in CALLING_CHAINS and is_anchor(rule))
    ]


def find_revision_anchors(live: Ruleset) -> list[tuple[int, Rule]]:
    """Return the anchors of a revision with the places that they have without a panic."""
    found: list[tuple[int, Rule]] = []
    skipped: Counter[str] = Counter()
    for place, rule in find_anchors(live):
        if body(rule) == PANIC_ANCHOR:
            skipped[rule.chain] += 1
        else:
            found.append((place - skipped[rule.chain], rule))
    return found


def find_foreign_calls(live: Ruleset) -> list[Rule]:
    """Return other rules that jump to dockerfw's chains: release leaves them, and they still refuse."""
    own = {id(rule) for _, rule in find_anchors(live)}
    table = live.tables.get("filter")
    return [
        rule
        for chain in (table.chains.values() if table else ())
        if not is_own_chain(chain.name)
        for rule in chain.rules
        if id(rule) not in own and rule.target is not None and is_own_chain(rule.target.name)
    ]


def is_panic_on(live: Ruleset) -> bool:
    """Return True if a panic is on: the chain exists, and INPUT and FORWARD call it first."""
    first = [chain.rules[:1] for name in (INPUT, FORWARD) if (chain := live.chain("filter", name))]
    called = len(first) == 2 and all(rules and body(rules[0]) == PANIC_ANCHOR for rules in first)
    return called and live.chain("filter", PANIC) is not None


def _panic_rules(family: Family, allowed: Sequence[Network]) -> Iterator[str]:
    yield "-i lo -j RETURN"
    if family == 6:
        for number in IPV6_VITAL_TYPES:
            yield f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -j RETURN"
    for network in allowed:
        if network.version == family:
            yield f"-s {network} -j RETURN"
            # The replies of containers, which are forwarded.
            yield f"-d {network} -j RETURN"
    yield _REFUSAL


def _deletions(live: Ruleset, anchor: str) -> list[str]:
    return [f"-D {rule.text[3:]}" for _, rule in find_anchors(live) if body(rule) == anchor]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(["*filter", *lines, "COMMIT", ""])

"""Pairs of wanted lines and live rules of one of dockerfw's chains.

Lines are paired by text first, which is fast and nearly always enough, then by canonical form. Both ignore
the revision's label in the comment of the last rule.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockerfw.chains.names import body, own_chains, own_rules, rule_id_of, without_label
from dockerfw.chains.static_sets import without_static_set
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.model import Counters, Family, Rule, Ruleset


@dataclass(frozen=True, slots=True)
class Pairing:
    """`live[i]` is the live rule for wanted line i, or None; `rest` are live rules without a wanted line."""

    live: tuple[Rule | None, ...]
    rest: tuple[Rule, ...]

    @property
    def in_order(self) -> bool:
        """True if the paired live rules are in the order of the wanted lines."""
        lines = [rule.line for rule in self.live if rule is not None]
        return lines == sorted(lines)


def pair_lines(chain: str, wanted: Sequence[str], live: Sequence[Rule], family: Family) -> Pairing:
    """Pair wanted lines (without `-A CHAIN`) with live rules of one chain, each rule once."""
    prefix = f"-A {chain} "
    texts = [prefix + line for line in wanted]
    held = [rule.text for rule in live]
    if held == texts:
        # As nearly always, with the same label.
        return Pairing(tuple(live), ())
    texts, held = list(map(without_label, texts)), list(map(without_label, held))
    if held == texts:
        return Pairing(tuple(live), ())
    by_text: dict[str, list[Rule]] = defaultdict(list)
    # Of lines that are the same, the first is taken first.
    for text, rule in zip(reversed(held), reversed(live), strict=True):
        by_text[text].append(rule)
    pairs: list[Rule | None] = [by_text[text].pop() if by_text.get(text) else None for text in texts]
    missing = [index for index, rule in enumerate(pairs) if rule is None]
    left = {id(rule) for rules in by_text.values() for rule in rules}
    if missing and left:
        # Comments are part of the canonical form, so only lines with the same rule id can be the same.
        ids = {rule_id_of(texts[index]) for index in missing}
        by_form: dict[str, deque[Rule]] = defaultdict(deque)
        for rule in live:
            if id(rule) in left and rule_id_of(rule.text) in ids:
                by_form[canonical_text(without_label(rule.text), family)].append(rule)
        ids = {rule_id_of(rule.text) for rules in by_form.values() for rule in rules}
        for index in missing:
            if rule_id_of(texts[index]) not in ids:
                continue
            candidates = by_form.get(canonical_text(texts[index], family))
            if candidates:
                pairs[index] = candidates.popleft()
                left.discard(id(pairs[index]))
    return Pairing(tuple(pairs), tuple(rule for rule in live if id(rule) in left))


def pair_chains(
    chains: Mapping[str, Sequence[str]], live: Ruleset | None, family: Family
) -> dict[str, Pairing]:
    """Pair the lines of each wanted chain with its live rules; a chain that is not wanted has only `rest`."""
    names = dict.fromkeys((*chains, *own_chains(live)))
    return {name: pair_lines(name, chains.get(name, ()), own_rules(live, name), family) for name in names}


def carried_counters(
    chains: Mapping[str, Sequence[str]], live: Ruleset | None, family: Family
) -> dict[str, list[Counters]]:
    """Return the counters of each wanted line: those of its live rule, or of the same rule elsewhere.

    A line can move to another chain as a document grows, or match another set as its sources change. It keeps
    its counters if it has the id of a rule.
    """
    pairings = pair_chains(chains, live, family)
    moved: dict[str, deque[Rule]] = defaultdict(deque)
    for left in (left for pairing in pairings.values() for left in pairing.rest):
        if rule_id_of(left.text) is not None:
            moved[without_static_set(body(left))].append(left)
    found: dict[str, list[Counters]] = {}
    for chain, lines in chains.items():
        found[chain] = []
        for line, paired in zip(lines, pairings[chain].live, strict=True):
            place = without_static_set(line) if paired is None else ""
            rule = paired or (moved[place].popleft() if moved.get(place) else None)
            found[chain].append(rule.counters if rule and rule.counters else Counters(0, 0))
    return found

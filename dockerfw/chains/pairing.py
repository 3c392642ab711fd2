"""Pairs of wanted lines and live rules of one of dockerfw's chains.

Lines are paired by text first, which is fast and nearly always enough, then by canonical form. Both ignore
the revision's label in the comment of the last rule.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from dockerfw.chains.names import rule_id_of, without_label
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.model import Family, Rule


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
    by_text: dict[str, deque[Rule]] = defaultdict(deque)
    for rule in live:
        by_text[without_label(rule.text)].append(rule)
    texts = [without_label(f"-A {chain} {line}") for line in wanted]
    pairs: list[Rule | None] = [by_text[text].popleft() if by_text.get(text) else None for text in texts]
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

"""Which rules have no counter of their own: the kernel counts their packets at the line of an earlier rule.

Rules with the same match share a line over a set, and of two equal lines only the first is ever reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from dockerfw.chains.compiled import grouped_phases
from dockerfw.chains.match_groups import USUAL, MatchGroup, Thresholds
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES


@lru_cache(maxsize=4)
def counted_with(document: Document, limits: Thresholds = USUAL) -> Mapping[str, tuple[str, ...]]:
    """Return by rule id the ids of the earlier rules whose lines count some of its packets, or all.

    `limits` are `WITHOUT_IP_SET` for a host without ipsets, where rules share the lines of equal sources.
    """
    found: dict[str, dict[str, None]] = {}
    for family in FAMILIES:
        for groups in grouped_phases(document, family, limits):
            for group in groups:
                for rule_id, first in _shared(group):
                    found.setdefault(rule_id, {})[first] = None
    return {rule_id: tuple(firsts) for rule_id, firsts in found.items()}


def _shared(group: MatchGroup) -> Iterator[tuple[str, str]]:
    """Yield a rule of a group and the rule before that has the same source, or all of them."""
    firsts: dict[str, str] = {}
    everyone = ""
    for place, entry in enumerate(group.entries):
        sources = entry.sources
        # An element of a set counts for each of its rules, and only a first line for anyone comes before it.
        by_element = group.form == "set" and (place == 0 or not group.entries[0].sources.anyone)
        named = (*sources.bound, *(() if by_element else sources.networks))
        if everyone and (sources.anyone or named):
            yield entry.rule_id, everyone
            continue
        for source in named:
            if (first := firsts.setdefault(source, entry.rule_id)) != entry.rule_id:
                yield entry.rule_id, first
        if sources.anyone:
            everyone = entry.rule_id

"""The filter table that a load of a document would leave behind."""

from __future__ import annotations

from collections.abc import Iterator

from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.render import render_restore
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.replay import parse_restore


def filter_after_load(
    live: Ruleset, document: Document, family: Family, limits: Thresholds = USUAL
) -> Ruleset:
    """Return the filter table after a load over live rules. Raises ParseError if it cannot be replayed."""
    load = render_restore(document, family, live=live, limits=limits)
    return parse_restore("\n".join((*_filter_lines(live), load)), family=family)


def _filter_lines(live: Ruleset) -> Iterator[str]:
    table = live.tables.get("filter")
    chains = table.chains.values() if table else ()
    yield "*filter"
    yield from (f":{chain.name} {chain.policy or '-'} [0:0]" for chain in chains)
    yield from (rule.text for chain in chains for rule in chain.rules)
    yield "COMMIT"

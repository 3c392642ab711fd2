"""Sort the rules of the table by a column of it, as the page's address names it: `hits`, `-hits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dockerfw.document.catalogue import service_name
from dockerfw.document.document import DocumentRule
from dockerfw.document.fields import port_range
from dockerfw.document.rule_fields import source_order
from rules.draft.rule_count_selectors import Count, RuleCounts
from rules.draft.rule_selectors import DraftedRule

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)


def sort_rules(rules: Sequence[DraftedRule], counts: RuleCounts, order: str) -> Sequence[DraftedRule]:
    """Return the rules in an order; an unknown one is the order in which they were added."""
    name, reverse = order.removeprefix("-"), order.startswith("-")
    if (of_rule := _OF_RULE.get(name)) is not None:
        return sorted(rules, key=lambda each: of_rule(each.rule), reverse=reverse)
    if (of_count := _OF_COUNT.get(name)) is not None:
        return sorted(rules, key=lambda each: of_count(counts.of_rule(each.rule.id)), reverse=reverse)
    return rules


def known_order(order: str) -> str:
    """Return the order if the table has it, else an empty text."""
    name = order.removeprefix("-")
    return order if name in _OF_RULE or name in _OF_COUNT else ""


def _name(rule: DocumentRule) -> Any:
    return (not rule.comment, rule.comment.casefold())


def _service(rule: DocumentRule) -> Any:
    first = port_range(rule.ports[0])[0] if rule.ports else 0
    return (service_name(rule.protocol, rule.ports).casefold() or "~", rule.protocol, first)


def _sources(rule: DocumentRule) -> Any:
    return (len(rule.sources), rule.sources and source_order(rule.sources[0]))


def _where(rule: DocumentRule) -> Any:
    return (rule.scope, rule.container, rule.to, rule.interface)


def _hits(count: Count) -> Any:
    return count.hits.packets if count.hits else -1


def _last_hit(count: Count) -> Any:
    return count.last_use.last if count.last_use and count.last_use.last else _BEFORE_ALL


_OF_RULE: Final[Mapping[str, Callable[[DocumentRule], Any]]] = {
    "on": lambda rule: not rule.enabled,
    "name": _name,
    "service": _service,
    "sources": _sources,
    "where": _where,
}
_OF_COUNT: Final[Mapping[str, Callable[[Count], Any]]] = {"hits": _hits, "last": _last_hit}

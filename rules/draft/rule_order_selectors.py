"""Sort the rules of the table by a column of it, as the page's address names it: `hits`, `-hits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dockerfw.document.catalogue import service_name
from dockerfw.document.fields import port_range
from dockerfw.document.rule_fields import source_order
from rules.draft.rule_selectors import RuleRow

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)


def sort_rows(rows: Sequence[RuleRow], order: str) -> Sequence[RuleRow]:
    """Return the rows in an order; an unknown one is the order in which they were added."""
    key = _KEYS.get(order.removeprefix("-"))
    if key is None:
        return rows
    return sorted(rows, key=key, reverse=order.startswith("-"))


def known_order(order: str) -> str:
    """Return the order if the table has it, else an empty text."""
    return order if order.removeprefix("-") in _KEYS else ""


def _name(row: RuleRow) -> Any:
    return (not row.rule.comment, row.rule.comment.casefold())


def _service(row: RuleRow) -> Any:
    rule = row.rule
    first = port_range(rule.ports[0])[0] if rule.ports else 0
    return (service_name(rule.protocol, rule.ports).casefold() or "~", rule.protocol, first)


def _sources(row: RuleRow) -> Any:
    return (len(row.rule.sources), row.rule.sources and source_order(row.rule.sources[0]))


def _where(row: RuleRow) -> Any:
    return (row.rule.scope, row.rule.container, row.rule.to, row.rule.interface)


def _hits(row: RuleRow) -> Any:
    return row.hits.packets if row.hits else -1


def _last_hit(row: RuleRow) -> Any:
    return row.last_use.last if row.last_use and row.last_use.last else _BEFORE_ALL


_KEYS: Final[Mapping[str, Callable[[RuleRow], Any]]] = {
    "on": lambda row: not row.rule.enabled,
    "name": _name,
    "service": _service,
    "sources": _sources,
    "where": _where,
    "hits": _hits,
    "last": _last_hit,
}

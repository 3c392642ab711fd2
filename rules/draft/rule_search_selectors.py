"""The words by which the rules page and the command line find rules.

    @office   rules with this group          port:22   rules that include the port
    tag:web   rules with this tag            block     blocks; allow: allowances
    unused    loaded, without any hit        unused:2026-10-01   certainly not used since
    expired   past their time; disabled: not enabled
    10.0.0.0/8   sources that lie in the network or cover it, also through groups

`owner:`, `ticket:`, `container:` and `interface:` look at one field. Any other word is looked for in all
texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from django.utils import timezone

from dockerfw.document.document import DocumentRule
from dockerfw.document.document import Group as DocumentGroup
from dockerfw.document.entries import Network, overlaps, read_network
from dockerfw.document.rule_fields import group_of, source_order
from dockerfw.document.rule_ports import includes_port
from dockerfw.iptables.model import Counters
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS
from dockerfw.messages.snapshot_values import LastUse

_FIELDS: Final = ("owner", "ticket", "container", "interface")


@dataclass(frozen=True, slots=True)
class Searched:
    """What is searched of one rule: the rule, its mark and description, its hits and last use.

    Hits and last use are None where they are not known.
    """

    rule: DocumentRule
    mark: str
    description: str
    hits: Counters | None
    last_use: LastUse | None = None


Matches = Callable[[Searched], bool]


def rule_search(query: str, groups: Iterable[DocumentGroup]) -> Matches:
    """Return the function that tells whether a rule matches every word of a search."""
    by_name = {f"@{group.name}": group for group in groups}
    tests = [_test_of(word, by_name) for word in query.casefold().split()]
    return lambda row: all(test(row) for test in tests)


def search_problem(query: str) -> str:
    """Return what is wrong with a word that names no port or day, where "no rule" would mislead; else ""."""
    for word in query.casefold().split():
        field, _, value = word.partition(":")
        if field == "port" and value and not _is_port(value):
            return f"{word}: {value} is not a port (1 to 65535)"
        if field == "unused" and value and _read_day(value) is None:
            return f"{word}: {value} is not a day. Use YYYY-MM-DD"
    return ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65_535


def _test_of(word: str, groups: Mapping[str, DocumentGroup]) -> Matches:
    field, colon, value = word.partition(":")
    if word in _WORDS:
        return _WORDS[word]
    if word.startswith("@"):
        return lambda row: any(source.startswith(word) for source in row.rule.sources)
    if colon and field == "tag":
        return lambda row: any(tag.startswith(value) for tag in row.rule.tags)
    if colon and field == "port" and _is_port(value):
        return lambda row: _has_port(row.rule, int(value))
    if colon and field == "unused" and (moment := _read_day(value)) is not None:
        return lambda row: row.rule.enabled and row.last_use is not None and row.last_use.unused_since(moment)
    if colon and field in _FIELDS:
        return lambda row: value in str(getattr(row.rule, field)).casefold()
    network = read_network(word)
    if network is None:
        return lambda row: word in _text(row)
    held = {name for name, group in groups.items() if overlaps(group.entries, network)}
    return lambda row: _has_network(row.rule.sources, network, held) or word in _text(row)


def _read_day(text: str) -> datetime | None:
    """Return the start of a day in UTC, such as 2026-10-01; None if the text is none."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        return None


def _has_port(rule: DocumentRule, port: int) -> bool:
    return rule.protocol in ("any", *PROTOCOLS_WITH_PORTS) and includes_port(rule, port)


def _has_network(sources: Sequence[str], network: Network, held: set[str]) -> bool:
    if any(source in held for source in sources):
        return True
    own = sorted((source for source in sources if not group_of(source)), key=source_order)
    return bool(own) and overlaps(own, network)


def _is_unused(row: Searched) -> bool:
    return row.rule.enabled and row.hits is not None and row.hits.packets == 0


def _is_expired(row: Searched) -> bool:
    return bool(row.rule.expires) and row.rule.expires <= f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"


_WORDS: Final[Mapping[str, Matches]] = {
    "block": lambda row: row.rule.action == "block",
    "allow": lambda row: row.rule.action == "allow",
    "unused": _is_unused,
    "expired": _is_expired,
    "disabled": lambda row: not row.rule.enabled,
}


def _text(row: Searched) -> str:
    rule = row.rule
    parts = (
        *(rule.id, rule.scope, *rule.sources, rule.to, rule.container, rule.interface),
        *(rule.owner, rule.ticket, *rule.tags, rule.protocol, *rule.ports, rule.comment),
        *(row.description, row.mark),
    )
    return " ".join(parts).casefold()

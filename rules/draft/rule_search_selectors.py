"""The words by which the rules page and the command line find rules.

    @office   rules with this group          port:22   rules that include the port
    tag:web   rules with this tag            block     blocks; allow: allowances
    anyone    rules without a source         disabled  not enabled
    unused    loaded, without any hit        unused:2026-10-01   certainly not used since
    expires   with an end; expired: past it
    new, changed, removed: by the next apply; pending: any of them
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
from dockerfw.document.words import describe_rule, join_words
from dockerfw.iptables.model import Counters
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS
from dockerfw.messages.snapshot_values import LastUse

_FIELDS: Final = ("owner", "ticket", "container", "interface")
_MOST_NAMED: Final = 60


@dataclass(frozen=True, slots=True)
class Searched:
    """What is searched of one rule: the rule, its mark, its hits and its last use.

    Hits and last use are None where they are not known.
    """

    rule: DocumentRule
    mark: str
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
        field, colon, value = word.partition(":")
        named = word[:_MOST_NAMED]
        if field == "port" and colon and not _is_port(value):
            return f"{named}: {value[:_MOST_NAMED] or 'nothing'} is not a port (1 to 65535)"
        if field == "unused" and value and _read_day(value) is None:
            return f"{named}: {value[:_MOST_NAMED]} is not a day. Use YYYY-MM-DD"
    return ""


def unmatched_words(query: str, rows: Sequence[Searched], groups: Iterable[DocumentGroup]) -> str:
    """Return which words of a search match no rule even alone, for a search that finds none; else ""."""
    by_name = {f"@{group.name}": group for group in groups}
    words = [word for word in query.casefold().split() if not any(map(_test_of(word, by_name), rows))]
    named = join_words([f'"{word[:_MOST_NAMED]}"' for word in words], most=3, word="or")
    known = sorted({"port", "tag", "unused", *_FIELDS})
    if any(_looks_like_a_field(word) and word.partition(":")[0] not in known for word in words):
        return f"No rule has {named}. Fields are {join_words([f'{name}:' for name in known])}"
    return f"No rule has {named}" if named else ""


def _looks_like_a_field(word: str) -> bool:
    field, colon, _ = word.partition(":")
    return bool(colon) and field.isalpha() and read_network(word) is None


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
        return lambda row: _says(row.rule, word)
    held = {name for name, group in groups.items() if overlaps(group.entries, network)}
    touches = _touches(network, held)
    return lambda row: any(map(touches, row.rule.sources)) or _says(row.rule, word)


def _touches(network: Network, held: set[str]) -> Callable[[str], bool]:
    """Return the function that tells whether a source covers a network, lies in it or is one of `held`."""
    wider = {str(network.supernet(new_prefix=length)) for length in range(network.prefixlen + 1)}
    first, last = int(network.network_address), int(network.broadcast_address)

    def touches(source: str) -> bool:
        if source in held or source in wider:
            return True
        if group_of(source):
            return False
        version, address, length, _ = source_order(source)
        return version == network.version and first <= address <= last and length > network.prefixlen

    return touches


def _read_day(text: str) -> datetime | None:
    """Return the start of a day in UTC, such as 2026-10-01; None if the text is none."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        return None


def _has_port(rule: DocumentRule, port: int) -> bool:
    return rule.protocol in ("any", *PROTOCOLS_WITH_PORTS) and includes_port(rule, port)


def _is_unused(row: Searched) -> bool:
    return row.rule.enabled and row.hits is not None and row.hits.packets == 0


def _is_expired(row: Searched) -> bool:
    return bool(row.rule.expires) and row.rule.expires <= f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"


_WORDS: Final[Mapping[str, Matches]] = {
    "block": lambda row: row.rule.action == "block",
    "allow": lambda row: row.rule.action == "allow",
    "unused": _is_unused,
    "expired": _is_expired,
    "expires": lambda row: bool(row.rule.expires),
    "disabled": lambda row: not row.rule.enabled,
    "anyone": lambda row: not row.rule.sources,
    "new": lambda row: row.mark == "new",
    "changed": lambda row: row.mark == "changed",
    "removed": lambda row: row.mark == "removed",
    "pending": lambda row: bool(row.mark),
}


def _says(rule: DocumentRule, word: str) -> bool:
    """Return True if a text of the rule contains the word, which has no blank."""
    parts = (
        *(rule.id, rule.scope, *rule.sources, rule.to, rule.container, rule.interface),
        *(rule.owner, rule.ticket, *rule.tags, rule.protocol, *rule.ports, rule.comment),
    )
    # Describing the rule takes ten times as long as the rest.
    return word in " ".join(parts).casefold() or word in describe_rule(rule).casefold()

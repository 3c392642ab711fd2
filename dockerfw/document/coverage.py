"""Rules that have no effect because another rule already says the same of the same packets.

Each rule is compared with one other rule at a time, never with several together: every result is certain, but
there may be more. `expanded` puts the entries of static groups in the place of their names.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, Literal

from dockerfw.document.fields import interface_covers, port_range
from dockerfw.document.rule_fields import group_of, source_order
from dockerfw.document.values import Document, DocumentRule, Group

# Ranges are indexed by each block of ports that they overlap; ranges over many blocks share one key.
_BLOCK = 32
_MANY_BLOCKS = 8
_WIDE_RANGE = -1
_MOST_ENTRIES = 1_000
_NO_PORTS = 0
_Key = tuple[str, str, int]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_EVERYWHERE: Final[Mapping[Literal[4, 6], str]] = {4: "0.0.0.0/0", 6: "::/0"}


def expanded(rules: Iterable[DocumentRule], groups: Sequence[Group]) -> tuple[DocumentRule, ...]:
    """Return rules with the entries of static groups instead of their names.

    Other groups, and those with very many entries, stay named. A rule whose groups are all empty is left out:
    it applies to nobody.
    """
    entries = {
        f"@{group.name}": group.entries
        for group in groups
        if group.kind == "static" and len(group.entries) <= _MOST_ENTRIES
    }
    found = []
    for rule in rules:
        if not any(source in entries for source in rule.sources):
            found.append(rule)
            continue
        sources = {each for source in rule.sources for each in entries.get(source, (source,))}
        if sources:
            found.append(replace(rule, sources=tuple(sorted(sources, key=source_order))))
    return tuple(found)


def covers(wide: DocumentRule, narrow: DocumentRule) -> bool:
    """Return True if `wide` says the same of every packet that `narrow` applies to, both being enabled."""
    if wide.action != narrow.action or not _place_covers(wide, narrow):
        return False
    if wide.protocol not in ("any", narrow.protocol) or not _source_covers(wide, narrow):
        return False
    if not _conditions_cover(wide, narrow):
        return False
    if not wide.ports:
        return True
    return (
        bool(narrow.ports) and wide.port_kind == narrow.port_kind and _ports_cover(wide.ports, narrow.ports)
    )


def _conditions_cover(wide: DocumentRule, narrow: DocumentRule) -> bool:
    """Return True if interface, limit and times of `wide` hold for all that `narrow` applies to."""
    if wide.interface and not interface_covers(wide.interface, narrow.interface):
        return False
    if wide.limit or wide.container not in ("", narrow.container):
        return False
    begins = not wide.starts or (bool(narrow.starts) and wide.starts <= narrow.starts)
    return begins and (not wide.expires or (bool(narrow.expires) and narrow.expires <= wide.expires))


def _place_covers(wide: DocumentRule, narrow: DocumentRule) -> bool:
    """Return True if `wide` applies wherever `narrow` does. Rules for containers match what is forwarded."""
    if wide.to and not (narrow.to and _contains(_network(wide.to), _network(narrow.to))):
        return False
    return wide.scope in ("both", narrow.scope) or (wide.scope, narrow.scope) == ("container", "forwarded")


def find_covered_rules(document: Document) -> tuple[tuple[str, str], ...]:
    """Return (rule id, id of a covering rule) for enabled rules; of two equal rules, only for the later."""
    enabled = expanded((rule for rule in document.rules if rule.enabled), document.groups)
    return tuple((rule.id, wide.id) for rule, wide in _find_covers(enabled))


def find_hidden_rules(document: Document) -> tuple[tuple[str, str], ...]:
    """Return (id of an allowance, id of a block) for allowances that a block leaves without effect."""
    enabled = expanded((rule for rule in document.rules if rule.enabled), document.groups)
    blocks = [replace(rule, action="allow") for rule in enabled if rule.action == "block"]
    allowances = [rule for rule in enabled if rule.action == "allow"] if blocks else []
    index = _index_of(blocks)
    lengths = _lengths_of(blocks)
    found = []
    for rule in allowances:
        candidates = (wide for key in _keys_of_narrow(rule, lengths) for _, wide in index.get(key, ()))
        block = next((wide for wide in candidates if covers(wide, rule)), None)
        if block is not None:
            found.append((rule.id, block.id))
    return tuple(found)


def first_cover(rules: Sequence[DocumentRule], narrow: DocumentRule) -> DocumentRule | None:
    """Return the first enabled rule that covers `narrow`, or None."""
    return next((wide for wide in rules if wide.enabled and covers(wide, narrow)), None)


def _find_covers(rules: Sequence[DocumentRule]) -> Iterator[tuple[DocumentRule, DocumentRule]]:
    index, lengths = _index_of(rules), _lengths_of(rules)
    for position, rule in enumerate(rules):
        for key in _keys_of_narrow(rule, lengths):
            found = next(
                (wide for at, wide in index.get(key, ()) if _makes_redundant(wide, at, rule, position)), None
            )
            if found is not None:
                yield rule, found
                break


def _index_of(rules: Sequence[DocumentRule]) -> Mapping[_Key, list[tuple[int, DocumentRule]]]:
    index: dict[_Key, list[tuple[int, DocumentRule]]] = defaultdict(list)
    for position, rule in enumerate(rules):
        for key in _keys_of_wide(rule):
            index[key].append((position, rule))
    return index


def _lengths_of(rules: Sequence[DocumentRule]) -> set[tuple[int, int]]:
    return {_length(source) for rule in rules for source in rule.sources if not group_of(source)}


def _makes_redundant(wide: DocumentRule, wide_at: int, rule: DocumentRule, at: int) -> bool:
    return wide_at != at and covers(wide, rule) and (wide_at < at or not covers(rule, wide))


def _keys_of_wide(rule: DocumentRule) -> Iterator[_Key]:
    sources = rule.sources or ("any",)
    if not rule.ports:
        yield from ((rule.protocol, source, _NO_PORTS) for source in sources)
        return
    starts = set()
    for text in rule.ports:
        first, last = port_range(text)
        blocks = range(first // _BLOCK, last // _BLOCK + 1)
        if first == last:
            starts.add(first)
        elif len(blocks) > _MANY_BLOCKS:
            starts.add(_WIDE_RANGE)
        else:
            starts.update(_block_key(block) for block in blocks)
    yield from ((rule.protocol, source, start) for start in starts for source in sources)


def _keys_of_narrow(rule: DocumentRule, lengths: set[tuple[int, int]]) -> Iterator[_Key]:
    """Yield the index keys under which a rule that covers this one can be."""
    ports = [_NO_PORTS]
    if rule.ports:
        first = port_range(rule.ports[0])[0]
        ports += [first, _block_key(first // _BLOCK), _WIDE_RANGE]
    for source in _sources_above(rule, lengths):
        for protocol in {"any", rule.protocol}:
            for port in ports:
                yield (protocol, source, port)


def _block_key(block: int) -> int:
    return _WIDE_RANGE - 1 - block


def _sources_above(rule: DocumentRule, lengths: set[tuple[int, int]]) -> Iterator[str]:
    """Yield what a rule that covers this one has among its sources: that covers the first source, too."""
    yield "any"
    if not rule.sources:
        if len(rule.families) == 1:
            yield _EVERYWHERE[rule.families[0]]
        return
    first = rule.sources[0]
    if group_of(first):
        yield first
        return
    network = _network(first)
    for version, length in lengths:
        if version == network.version and length <= network.prefixlen:
            yield str(network.supernet(new_prefix=length))


def _length(source: str) -> tuple[int, int]:
    network = _network(source)
    return (network.version, network.prefixlen)


def _source_covers(wide: DocumentRule, narrow: DocumentRule) -> bool:
    if not wide.sources:
        return True
    if not narrow.sources:
        return len(narrow.families) == 1 and _EVERYWHERE[narrow.families[0]] in wide.sources
    if len(wide.sources) == 1 == len(narrow.sources):
        return _one_covers(wide.sources[0], narrow.sources[0])
    known = set(wide.sources)
    return all(source in known or _is_within(source, known) for source in narrow.sources)


def _is_within(source: str, known: set[str]) -> bool:
    if group_of(source):
        return False
    network = _network(source)
    return any(str(network.supernet(new_prefix=length)) in known for length in range(network.prefixlen))


def _one_covers(wide: str, narrow: str) -> bool:
    if wide == narrow or group_of(wide) or group_of(narrow):
        return wide == narrow
    return _contains(_network(wide), _network(narrow))


def _contains(outer: _Network, inner: _Network) -> bool:
    if outer.version != inner.version or outer.prefixlen > inner.prefixlen:
        return False
    shift = outer.max_prefixlen - outer.prefixlen
    return int(outer.network_address) >> shift == int(inner.network_address) >> shift


@lru_cache(maxsize=32_768)
def _network(source: str) -> _Network:
    return ipaddress.ip_network(source)


def _ports_cover(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    return all(
        any(first <= start and end <= last for first, last in _merge_ranges(wide))
        for start, end in map(port_range, narrow)
    )


def _merge_ranges(ports: Sequence[str]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(map(port_range, ports)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged

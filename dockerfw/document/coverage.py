"""Rules that have no effect because another rule already allows the same packets.

Each rule is compared with one other rule at a time, never with several together: every result is certain, but
there may be more.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule

# Ranges are indexed by each block of ports that they overlap; ranges over many blocks share one key.
_BLOCK = 32
_MANY_BLOCKS = 8
_WIDE_RANGE = -1
_NO_PORTS = 0
_Key = tuple[str, str, int]


def covers(wide: DocumentRule, narrow: DocumentRule) -> bool:
    """Return True if `wide` allows every packet that `narrow` allows, assuming both are enabled."""
    if wide.scope not in ("both", narrow.scope):
        return False
    if wide.protocol not in ("any", narrow.protocol) or not _source_covers(wide, narrow):
        return False
    if not wide.ports:
        return True
    return (
        bool(narrow.ports) and wide.port_kind == narrow.port_kind and _ports_cover(wide.ports, narrow.ports)
    )


def find_covered_rules(document: Document) -> tuple[tuple[str, str], ...]:
    """Return (rule id, id of a covering rule) for enabled rules; of two equal rules, only for the later."""
    return tuple(
        (rule.id, wide.id)
        for rule, wide in _find_covers(tuple(rule for rule in document.rules if rule.enabled))
    )


def first_cover(rules: Sequence[DocumentRule], narrow: DocumentRule) -> DocumentRule | None:
    """Return the first enabled rule that covers `narrow`, or None."""
    return next((wide for wide in rules if wide.enabled and covers(wide, narrow)), None)


def _find_covers(rules: Sequence[DocumentRule]) -> Iterator[tuple[DocumentRule, DocumentRule]]:
    index: dict[_Key, list[tuple[int, DocumentRule]]] = defaultdict(list)
    for position, rule in enumerate(rules):
        for key in _keys_of_wide(rule):
            index[key].append((position, rule))
    lengths = {(version, length) for version, length in map(_length, rules) if version}
    for position, rule in enumerate(rules):
        for key in _keys_of_narrow(rule, lengths):
            found = next(
                (wide for at, wide in index.get(key, ()) if _makes_redundant(wide, at, rule, position)), None
            )
            if found is not None:
                yield rule, found
                break


def _makes_redundant(wide: DocumentRule, wide_at: int, rule: DocumentRule, at: int) -> bool:
    return wide_at != at and covers(wide, rule) and (wide_at < at or not covers(rule, wide))


def _keys_of_wide(rule: DocumentRule) -> Iterator[_Key]:
    if not rule.ports:
        yield (rule.protocol, rule.source, _NO_PORTS)
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
    for start in starts:
        yield (rule.protocol, rule.source, start)


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
    yield "any"
    if rule.source == "any":
        if rule.families == (6,):
            yield "::/0"
        return
    network = _network(rule.source)
    for version, length in lengths:
        if version == network.version and length <= network.prefixlen:
            yield str(network.supernet(new_prefix=length))


def _length(rule: DocumentRule) -> tuple[int, int]:
    if rule.source == "any":
        return (0, 0)
    network = _network(rule.source)
    return (network.version, network.prefixlen)


def _source_covers(wide: DocumentRule, narrow: DocumentRule) -> bool:
    if wide.source in ("any", narrow.source):
        return True
    if narrow.source == "any":
        return wide.source == "::/0" and narrow.families == (6,)
    outer, inner = _network(wide.source), _network(narrow.source)
    if outer.version != inner.version or outer.prefixlen > inner.prefixlen:
        return False
    shift = outer.max_prefixlen - outer.prefixlen
    return int(outer.network_address) >> shift == int(inner.network_address) >> shift


@lru_cache(maxsize=32_768)
def _network(source: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
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

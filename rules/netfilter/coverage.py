"""Which rules say nothing new, because one other enabled rule already allows all that they allow.

Owns only the comparison of single rules: that several rules together cover one is not looked for, since
nobody could check such a claim at a glance. It never says that a rule is covered when in doubt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from rules.netfilter.document import DocumentRule

Network = IPv4Network | IPv6Network
Place = tuple[str, str]
"""A protocol and a source, both as the document writes them."""


def covered_rules(
    rules: Iterable[DocumentRule], asked: Iterable[DocumentRule] | None = None
) -> Mapping[str, tuple[DocumentRule, ...]]:
    """Return, by id, the rules of `asked` (None: all) that one other rule covers, with up to two such rules.

    Of two rules that say the same, only the later one is named as covered.
    """
    everything = tuple(rules)
    index = _Index(rule for rule in everything if rule.enabled)
    order = {rule.id: number for number, rule in enumerate(everything)}
    found: dict[str, tuple[DocumentRule, ...]] = {}
    for rule in everything if asked is None else asked:
        if not rule.enabled:
            continue
        others = [other for other in index.candidates(rule) if _covers_first(other, rule, order)]
        if others:
            found[rule.id] = tuple(others[:2])
    return found


def covers(wide: DocumentRule, narrow: DocumentRule) -> bool:
    """Say whether one rule allows everything that another does; `enabled` and comments do not matter."""
    if wide.scope not in ("both", narrow.scope) or wide.protocol not in ("any", narrow.protocol):
        return False
    return _source_covers(wide.source, narrow.source) and _ports_cover(wide, narrow)


def _covers_first(wide: DocumentRule, narrow: DocumentRule, order: Mapping[str, int]) -> bool:
    if wide.id == narrow.id or not covers(wide, narrow):
        return False
    return not covers(narrow, wide) or order[wide.id] < order.get(narrow.id, len(order))


def _source_covers(wide: str, narrow: str) -> bool:
    if wide == "any" or wide == narrow:
        return True
    if narrow == "any":
        return False
    outer, inner = _network(wide), _network(narrow)
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def _ports_cover(wide: DocumentRule, narrow: DocumentRule) -> bool:
    if not wide.ports:
        return True
    if not narrow.ports:
        return False
    # On the host itself nothing is rewritten, so both kinds of port are the same one there.
    if narrow.scope != "host" and wide.port_kind != narrow.port_kind:
        return False
    spans = [_span(port) for port in wide.ports]
    return all(
        any(low <= first and last <= high for low, high in spans) for first, last in map(_span, narrow.ports)
    )


@lru_cache(maxsize=50_000)
def _network(source: str) -> Network:
    return ip_network(source)


def _span(port: str) -> tuple[int, int]:
    first, _, last = port.partition("-")
    return int(first), int(last or first)


class _Index:
    """Finds the few rules that could cover another, so that 10,000 rules are not compared pair by pair."""

    def __init__(self, rules: Iterable[DocumentRule]) -> None:
        self._all_ports: dict[Place, list[DocumentRule]] = defaultdict(list)
        self._single: dict[tuple[Place, int], list[DocumentRule]] = defaultdict(list)
        self._ranges: dict[Place, list[DocumentRule]] = defaultdict(list)
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for rule in rules:
            self._add(rule)

    def _add(self, rule: DocumentRule) -> None:
        place = (rule.protocol, rule.source)
        if rule.source != "any":
            network = _network(rule.source)
            self._lengths[network.version].add(network.prefixlen)
        if not rule.ports:
            self._all_ports[place].append(rule)
        elif any("-" in port for port in rule.ports):
            self._ranges[place].append(rule)
        else:
            for port in rule.ports:
                self._single[place, int(port)].append(rule)

    def candidates(self, rule: DocumentRule) -> Iterator[DocumentRule]:
        """Yield the rules whose protocol and source reach far enough and whose ports might."""
        first = _span(rule.ports[0]) if rule.ports else None
        for place in self._places(rule):
            yield from self._all_ports.get(place, ())
            if first is not None:
                yield from self._ranges.get(place, ())
                if first[0] == first[1]:
                    yield from self._single.get((place, first[0]), ())

    def _places(self, rule: DocumentRule) -> Iterator[Place]:
        protocols = ("any",) if rule.protocol == "any" else ("any", rule.protocol)
        sources = ["any"]
        if rule.source != "any":
            network = _network(rule.source)
            lengths = sorted(self._lengths[network.version])
            wider = [length for length in lengths if length <= network.prefixlen]
            sources += [str(network.supernet(new_prefix=length)) for length in wider]
        for protocol in protocols:
            for source in sources:
                yield protocol, source

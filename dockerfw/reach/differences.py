"""What a load would change for packets, whatever listens: the rules of now compared with those after it.

changes.py answers the same for the services of a host that dockerfw knows. This comparison needs no facts
about a host, so a file is enough. It is shown with each import, each adoption and each first plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from dockerfw.chains.after_load import filter_after_load
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import FILTERS, label_of, own_rules
from dockerfw.chains.packet_classes import (
    OTHER,
    Answer,
    Meaning,
    PacketClass,
    Place,
    TooManyClasses,
    list_classes,
    unnamed_ports,
)
from dockerfw.chains.render import render_cached
from dockerfw.chains.set_matches import loaded_sets
from dockerfw.document.values import Document
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.reach import change_sentences
from dockerfw.reach.internet import UNROUTED
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.surroundings import IpSet

DifferenceKind = Literal["closes", "opens", "unknown"]
Side = Literal["", "published", "inside"]
Ports = tuple[int, int] | None
_ORDER: Final[tuple[DifferenceKind, ...]] = ("closes", "opens", "unknown")


@dataclass(frozen=True, slots=True)
class Difference:
    """A sentence about packets that a load treats in another way than the rules of now."""

    kind: DifferenceKind
    sentence: str


@dataclass(frozen=True, slots=True)
class _Change:
    """What changes for some sources, on any port and interface; `reason` is why it is unknown.

    `side` is the port that counts, where the dialled port and the one inside a container differ.
    """

    kind: DifferenceKind
    place: Place
    protocol: int
    icmp_type: int | None
    side: Side
    sources: AddressSet
    reason: str


def find_differences(
    live: Mapping[Family, Ruleset],
    document: Document,
    sets: Mapping[str, IpSet] | None = None,
    at: int | None = None,
    limits: Thresholds = USUAL,
) -> tuple[Difference, ...]:
    """Return what a load of the document over these rulesets changes for packets, what closes first.

    `at` is the moment in UTC seconds.
    """
    found: dict[tuple[DifferenceKind, str], list[Family]] = {}
    for family, ruleset in live.items():
        for kind, sentence in _of_family(ruleset, document, family, sets, at, limits):
            found.setdefault((kind, sentence), []).append(family)
    ordered = sorted(found.items(), key=lambda item: _ORDER.index(item[0][0]))
    return tuple(
        Difference(
            kind, change_sentences.of_families(families, sentence, all_families=len(live) == len(families))
        )
        for (kind, sentence), families in ordered
    )


def first_differences(
    live: Mapping[Family, Ruleset],
    document: Document,
    sets: Mapping[str, IpSet] | None = None,
    at: int | None = None,
    limits: Thresholds = USUAL,
) -> tuple[Difference, ...]:
    """Return the same for a host without dockerfw's rules; later loads are compared with their revision."""
    first = {
        family: ruleset
        for family, ruleset in live.items()
        if not any(label_of(rule.text) for rule in own_rules(ruleset, FILTERS)) and not ruleset.unprinted
    }
    return find_differences(first, document, sets, at, limits)


def _of_family(
    live: Ruleset,
    document: Document,
    family: Family,
    sets: Mapping[str, IpSet] | None,
    at: int | None,
    limits: Thresholds,
) -> Iterator[tuple[DifferenceKind, str]]:
    try:
        after = filter_after_load(live, document, family, limits)
        # A load makes the sets of the document first.
        made = loaded_sets(render_cached(document, family, 0, limits).sets)
        kinds = list_classes((live, after), family, document.settings.external_interfaces)
    except (NetfilterError, TooManyClasses):
        yield "unknown", change_sentences.NOT_COMPARED
        return
    before = Meaning(live, family, sets, at)
    later = Meaning(after, family, {**(sets or {}), **made}, at)
    found: dict[_Change, dict[Ports, dict[str, None]]] = {}
    unnamed = unnamed_ports(kinds)
    for kind in kinds:
        other = unnamed.get(kind.protocol)
        if kind.inner is not None and other not in (kind.ports, kind.inner):
            # Both ports are named: the change is known by one of them.
            continue
        side: Side = "" if kind.inner is None else "published" if kind.inner == other else "inside"
        ports = kind.inner if side == "inside" else kind.ports
        for change in _compare(kind, side, before.ask(kind), later.ask(kind), family):
            # Where both ports are equal, the same change is known already.
            known = found.get(replace(change, side=""), {})
            if not side or kind.interface not in known.get(ports, {}):
                found.setdefault(change, {}).setdefault(ports, {})[kind.interface] = None
    yield from _sentences(found, {kind.interface for kind in kinds})


def _sentences(
    found: Mapping[_Change, Mapping[Ports, Mapping[str, None]]], everywhere: Collection[str]
) -> Iterator[tuple[DifferenceKind, str]]:
    """Yield a sentence for all protocols and ports that change for the same sources in the same place."""
    joined: dict[tuple[DifferenceKind, Place, AddressSet, str, tuple[str, ...]], list[str]] = {}
    for change, places in found.items():
        for names, ranges in _by_interface(places):
            what = change_sentences.describe_ports(change.protocol, change.icmp_type, ranges, change.side)
            key = (change.kind, change.place, change.sources, change.reason, names)
            joined.setdefault(key, []).append(what)
    for (kind, place, sources, reason, names), ports in joined.items():
        somewhere = () if set(names) == set(everywhere) else names
        sentence = change_sentences.describe_difference(
            kind,
            sources=sources,
            what=ports,
            place=place,
            interfaces=[name for name in somewhere if name != OTHER],
            others=OTHER in somewhere,
            reason=reason,
        )
        yield kind, sentence


def _compare(
    kind: PacketClass, side: Side, before: Answer, after: Answer, family: Family
) -> Iterator[_Change]:
    closes = before.passes.intersection(after.refused)
    opens = before.refused.intersection(after.passes)
    known = after.passes.union(after.refused)
    unclear = before.unknown.intersection(known)
    unclear = unclear.union(after.unknown.intersection(before.passes.union(before.refused)))
    changes: tuple[tuple[DifferenceKind, AddressSet], ...] = (
        ("closes", closes),
        ("opens", opens),
        ("unknown", unclear),
    )
    for name, sources in changes:
        left = sources.difference(UNROUTED[family])
        if left:
            reason = _reason((before, after), left) if name == "unknown" else ""
            yield _Change(name, kind.place, kind.protocol, kind.icmp_type, side, left, reason)


def _reason(answers: Iterable[Answer], sources: AddressSet) -> str:
    for answer in answers:
        for part, verdict in answer.parts:
            if verdict.passes is None and part.intersection(sources):
                return verdict.reason
    return ""


def _by_interface(
    places: Mapping[Ports, Mapping[str, None]],
) -> Iterator[tuple[tuple[str, ...], tuple[tuple[int, int], ...]]]:
    """Yield the interfaces on which packets arrive, each with the ports, joined to ranges."""
    groups: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for ports, interfaces in places.items():
        groups.setdefault(tuple(interfaces), []).extend([] if ports is None else [ports])
    for names, ranges in groups.items():
        yield names, _joined(ranges)


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)

"""The results of a walk: how it ends for each source, combined into verdicts.

At a rule that cannot be decided, a walk follows both paths. The base result assumes that no such rule
matches. A source is decided if every other possible result is the same as its base result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dockerfw.iptables.model import Family
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.compiled import CompiledRule
from dockerfw.simulation.conditions import Condition, SourceCondition
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.trace import TraceStep, Verdict

_MAX_UNDECIDED = 64


@dataclass(frozen=True, slots=True)
class UndecidedRule:
    """A rule that cannot be decided, and the condition that is unknown."""

    rule: CompiledRule
    condition: Condition | SourceCondition

    @property
    def verdict(self) -> Verdict:
        """The verdict for the sources for which the rule makes a difference."""
        rule = self.rule
        step = TraceStep(rule.rule.table, rule.rule.chain, rule.number, rule.rule, "unknown", self.why)
        return Verdict("UNKNOWN", reason=sentences.at_place(rule.place, self.why), step=step)

    @property
    def why(self) -> str:
        """What is unknown about the rule."""
        return sentences.cannot_tell_whether(self.condition.yes)


@dataclass(frozen=True, slots=True)
class Piece:
    """Sources at one place in one state; `undecided` is the undecided rule that led here, if any."""

    sources: AddressSet
    state: PacketState
    undecided: UndecidedRule | None = None


@dataclass(frozen=True, slots=True)
class WalkEnd:
    """The result for some sources, split by the rule that decides."""

    sources: AddressSet
    parts: Sequence[Part]
    undecided: UndecidedRule | None

    @property
    def key(self) -> tuple[str, str]:
        """The part of the result that must be the same for an undecided rule not to matter."""
        verdict = self.parts[0][1]
        return verdict.kind, verdict.reject_with


@dataclass(frozen=True, slots=True)
class Sums:
    """All parts, which do not overlap, and the sources of each kind of verdict."""

    parts: tuple[Part, ...]
    by_kind: dict[str, AddressSet]


def join_pieces(pieces: Iterable[Piece]) -> list[Piece]:
    """Join pieces in the same state; sources that certainly get there need no undecided piece."""
    found = [piece for piece in pieces if piece.sources]
    if len(found) < 2:
        return found
    groups: dict[PacketState, list[Piece]] = {}
    for piece in found:
        groups.setdefault(piece.state, []).append(piece)
    result: list[Piece] = []
    for state, group in groups.items():
        family = state.family
        base = union_of(family, [piece.sources for piece in group if piece.undecided is None])
        result += [Piece(base, state)] if base else []
        result += _assign_to_first([piece for piece in group if piece.undecided is not None], base)
    return result


def _assign_to_first(pieces: Sequence[Piece], base: AddressSet) -> list[Piece]:
    """Assign each source to the first undecided rule about it; very many rules are not kept apart."""
    if not pieces:
        return []
    found: list[Piece] = []
    rest = union_of(base.family, [piece.sources for piece in pieces]).difference(base)
    for piece in pieces[:_MAX_UNDECIDED]:
        first = rest.intersection(piece.sources)
        rest = rest.difference(first)
        found.append(replace(piece, sources=first))
    return [piece for piece in (*found, replace(pieces[0], sources=rest)) if piece.sources]


def sum_up(family: Family, ends: Sequence[WalkEnd]) -> Sums:
    """Return the verdict for each source that a walk started with."""
    base = [end for end in ends if end.undecided is None]
    unknown, unknown_parts = _find_differing(family, base, [end for end in ends if end.undecided is not None])
    parts: list[Part] = []
    kinds: dict[str, list[AddressSet]] = {}
    for end in base:
        kept = end.sources.difference(unknown) if unknown else end.sources
        if not kept:
            continue
        kinds.setdefault(end.key[0], []).append(kept)
        if kept is end.sources or kept == end.sources:
            parts += end.parts
        else:
            parts += [(left, verdict) for part, verdict in end.parts if (left := part.difference(unknown))]
    kinds.setdefault("UNKNOWN", []).append(unknown)
    by_kind = {kind: union_of(family, sets) for kind, sets in kinds.items()}
    return Sums((*parts, *unknown_parts), by_kind)


def _find_differing(
    family: Family, base: Sequence[WalkEnd], possible: Sequence[WalkEnd]
) -> tuple[AddressSet, list[Part]]:
    """Return the sources for which another result than the base is possible, by the first undecided rule."""
    unknown = AddressSet.nothing(family)
    parts: list[Part] = []
    if not possible:
        return unknown, parts
    by_key: dict[tuple[str, str], list[AddressSet]] = {}
    for end in base:
        by_key.setdefault(end.key, []).append(end.sources)
    unions = {key: union_of(family, sets) for key, sets in by_key.items()}
    for end in possible:
        assert end.undecided is not None
        others = [sources for key, sources in unions.items() if key != end.key or key[0] == "UNKNOWN"]
        differs = union_of(family, [end.sources.intersection(sources) for sources in others])
        differs = differs.difference(unknown)
        if differs:
            unknown = unknown.union(differs)
            parts.append((differs, _unknown_verdict(end)))
    return unknown, parts


def _unknown_verdict(end: WalkEnd) -> Verdict:
    """Return an unknown verdict that names the undecided rule and any unknown result after it."""
    assert end.undecided is not None
    behind = end.parts[0][1]
    verdict = end.undecided.verdict
    if behind.kind != "UNKNOWN":
        return verdict
    return replace(verdict, reason=sentences.and_behind(verdict.reason, behind.reason))

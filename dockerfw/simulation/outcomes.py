"""Owns what a walk comes to: ends for sources, some of them only possible, put together into verdicts.

Where a rule cannot be decided a walk goes both ways. What it comes to if no such rule matches is the base; a
source is decided when every other end that is possible for it is the same as its base.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.compiled import CompiledRule
from dockerfw.simulation.conditions import Condition, SourceCondition
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import State
from dockerfw.simulation.trace import TraceStep, Verdict

_MOST_DOUBTS = 64


@dataclass(frozen=True, slots=True)
class Doubt:
    """A rule that cannot be decided, and what it asks."""

    rule: CompiledRule
    asked: Condition | SourceCondition

    @property
    def verdict(self) -> Verdict:
        """The verdict where the rule makes a difference."""
        rule = self.rule
        step = TraceStep(rule.rule.table, rule.rule.chain, rule.number, rule.rule, "unknown", self.why)
        return Verdict("UNKNOWN", reason=f"{rule.place}: {self.why}", step=step)

    @property
    def why(self) -> str:
        """What cannot be told."""
        return f"cannot tell whether {self.asked.yes}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Sources whose packets stand at the same place in the same state; `doubt` brought them here, if any."""

    sources: AddressSet
    state: State
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class End:
    """What becomes of some sources, split by the rule that decides it."""

    sources: AddressSet
    parts: Sequence[Part]
    doubt: Doubt | None

    @property
    def key(self) -> tuple[str, str]:
        """What has to be the same for the doubt not to matter."""
        verdict = self.parts[0][1]
        return verdict.kind, verdict.reject_with


@dataclass(frozen=True, slots=True)
class Sums:
    """All parts, which share nothing, and the sources of each kind of verdict."""

    parts: tuple[Part, ...]
    by_kind: dict[str, AddressSet]


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Put pieces in the same state together; where one is without doubt, the doubtful ones add nothing."""
    found = [piece for piece in pieces if piece.sources]
    if len(found) < 2:
        return found
    groups: dict[State, list[Piece]] = {}
    for piece in found:
        groups.setdefault(piece.state, []).append(piece)
    result: list[Piece] = []
    for state, group in groups.items():
        family = state.family
        base = union_of(family, [piece.sources for piece in group if piece.doubt is None])
        result += [Piece(base, state)] if base else []
        result += _doubtful([piece for piece in group if piece.doubt is not None], base)
    return result


def _doubtful(pieces: Sequence[Piece], base: AddressSet) -> list[Piece]:
    """Leave each source to the first doubt about it; very many doubts are not told apart."""
    if not pieces:
        return []
    found: list[Piece] = []
    rest = union_of(base.family, [piece.sources for piece in pieces]).difference(base)
    for piece in pieces[:_MOST_DOUBTS]:
        first = rest.intersection(piece.sources)
        rest = rest.difference(first)
        found.append(replace(piece, sources=first))
    return [piece for piece in (*found, replace(pieces[0], sources=rest)) if piece.sources]


def sum_up(family: Family, ends: Sequence[End]) -> Sums:
    """Say what becomes of each source that a walk started with."""
    base = [end for end in ends if end.doubt is None]
    unknown, doubtful = _differing(family, base, [end for end in ends if end.doubt is not None])
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
    return Sums((*parts, *doubtful), by_kind)


def _differing(family: Family, base: Sequence[End], possible: Sequence[End]) -> tuple[AddressSet, list[Part]]:
    """Return the sources for which another end than the base is possible, split by the first such doubt."""
    unknown = AddressSet.nothing(family)
    parts: list[Part] = []
    if not possible:
        return unknown, parts
    by_key: dict[tuple[str, str], list[AddressSet]] = {}
    for end in base:
        by_key.setdefault(end.key, []).append(end.sources)
    unions = {key: union_of(family, sets) for key, sets in by_key.items()}
    for end in possible:
        assert end.doubt is not None
        others = [sources for key, sources in unions.items() if key != end.key or key[0] == "UNKNOWN"]
        differs = union_of(family, [end.sources.intersection(sources) for sources in others])
        differs = differs.difference(unknown)
        if differs:
            unknown = unknown.union(differs)
            parts.append((differs, _reason(end)))
    return unknown, parts


def _reason(end: End) -> Verdict:
    """Name the rule in doubt, and the unknown end that lies behind it."""
    assert end.doubt is not None
    behind = end.parts[0][1]
    verdict = end.doubt.verdict
    if behind.kind != "UNKNOWN":
        return verdict
    return replace(verdict, reason=f"{verdict.reason}; {behind.reason}")

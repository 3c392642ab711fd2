"""The walk through the chains of one table: rules in order, jumps, gotos, RETURN, policies.

A walk moves pieces: sets of sources in one state. A rule takes the sources that it matches. Sources that it
may match follow both paths. journey.py leads a walk from table to table.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.chains import CompiledChain, Item, policy_verdict
from dockerfw.simulation.compiled import CompiledRule, all_hold
from dockerfw.simulation.conditions import Condition
from dockerfw.simulation.outcomes import Piece, UndecidedRule, WalkEnd, join_pieces
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.trace import StepOutcome, Verdict

ChainKey = tuple[str, str]
"""A table and the name of a chain in it."""

_MAX_DEPTH = 100
_MAX_VISITS = 20_000
_MAX_PIECES = 256


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One pass through one chain, for the trace."""

    chain: CompiledChain
    depth: int


@dataclass(frozen=True, slots=True)
class Event:
    """What happened at a rule, at the end of a chain (where the position is its length) or between tables."""

    visit: Visit | None
    position: int
    outcome: StepOutcome
    piece: Piece
    why: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Sources that a table accepts, split by the rule that decides."""

    piece: Piece
    parts: Sequence[Part]


@dataclass(slots=True)
class Walk:
    """One walk: its results so far, and its events if it is recording.

    `entered` are the chains of the filter table named in `noted` that it entered, with the packet there.
    `passed` are all chains on which its results depend, built-in ones without rules among them.
    """

    chains: Mapping[tuple[str, str], CompiledChain]
    recording: bool
    ends: list[WalkEnd] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    noted: frozenset[str] = frozenset()
    entered: list[tuple[str, PacketState]] = field(default_factory=list)
    passed: set[ChainKey] = field(default_factory=set)
    _accepted: list[Accepted] = field(default_factory=list)
    _visits: int = 0

    def run_chain(self, table: str, chain: str, pieces: Sequence[Piece]) -> list[Accepted]:
        """Move pieces through a built-in chain and return those that it accepts; the others end."""
        self.passed.add((table, chain))
        found = self.chains.get((table, chain))
        if found is None or found.empty:
            policy = policy_verdict(table, chain, "ACCEPT")
            return [Accepted(piece, ((piece.sources, policy),)) for piece in join_pieces(pieces)]
        self._accepted = []
        visit = Visit(found, 0)
        for piece in self._chain(found, join_pieces(pieces), visit):
            self._note(visit, len(found.rules), "policy", piece)
            self._end(piece, found.policy, ((piece.sources, found.policy),))
        return self._accepted

    def note(self, outcome: StepOutcome, piece: Piece, why: str) -> None:
        """Record something that happened between tables."""
        if self.recording:
            self.events.append(Event(None, 0, outcome, piece, why))

    def end_unknown(self, piece: Piece, reason: str) -> None:
        """End a piece with an unknown verdict."""
        self.ends.append(
            WalkEnd(piece.sources, ((piece.sources, Verdict("UNKNOWN", reason=reason)),), piece.undecided)
        )

    def _chain(self, chain: CompiledChain, pieces: Sequence[Piece], visit: Visit) -> list[Piece]:
        """Move pieces through a chain and return those that reach its end or RETURN."""
        self._visits += 1
        if visit.depth > _MAX_DEPTH or self._visits > _MAX_VISITS:
            why = sentences.endless_jumps if visit.depth > _MAX_DEPTH else sentences.too_many_paths
            for piece in pieces:
                self.end_unknown(piece, why(chain.name, chain.table))
            return []
        back: list[Piece] = []
        agenda = {0: list(pieces)}
        positions = [0]
        while positions:
            position = positions.pop(0)
            arrived = join_pieces(agenda.pop(position))
            for piece in arrived[_MAX_PIECES:]:
                self.end_unknown(piece, sentences.too_many_paths(chain.name, chain.table))
            for piece in arrived[:_MAX_PIECES]:
                after, onward = self._follow(chain, position, piece, visit, back)
                if onward:
                    if after not in agenda:
                        insort(positions, after)
                    agenda.setdefault(after, []).extend(onward)
        return join_pieces(back)

    def _follow(
        self, chain: CompiledChain, position: int, piece: Piece, visit: Visit, back: list[Piece]
    ) -> tuple[int, list[Piece]]:
        """Move one piece until it ends or splits; return where and which pieces continue."""
        state, sources = piece.state, piece.sources
        one_source = len(sources.intervals) == 1 and sources.intervals[0][0] == sources.intervals[0][1]
        for item, condition in _possible_items(chain.items(state, position, one_source=one_source), state):
            holds, maybe = item.matching(state, sources)
            if condition is not None:
                holds, maybe = AddressSet.nothing(sources.family), holds.union(maybe)
            if not holds and not maybe:
                continue
            undecided = None
            if maybe:
                rule = item.rule_for(maybe)
                undecided = piece.undecided or UndecidedRule(rule, condition or rule.dynamic[0])
            pieces = self._apply(item, replace(piece, sources=sources), holds, maybe, undecided, visit, back)
            if not pieces:
                return 0, []
            if len(pieces) > 1 or pieces[0].state is not state or pieces[0].undecided is not piece.undecided:
                return item.position + 1, pieces
            sources = pieces[0].sources
        left = replace(piece, sources=sources)
        if not chain.builtin:
            self._note(visit, len(chain.rules), "not matched", left)
        back.append(left)
        return 0, []

    def _apply(
        self,
        item: Item,
        piece: Piece,
        holds: AddressSet,
        maybe: AddressSet,
        undecided: UndecidedRule | None,
        visit: Visit,
        back: list[Piece],
    ) -> list[Piece]:
        """Apply a rule to the sources that it matches or may match, and return the pieces that continue."""
        action = item.action
        matched = [Piece(holds, piece.state, piece.undecided)] if holds else []
        matched += [Piece(maybe, piece.state, undecided)] if maybe else []
        if self.recording:
            for one in matched:
                self._note_rule(visit, item.rule_for(one.sources), one)
        rest = Piece(
            item.without(piece.sources, holds) if holds else piece.sources, piece.state, piece.undecided
        )
        match action.kind:
            case "RETURN":
                back += matched
            case "JUMP":
                return join_pieces([rest, *self._jump(action.chain, item, matched, visit)])
            case "GOTO":
                back += self._jump(action.chain, item, matched, visit)
            case "CHANGE":
                return join_pieces(self._change(item, rest, matched, maybe))
            case "TRANSLATE":
                self._translate(item, matched)
            case _:
                for one in matched:
                    parts = item.parts(one.sources)
                    self._end(one, parts[0][1], parts)
        return [rest] if rest.sources else []

    def _jump(self, name: str, item: Item, matched: list[Piece], visit: Visit) -> list[Piece]:
        chain = self.chains[visit.chain.table, name]
        self.passed.add((visit.chain.table, name))
        if name in self.noted and visit.chain.table == "filter":
            self.entered += [(name, piece.state) for piece in matched]
        return self._chain(chain, join_pieces(matched), Visit(chain, visit.depth + 1))

    def _change(self, item: Item, rest: Piece, matched: list[Piece], maybe: AddressSet) -> list[Piece]:
        """Change the state; a mark that may have been set becomes unknown."""
        changed: list[Piece] = []
        for one in matched:
            assert item.action.change is not None
            state = item.action.change(one.state) or one.state
            forgotten = _forget_marks(one.state, state) if maybe and one is matched[-1] else None
            if forgotten is not None:
                rest = replace(rest, sources=rest.sources.difference(maybe))
                one = Piece(maybe, forgotten, rest.undecided)
            elif state != one.state:
                one = replace(one, state=state)
            changed.append(one)
        return [rest, *changed]

    def _translate(self, item: Item, matched: list[Piece]) -> None:
        for one in matched:
            assert item.action.change is not None
            state = item.action.change(one.state)
            if state is None:
                rule = item.rule_for(one.sources)
                self.end_unknown(
                    one, sentences.at_place(rule.place, sentences.cannot_tell_translation(item.action.text))
                )
            else:
                self._accepted.append(Accepted(replace(one, state=state), ()))

    def _end(self, piece: Piece, verdict: Verdict, parts: Sequence[Part]) -> None:
        if verdict.kind == "ACCEPT":
            self._accepted.append(Accepted(piece, parts))
        else:
            self.ends.append(WalkEnd(piece.sources, parts, piece.undecided))

    def _note_rule(self, visit: Visit, rule: CompiledRule, piece: Piece) -> None:
        undecided, change = piece.undecided, rule.action.change
        if undecided is not None:
            why = undecided.why if undecided.rule is rule else sentences.if_packet_arrives(rule.why)
            self._note(visit, rule.position, "unknown", piece, why)
        elif rule.action.kind == "TRANSLATE" and change is not None and (after := change(piece.state)):
            self._note(
                visit,
                rule.position,
                "translated",
                piece,
                sentences.translated(rule.why, destination_text(after)),
            )
        else:
            self._note(visit, rule.position, "matched", piece, rule.why)

    def _note(self, visit: Visit, position: int, outcome: StepOutcome, piece: Piece, why: str = "") -> None:
        if self.recording:
            self.events.append(Event(visit, position, outcome, piece, why))


def _possible_items(items: Iterable[Item], state: PacketState) -> Iterator[tuple[Item, Condition | None]]:
    """Yield the items that may match a packet in a state, with the first condition that cannot be decided.

    Undecided rules are yielded one by one, because the reason names the rule.
    """
    for item in items:
        answer = all_hold(item.conditions, state)
        if answer:
            yield item, None
        elif answer is None:
            condition = next(one for one in item.conditions if one.decide(state) is None)
            yield from ((rule, condition) for rule in item.rules)


def destination_text(state: PacketState) -> str:
    """Return the destination of a packet in words."""
    if state.destination is None:
        address = sentences.UNKNOWN_OWN_ADDRESS
    else:
        address = str(IPv4Address(state.destination) if state.family == 4 else IPv6Address(state.destination))
    return sentences.destination(address, state.destination_port, has_ports=state.has_ports)


def _forget_marks(before: PacketState, after: PacketState) -> PacketState | None:
    """Return the state with unknown marks, or bits of the packet's mark, if only these differ, else None."""
    known = before.mark is not None and after.mark is not None
    changed = (before.mark or 0) ^ (after.mark or 0) if known else 0
    forgotten = replace(
        before,
        mark=before.mark if known or before.mark == after.mark else None,
        unsure_bits=before.unsure_bits | changed,
        connmark=before.connmark if before.connmark == after.connmark else None,
    )
    unmarked = replace(after, mark=before.mark, unsure_bits=before.unsure_bits, connmark=before.connmark)
    return forgotten if unmarked == before and forgotten != before else None

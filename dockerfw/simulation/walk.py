"""Owns the way through the chains of one table: rules in order, jumps, gotos, RETURN, policies.

A walk carries pieces: sets of sources in a state. A rule takes out those that it matches; what it may match
goes both ways. It knows no hooks and no routes; journey.py leads it from table to table.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.chains import CompiledChain, Item, policy_verdict
from dockerfw.simulation.compiled import CompiledRule, all_hold
from dockerfw.simulation.conditions import Condition
from dockerfw.simulation.outcomes import Doubt, End, Piece, joined
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import State
from dockerfw.simulation.trace import Outcome, Verdict

_DEEPEST = 100
_MOST_CHAINS = 20_000
_MOST_PIECES = 256


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One way through one chain, for the record."""

    chain: CompiledChain
    depth: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a rule, at the end of a chain (its length is the position), or between."""

    visit: Visit | None
    position: int
    outcome: Outcome
    piece: Piece
    why: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Sources that a table lets through, split by the rule that says so."""

    piece: Piece
    parts: Sequence[Part]


@dataclass(slots=True)
class Walk:
    """One walk: what it has come to so far, and its record when somebody wants one."""

    chains: Mapping[tuple[str, str], CompiledChain]
    recording: bool
    ends: list[End] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    _accepted: list[Accepted] = field(default_factory=list)
    _visits: int = 0

    def through(self, table: str, chain: str, pieces: Sequence[Piece]) -> list[Accepted]:
        """Lead pieces through a built-in chain; those that come out are returned, the others have ended."""
        found = self.chains.get((table, chain))
        if found is None or found.empty:
            policy = policy_verdict(table, chain, "ACCEPT")
            return [Accepted(piece, ((piece.sources, policy),)) for piece in joined(pieces)]
        self._accepted = []
        visit = Visit(found, 0)
        for piece in self._chain(found, joined(pieces), visit):
            self._note(visit, len(found.rules), "policy", piece)
            self._end(piece, found.policy, ((piece.sources, found.policy),))
        return self._accepted

    def note(self, outcome: Outcome, piece: Piece, why: str) -> None:
        """Record something that happened between tables."""
        if self.recording:
            self.events.append(Event(None, 0, outcome, piece, why))

    def unknown(self, piece: Piece, reason: str) -> None:
        """End a piece in not knowing."""
        self.ends.append(
            End(piece.sources, ((piece.sources, Verdict("UNKNOWN", reason=reason)),), piece.doubt)
        )

    def _chain(self, chain: CompiledChain, pieces: Sequence[Piece], visit: Visit) -> list[Piece]:
        """Lead pieces through a chain, and return those that come to its end or are sent back."""
        self._visits += 1
        if visit.depth > _DEEPEST or self._visits > _MOST_CHAINS:
            for piece in pieces:
                self.unknown(piece, f"the jumps to {chain.name} in {chain.table} never end")
            return []
        back: list[Piece] = []
        agenda = {0: list(pieces)}
        positions = [0]
        while positions:
            position = positions.pop(0)
            arrived = joined(agenda.pop(position))
            for piece in arrived[_MOST_PIECES:]:
                self.unknown(piece, f"too many ways lead through {chain.name} in {chain.table}")
            for piece in arrived[:_MOST_PIECES]:
                after, onward = self._along(chain, position, piece, visit, back)
                if onward:
                    if after not in agenda:
                        insort(positions, after)
                    agenda.setdefault(after, []).extend(onward)
        return joined(back)

    def _along(
        self, chain: CompiledChain, position: int, piece: Piece, visit: Visit, back: list[Piece]
    ) -> tuple[int, list[Piece]]:
        """Lead one piece along until it ends or falls apart: return what goes on, and from where."""
        state, sources = piece.state, piece.sources
        one_source = len(sources.intervals) == 1 and sources.intervals[0][0] == sources.intervals[0][1]
        for item, asked in _possible(chain.items(state, position, one_source=one_source), state):
            holds, maybe = item.matching(state, sources)
            if asked is not None:
                holds, maybe = AddressSet.nothing(sources.family), holds.union(maybe)
            if not holds and not maybe:
                continue
            doubt = None
            if maybe:
                rule = item.rule_for(maybe)
                doubt = piece.doubt or Doubt(rule, asked or rule.dynamic[0])
            pieces = self._act(item, replace(piece, sources=sources), holds, maybe, doubt, visit, back)
            if not pieces:
                return 0, []
            if len(pieces) > 1 or pieces[0].state is not state or pieces[0].doubt is not piece.doubt:
                return item.position + 1, pieces
            sources = pieces[0].sources
        left = replace(piece, sources=sources)
        if not chain.builtin:
            self._note(visit, len(chain.rules), "not matched", left)
        back.append(left)
        return 0, []

    def _act(
        self,
        item: Item,
        piece: Piece,
        holds: AddressSet,
        maybe: AddressSet,
        doubt: Doubt | None,
        visit: Visit,
        back: list[Piece],
    ) -> list[Piece]:
        """Do what a rule does to the sources that it matches or may match; return what goes on behind it."""
        action = item.action
        matched = [Piece(holds, piece.state, piece.doubt)] if holds else []
        matched += [Piece(maybe, piece.state, doubt)] if maybe else []
        if self.recording:
            for one in matched:
                self._note_rule(visit, item.rule_for(one.sources), one)
        rest = Piece(item.without(piece.sources, holds) if holds else piece.sources, piece.state, piece.doubt)
        match action.kind:
            case "RETURN":
                back += matched
            case "JUMP":
                return joined([rest, *self._jump(action.chain, item, matched, visit)])
            case "GOTO":
                back += self._jump(action.chain, item, matched, visit)
            case "CHANGE":
                return joined(self._change(item, rest, matched, maybe))
            case "TRANSLATE":
                self._translate(item, matched)
            case _:
                for one in matched:
                    parts = item.parts(one.sources)
                    self._end(one, parts[0][1], parts)
        return [rest] if rest.sources else []

    def _jump(self, name: str, item: Item, matched: list[Piece], visit: Visit) -> list[Piece]:
        chain = self.chains[visit.chain.table, name]
        return self._chain(chain, joined(matched), Visit(chain, visit.depth + 1))

    def _change(self, item: Item, rest: Piece, matched: list[Piece], maybe: AddressSet) -> list[Piece]:
        """Change the state; a mark that may have been set is not known any more."""
        changed: list[Piece] = []
        for one in matched:
            assert item.action.change is not None
            state = item.action.change(one.state) or one.state
            blurred = _blurred(one.state, state) if maybe and one is matched[-1] else None
            if blurred is not None:
                rest = replace(rest, sources=rest.sources.difference(maybe))
                one = Piece(maybe, blurred, rest.doubt)
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
                self.unknown(one, f"{rule.place}: cannot tell what {item.action.text} chooses")
            else:
                self._accepted.append(Accepted(replace(one, state=state), ()))

    def _end(self, piece: Piece, verdict: Verdict, parts: Sequence[Part]) -> None:
        if verdict.kind == "ACCEPT":
            self._accepted.append(Accepted(piece, parts))
        else:
            self.ends.append(End(piece.sources, parts, piece.doubt))

    def _note_rule(self, visit: Visit, rule: CompiledRule, piece: Piece) -> None:
        doubt, change = piece.doubt, rule.action.change
        if doubt is not None:
            why = doubt.why if doubt.rule is rule else f"{rule.why}, if the packet comes here"
            self._note(visit, rule.position, "unknown", piece, why)
        elif rule.action.kind == "TRANSLATE" and change is not None and (after := change(piece.state)):
            self._note(visit, rule.position, "translated", piece, f"{rule.why}: {destination_text(after)}")
        else:
            self._note(visit, rule.position, "matched", piece, rule.why)

    def _note(self, visit: Visit, position: int, outcome: Outcome, piece: Piece, why: str = "") -> None:
        if self.recording:
            self.events.append(Event(visit, position, outcome, piece, why))


def _possible(items: Iterable[Item], state: State) -> Iterator[tuple[Item, Condition | None]]:
    """Yield what may match a packet in a state, with the first condition that cannot be decided.

    A rule in doubt stands for itself, since the doubt names it.
    """
    for item in items:
        answer = all_hold(item.conditions, state)
        if answer:
            yield item, None
        elif answer is None:
            asked = next(one for one in item.conditions if one.decide(state) is None)
            yield from ((rule, asked) for rule in item.rules)


def destination_text(state: State) -> str:
    """Say where a packet is going, in words."""
    if state.destination is None:
        address = "one of the host's addresses"
    else:
        address = str(IPv4Address(state.destination) if state.family == 4 else IPv6Address(state.destination))
    port = "" if not state.has_ports else f" port {state.destination_port or 'unknown'}"
    return f"to {address}{port}"


def _blurred(before: State, after: State) -> State | None:
    """Forget the marks that may have been set; None when more than marks, or nothing, would differ."""
    blurred = replace(
        before,
        mark=before.mark if before.mark == after.mark else None,
        connmark=before.connmark if before.connmark == after.connmark else None,
    )
    same = replace(after, mark=before.mark, connmark=before.connmark) == before
    return blurred if same and blurred != before else None

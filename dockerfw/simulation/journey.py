"""Owns the way of a packet from hook to hook: the tables in their order, conntrack, and routing in between.

netfilter's priorities give the order: raw, conntrack, mangle, nat, then filter and security. nat sees only
the first packet of a connection, and one that comes back by lo not again. SNAT and masquerading come after
every filter and change nothing here, but for what the host sends to itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from dockerfw.simulation.outcomes import End, Piece, joined
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import State, Tracking
from dockerfw.simulation.surroundings import LOCAL, Surroundings
from dockerfw.simulation.trace import Hook, Verdict
from dockerfw.simulation.walk import Accepted, Walk, destination_text

LOOPBACK = "lo"
_WITHOUT_CONNECTION: dict[str, Tracking] = {"INVALID": "invalid", "UNTRACKED": "untracked"}


@dataclass(slots=True)
class Journey:
    """The way of one packet, or of all sources; `hook` and `state` are those behind the last routing."""

    walk: Walk
    surroundings: Surroundings
    hook: Hook
    state: State

    @classmethod
    def begin(cls, walk: Walk, surroundings: Surroundings, state: State) -> Journey:
        """Start a journey; what is dropped before it is routed counts as on its way to its destination."""
        journey = cls(walk, surroundings, "OUTPUT", state)
        if state.in_interface != "":
            journey.hook = "INPUT" if journey._route(state) == LOCAL else "FORWARD"
        return journey

    def enter(self, piece: Piece) -> None:
        """Lead a packet in by an interface, and on to where it is routed."""
        if self._crosses_unseen(piece.state):
            self._routed(piece, "FORWARD", replace(piece.state, out_interface=piece.state.in_interface))
            self.walk.ends.append(End(piece.sources, ((piece.sources, Verdict("ACCEPT")),), piece.doubt))
            return
        if piece.state.looped:
            piece = tracked(piece)
        pieces = self._table("raw", "PREROUTING", [piece])
        pieces = self._table("mangle", "PREROUTING", [tracked(one) for one in pieces])
        stay: list[Piece] = []
        leave: list[Piece] = []
        for one in self._translated("PREROUTING", pieces):
            way = self._route(one.state)
            hook: Hook = "INPUT" if way == LOCAL else "FORWARD"
            out = "" if way == LOCAL else way
            routed = self._routed(one, hook, replace(one.state, out_interface=out))
            (stay if way == LOCAL else leave).append(routed)
        self._finish(self._filtered("INPUT", stay))
        self._finish(self._after_routing(self._filtered("FORWARD", leave)))

    def send(self, piece: Piece) -> None:
        """Lead a packet that the host sends out, or back in by lo when it is for the host itself."""
        pieces = self._table("raw", "OUTPUT", [self._out(piece)])
        pieces = self._table("mangle", "OUTPUT", [tracked(one) for one in pieces])
        pieces = self._translated("OUTPUT", pieces)
        for one in pieces:
            self._routed(one, "OUTPUT", self._out(one).state)
        # The rules of OUTPUT go on seeing the interface from before a translation.
        filtered = self._filtered("OUTPUT", pieces, mangled=True)
        accepted = self._after_routing([replace(one, piece=self._out(one.piece)) for one in filtered])
        self._finish([one for one in accepted if one.piece.state.out_interface != LOOPBACK])
        back = [one.piece for one in accepted if one.piece.state.out_interface == LOOPBACK]
        # What is masqueraded here comes back with another source.
        back = [looped(one) for one in self._translated("POSTROUTING", back)]
        back = self._table("mangle", "PREROUTING", self._table("raw", "PREROUTING", back))
        self._finish(self._filtered("INPUT", back))

    def _crosses_unseen(self, state: State) -> bool:
        """Say whether a packet goes from port to port of one bridge, where no rule gets to see it."""
        if state.bridge_port is None or self.surroundings.bridges_filtered.get(state.family) is not False:
            return False
        return self._route(state) == state.in_interface

    def _table(self, table: str, chain: str, pieces: Sequence[Piece]) -> list[Piece]:
        return joined(one.piece for one in self.walk.through(table, chain, pieces))

    def _translated(self, chain: str, pieces: Sequence[Piece]) -> list[Piece]:
        """Show nat the packets that it wants to see."""
        first = [one for one in pieces if one.state.first and not one.state.looped]
        others = [one for one in pieces if not one.state.first or one.state.looped]
        return joined([*self._table("nat", chain, first), *others])

    def _filtered(self, hook: Hook, pieces: Sequence[Piece], *, mangled: bool = False) -> list[Accepted]:
        """Lead pieces through mangle, filter and security of one hook."""
        if not mangled:
            pieces = self._table("mangle", hook, pieces)
        return self._again("security", hook, self.walk.through("filter", hook, pieces))

    def _after_routing(self, accepted: Sequence[Accepted]) -> list[Accepted]:
        """Lead on what leaves the host: mangle can still drop it, and it needs a way out."""
        found: list[Accepted] = []
        for one in self._again("mangle", "POSTROUTING", accepted):
            if one.piece.state.out_interface is None:
                self.walk.unknown(one.piece, f"no one way {destination_text(one.piece.state)} is known")
            else:
                found.append(one)
        return found

    def _again(self, table: str, chain: str, accepted: Sequence[Accepted]) -> list[Accepted]:
        """Lead what the filter table lets through past a later chain, without losing which rule let it."""
        compiled = self.walk.chains.get((table, chain))
        if compiled is None or compiled.empty:
            return list(accepted)
        groups: dict[tuple[State, int], list[Accepted]] = {}
        for one in accepted:
            groups.setdefault((one.piece.state, id(one.piece.doubt)), []).append(one)
        found: list[Accepted] = []
        for group in groups.values():
            for left in self._table(table, chain, joined(one.piece for one in group)):
                found += [kept for one in group if (kept := _only(one, left)).piece.sources]
        return found

    def _finish(self, accepted: Iterable[Accepted]) -> None:
        for one in accepted:
            self.walk.ends.append(End(one.piece.sources, one.parts, one.piece.doubt))

    def _out(self, piece: Piece) -> Piece:
        """Find the interface that a packet of the host leaves by."""
        way = self._route(piece.state)
        return replace(piece, state=replace(piece.state, out_interface=LOOPBACK if way == LOCAL else way))

    def _routed(self, piece: Piece, hook: Hook, state: State) -> Piece:
        if piece.doubt is None:
            self.hook, self.state = hook, state
        if hook == "INPUT":
            why = f"{destination_text(state)}: the host itself"
        else:
            why = f"{destination_text(state)}: by {state.out_interface or 'an unknown interface'}"
        self.walk.note("routed", piece, why)
        return replace(piece, state=state)

    def _route(self, state: State) -> str | None:
        if state.stays:
            return LOCAL
        if state.destination is None:
            return None
        address = (IPv4Address if state.family == 4 else IPv6Address)(state.destination)
        return self.surroundings.route(state.family, address, state.in_interface or None)


def tracked(piece: Piece) -> Piece:
    """Let conntrack see a packet, unless a rule or an earlier hook was faster."""
    state = piece.state
    if state.tracking != "before":
        return piece
    made = _WITHOUT_CONNECTION.get(state.connection, "tracked")
    return replace(
        piece,
        state=replace(
            state,
            tracking=made,
            original_destination=state.destination,
            original_port=state.destination_port,
        ),
    )


def looped(piece: Piece) -> Piece:
    """Take a packet that left by lo in again."""
    return replace(piece, state=replace(piece.state, in_interface=LOOPBACK, out_interface="", looped=True))


def _only(one: Accepted, left: Piece) -> Accepted:
    """Keep of what a rule let through what is left behind a later chain."""
    sources = one.piece.sources.intersection(left.sources)
    parts: Sequence[Part] = one.parts
    if sources != one.piece.sources:
        parts = tuple((kept, verdict) for part, verdict in parts if (kept := part.intersection(sources)))
    return Accepted(Piece(sources, left.state, left.doubt), parts)

"""The path of a packet from hook to hook: the tables in their order, conntrack, and routing in between.

netfilter's priorities give the order: raw, conntrack, mangle, nat, then filter and security. nat sees only
the first packet of a connection, and does not see a packet again that comes back by lo. SNAT and masquerading
come after every filter, so they matter only for packets that the host sends to itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from dockerfw.simulation import sentences
from dockerfw.simulation.outcomes import Piece, WalkEnd, join_pieces
from dockerfw.simulation.runs import Part
from dockerfw.simulation.state import PacketState, Tracking
from dockerfw.simulation.surroundings import LOCAL, LOOPBACK, Surroundings
from dockerfw.simulation.trace import Hook, Verdict
from dockerfw.simulation.walk import Accepted, Walk, destination_text

# The route of a packet to a multicast group that the host is not known to be in.
_IF_JOINED = "local, if joined"
_WITHOUT_CONNECTION: dict[str, Tracking] = {"INVALID": "invalid", "UNTRACKED": "untracked"}


@dataclass(slots=True)
class Journey:
    """The path of one packet, or of all sources; `hook` and `state` are those after routing.

    Where an unknown rule leaves one packet two ways, `hook` and the parts of `state` that differ are None.
    """

    walk: Walk
    surroundings: Surroundings
    hook: Hook | None
    state: PacketState
    routed: bool = False

    @classmethod
    def begin(cls, walk: Walk, surroundings: Surroundings, state: PacketState) -> Journey:
        """Start a journey; a packet that is dropped before routing counts as addressed to its destination."""
        journey = cls(walk, surroundings, "OUTPUT", state)
        if state.in_interface != "":
            journey.hook = "INPUT" if journey._route(state) in (LOCAL, _IF_JOINED) else "FORWARD"
        return journey

    def enter(self, piece: Piece) -> None:
        """Move a packet in by an interface and through the tables of the hook that routing chooses."""
        if self._bypasses_rules(piece.state):
            self._note_route(piece, "FORWARD", replace(piece.state, out_interface=piece.state.in_interface))
            self.walk.ends.append(
                WalkEnd(piece.sources, ((piece.sources, Verdict("ACCEPT")),), piece.undecided)
            )
            return
        if piece.state.looped:
            piece = track_connection(piece)
        pieces = self._table("raw", "PREROUTING", [piece])
        pieces = self._table("mangle", "PREROUTING", [track_connection(one) for one in pieces])
        stay: list[Piece] = []
        joined: list[Piece] = []
        leave: list[Piece] = []
        for one in self._translate("PREROUTING", pieces):
            route = self._route(one.state)
            hook: Hook = "INPUT" if route in (LOCAL, _IF_JOINED) else "FORWARD"
            out = "" if hook == "INPUT" else route
            routed = self._note_route(one, hook, replace(one.state, out_interface=out), route=route)
            (stay if route == LOCAL else joined if route == _IF_JOINED else leave).append(routed)
        self._finish(self._filter("INPUT", stay))
        for accepted in self._filter("INPUT", joined):
            self.walk.end_unknown(accepted.piece, sentences.if_joined(destination_text(accepted.piece.state)))
        self._finish(self._send_out(self._filter("FORWARD", leave)))

    def send(self, piece: Piece) -> None:
        """Move a packet that the host sends out, or back in by lo if it is for the host itself."""
        pieces = self._table("raw", "OUTPUT", [self._with_out_interface(piece)])
        pieces = self._table("mangle", "OUTPUT", [track_connection(one) for one in pieces])
        pieces = self._translate("OUTPUT", pieces)
        for one in pieces:
            self._note_route(one, "OUTPUT", self._with_out_interface(one).state)
        # The rules of OUTPUT still see the interface from before a translation.
        filtered = self._filter("OUTPUT", pieces, mangled=True)
        accepted = self._send_out(
            [replace(one, piece=self._with_out_interface(one.piece)) for one in filtered]
        )
        self._finish([one for one in accepted if one.piece.state.out_interface != LOOPBACK])
        back = [one.piece for one in accepted if one.piece.state.out_interface == LOOPBACK]
        # A packet that is masqueraded here comes back with another source.
        back = [loop_back(one) for one in self._translate("POSTROUTING", back)]
        back = self._table("mangle", "PREROUTING", self._table("raw", "PREROUTING", back))
        self._finish(self._filter("INPUT", back))

    def _bypasses_rules(self, state: PacketState) -> bool:
        """Return True if a packet crosses one bridge from port to port, where no rule sees it."""
        if state.bridge_port is None or self.surroundings.bridges_filtered.get(state.family) is not False:
            return False
        return self._route(state) == state.in_interface

    def _table(self, table: str, chain: str, pieces: Sequence[Piece]) -> list[Piece]:
        return join_pieces(one.piece for one in self.walk.run_chain(table, chain, pieces))

    def _translate(self, chain: str, pieces: Sequence[Piece]) -> list[Piece]:
        """Move the first packets of connections through nat."""
        first = [one for one in pieces if one.state.first and not one.state.looped]
        others = [one for one in pieces if not one.state.first or one.state.looped]
        return join_pieces([*self._table("nat", chain, first), *others])

    def _filter(self, hook: Hook, pieces: Sequence[Piece], *, mangled: bool = False) -> list[Accepted]:
        """Move pieces through mangle, filter and security of one hook."""
        if not mangled:
            pieces = self._table("mangle", hook, pieces)
        return self._recheck("security", hook, self.walk.run_chain("filter", hook, pieces))

    def _send_out(self, accepted: Sequence[Accepted]) -> list[Accepted]:
        """Move pieces out of the host; mangle can still drop them, and the route must be known."""
        found: list[Accepted] = []
        for one in self._recheck("mangle", "POSTROUTING", accepted):
            if one.piece.state.out_interface is None:
                self.walk.end_unknown(one.piece, sentences.no_single_route(destination_text(one.piece.state)))
            else:
                found.append(one)
        return found

    def _recheck(self, table: str, chain: str, accepted: Sequence[Accepted]) -> list[Accepted]:
        """Move accepted pieces through a later chain, and keep the rule that accepted each."""
        self.walk.passed.add((table, chain))
        compiled = self.walk.chains.get((table, chain))
        if compiled is None or compiled.empty:
            return list(accepted)
        groups: dict[tuple[PacketState, int], list[Accepted]] = {}
        for one in accepted:
            groups.setdefault((one.piece.state, id(one.piece.undecided)), []).append(one)
        found: list[Accepted] = []
        for group in groups.values():
            for left in self._table(table, chain, join_pieces(one.piece for one in group)):
                found += [kept for one in group if (kept := _keep_passed(one, left)).piece.sources]
        return found

    def _finish(self, accepted: Iterable[Accepted]) -> None:
        for one in accepted:
            self.walk.ends.append(WalkEnd(one.piece.sources, one.parts, one.piece.undecided))

    def _with_out_interface(self, piece: Piece) -> Piece:
        """Set the outgoing interface of a packet that the host sends."""
        route = self._route(piece.state)
        return replace(piece, state=replace(piece.state, out_interface=LOOPBACK if route == LOCAL else route))

    def _note_route(self, piece: Piece, hook: Hook, state: PacketState, *, route: str | None = None) -> Piece:
        if self.routed:
            self.hook = hook if self.hook == hook else None
            self.state = _shared_state(self.state, state)
        else:
            self.routed, self.hook, self.state = True, hook, state
        words = sentences.HOST_ITSELF if hook == "INPUT" else sentences.leaves_by(state.out_interface)
        words = sentences.HOST_IF_JOINED if route == _IF_JOINED else words
        self.walk.note("routed", piece, sentences.routed(destination_text(state), words))
        return replace(piece, state=state)

    def _route(self, state: PacketState) -> str | None:
        if state.stays:
            return LOCAL
        if state.destination is None:
            return None
        address = (IPv4Address if state.family == 4 else IPv6Address)(state.destination)
        route = self.surroundings.route(state.family, address, state.in_interface or None)
        # No host forwards packets to a group, unless it is a multicast router.
        return _IF_JOINED if route is None and state.in_interface and address.is_multicast else route


def _shared_state(one: PacketState, other: PacketState) -> PacketState:
    """Return a state whose destination, port and outgoing interface are None where the two differ."""
    return replace(
        one,
        destination=one.destination if one.destination == other.destination else None,
        destination_port=one.destination_port if one.destination_port == other.destination_port else None,
        out_interface=one.out_interface if one.out_interface == other.out_interface else None,
    )


def track_connection(piece: Piece) -> Piece:
    """Track the connection of a packet, unless a rule or an earlier hook already decided about it."""
    state = piece.state
    if state.tracking != "before":
        return piece
    tracking = _WITHOUT_CONNECTION.get(state.connection, "tracked")
    return replace(
        piece,
        state=replace(
            state,
            tracking=tracking,
            original_destination=state.destination,
            original_port=state.destination_port,
        ),
    )


def loop_back(piece: Piece) -> Piece:
    """Return a packet that left by lo as one that comes in by lo."""
    return replace(piece, state=replace(piece.state, in_interface=LOOPBACK, out_interface="", looped=True))


def _keep_passed(one: Accepted, left: Piece) -> Accepted:
    """Return the accepted sources that also passed a later chain."""
    sources = one.piece.sources.intersection(left.sources)
    parts: Sequence[Part] = one.parts
    if sources != one.piece.sources:
        parts = tuple((kept, verdict) for part, verdict in parts if (kept := part.intersection(sources)))
    return Accepted(Piece(sources, left.state, left.undecided), parts)

"""What `-m conntrack` and its old form `-m state` ask of a first packet (xt_conntrack)."""

from __future__ import annotations

from collections.abc import Iterable

from dockerfw.iptables.matches import Option
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.conditions import (
    AnyCondition,
    Condition,
    Decide,
    IndexedBy,
    MatchQuestion,
    SourceCondition,
    SplitSources,
    condition,
    number,
    undecided_condition,
    words,
)
from dockerfw.simulation.general import network_split, read_network
from dockerfw.simulation.ports import Range, read_ranges, within
from dockerfw.simulation.state import PacketState

_STATES = frozenset({"INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT"})
_STATUSES = frozenset({"NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "DNAT"})
_GRE = 47
_ICMP = frozenset({1, 58})
_GENERIC_PORT = 0
_FEW_PORTS = 64
NO_CONNECTION = -1
"""The original port of a packet that has no connection."""


def conntrack(question: MatchQuestion) -> list[AnyCondition]:
    """Read the options of `-m conntrack`.

    For a packet without a connection, a match that asks for a state depends on the state alone. Any other
    match fails, negated or not.
    """
    by_state = any(option.name == "--ctstate" for option in question.options)
    return [_read(question, option, by_state) for option in question.options]


def original_port(state: PacketState) -> int | None:
    """Return the port that the client connected to, as conntrack stores it: for ICMP it is type and code."""
    if state.tracking != "tracked":
        return NO_CONNECTION
    if state.connection != "NEW":
        return None
    if state.has_ports:
        return state.original_port
    if state.protocol in _ICMP:
        known = state.icmp_type is not None and state.icmp_code is not None
        return (state.icmp_type or 0) << 8 | (state.icmp_code or 0) if known else None
    return _GENERIC_PORT if state.protocol != _GRE else None


def _read(question: MatchQuestion, option: Option, by_state: bool) -> AnyCondition:
    text = option.values[0] if len(option.values) == 1 else ""
    names = frozenset(text.split(","))
    if option.name == "--ctstate" and names <= _STATES:
        return _Connection(question, option, by_state).state(names)
    connection = _Connection(question, option, by_state)
    protocol = number(text)
    if option.name == "--ctproto" and protocol is not None:
        return connection.condition("protocol", lambda state: state.protocol == protocol)
    if option.name == "--ctdir" and text in ("ORIGINAL", "REPLY"):
        return connection.condition("direction", lambda state: text == "ORIGINAL")
    if option.name == "--ctstatus" and names <= _STATUSES:
        return connection.condition(
            "connection status",
            lambda state: (state.looped and "CONFIRMED" in names) or (state.translated and "DNAT" in names),
        )
    network = read_network(option.values, question.family)
    if network is not None and option.name in _ADDRESSES:
        return connection.address(*network)
    ranges = read_ranges(text)
    if ranges is not None and option.name in _PORTS:
        return connection.port(ranges)
    return undecided_condition(question, option)


_ADDRESSES = {
    "--ctorigsrc": "original source",
    "--ctrepldst": "destination of replies",
    "--ctorigdst": "original destination",
    "--ctreplsrc": "source of replies",
}
_PORTS = {
    "--ctorigsrcport": "original source port",
    "--ctrepldstport": "destination port of replies",
    "--ctorigdstport": "original destination port",
    "--ctreplsrcport": "source port of replies",
}


class _Connection:
    """One option about the connection of the packet."""

    def __init__(self, question: MatchQuestion, option: Option, by_state: bool) -> None:
        self.question = question
        self.option = option
        self.by_state = by_state

    def state(self, wanted: frozenset[str]) -> AnyCondition:
        """Make a condition on the state, which packets without a connection have too."""

        def decide(state: PacketState) -> bool | None:
            if state.tracking != "tracked":
                return ("UNTRACKED" if state.tracking == "untracked" else "INVALID") in wanted
            if state.connection in wanted or (state.translated and "DNAT" in wanted):
                return True
            if state.connection == "NEW":
                return None if state.looped and "SNAT" in wanted else False
            return None if wanted & {"SNAT", "DNAT"} else False

        return condition("connection state", ",".join(sorted(wanted)), self.option.negated, decide)

    def condition(
        self, subject: str, decide: Decide, field: IndexedBy | None = None, values: Iterable[int] = ()
    ) -> Condition:
        """Make a condition on something that is known only for the first packet of a connection."""

        def guarded(state: PacketState) -> bool | None:
            if state.tracking != "tracked":
                return self.by_state
            answer = decide(state) if state.connection == "NEW" else None
            return None if answer is None else answer != self.option.negated

        found = frozenset(() if self.option.negated or self.by_state else values)
        yes, no = words(subject, self.option.values[0], self.option.negated)
        return Condition(yes, no, guarded, field if found else None, found)

    def address(self, value: int, mask: int) -> AnyCondition:
        """Make a condition on one of the four addresses of the connection."""
        subject = _ADDRESSES[self.option.name]
        if self.option.name in ("--ctorigdst", "--ctreplsrc"):
            original = self.option.name == "--ctorigdst"

            def decide(state: PacketState) -> bool | None:
                found = state.original_destination if original else state.destination
                return None if found is None else found & mask == value

            return self.condition(subject, decide)
        return self._source(subject, network_split(self.question.family, value, mask))

    def _source(self, subject: str, split: SplitSources) -> SourceCondition:
        """Make a condition on the source, which stays the same until SNAT, after every filter."""
        nothing = AddressSet.nothing(self.question.family)
        before_nat = self.option.name == "--ctorigsrc"

        def guarded(state: PacketState, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
            if state.tracking != "tracked":
                return (sources if self.by_state else nothing), nothing
            if state.connection != "NEW" or (state.looped and not before_nat):
                return nothing, sources
            holds, unknown = split(state, sources)
            if self.option.negated:
                holds = sources.difference(holds).difference(unknown)
            return holds, unknown

        yes, no = words(subject, self.option.values[0], self.option.negated)
        return SourceCondition(yes, no, None, guarded)

    def port(self, ranges: list[Range]) -> AnyCondition:
        """Make a condition on one of the four ports of the connection."""
        name = self.option.name

        def decide(state: PacketState) -> bool | None:
            if name == "--ctorigdstport":
                return within(original_port(state), ranges)
            if state.looped and name == "--ctrepldstport":
                return None
            if not state.has_ports:
                # The identifier of an echo and the key of a tunnel are unknown; other protocols have neither.
                known = state.protocol not in _ICMP and state.protocol != _GRE
                return within(_GENERIC_PORT, ranges) if known else None
            return within(state.destination_port if name == "--ctreplsrcport" else state.source_port, ranges)

        few = name == "--ctorigdstport" and sum(last - first + 1 for first, last in ranges) <= _FEW_PORTS
        values = [port for first, last in ranges for port in range(first, last + 1)] if few else []
        return self.condition(_PORTS[name], decide, "original port", values)

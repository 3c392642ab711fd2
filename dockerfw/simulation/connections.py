"""Owns what `-m conntrack` asks of a first packet, as xt_conntrack decides it; `-m state` is its old name."""

from __future__ import annotations

from collections.abc import Iterable

from dockerfw.iptables.matches import Option
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.conditions import (
    AnyCondition,
    Asked,
    Condition,
    Decide,
    IndexedBy,
    SourceCondition,
    Split,
    condition,
    number,
    undecided,
    words,
)
from dockerfw.simulation.general import network_split, read_network
from dockerfw.simulation.ports import Range, read_ranges, within
from dockerfw.simulation.state import State

_STATES = frozenset({"INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT"})
_STATUSES = frozenset({"NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"})
_GRE = 47
_ICMP = frozenset({1, 58})
_GENERIC_PORT = 0
_FEW_PORTS = 64
NO_CONNECTION = -1
"""The original port of a packet that has no connection."""


def conntrack(asked: Asked) -> list[AnyCondition]:
    """Read the options of `-m conntrack`.

    A packet without a connection meets a match that asks for the state, if the state fits, whatever else the
    match asks; it meets no other match, negated or not.
    """
    by_state = any(option.name == "--ctstate" for option in asked.options)
    return [_read(asked, option, by_state) for option in asked.options]


def original_port(state: State) -> int | None:
    """Return the port that the client dialled, as conntrack keeps it: for ICMP it is type and code."""
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


def _read(asked: Asked, option: Option, by_state: bool) -> AnyCondition:
    text = option.values[0] if len(option.values) == 1 else ""
    names = frozenset(text.split(","))
    if option.name == "--ctstate" and names <= _STATES:
        return _Connection(asked, option, by_state).state(names)
    asking = _Connection(asked, option, by_state)
    protocol = number(text)
    if option.name == "--ctproto" and protocol is not None:
        return asking.condition("protocol", lambda state: state.protocol == protocol)
    if option.name == "--ctdir" and text in ("ORIGINAL", "REPLY"):
        return asking.condition("direction", lambda state: text == "ORIGINAL")
    if option.name == "--ctstatus" and names <= _STATUSES:
        return asking.condition("connection status", lambda state: state.looped and "CONFIRMED" in names)
    network = read_network(option.values, asked.family)
    if network is not None and option.name in _ADDRESSES:
        return asking.address(*network)
    ranges = read_ranges(text)
    if ranges is not None and option.name in _PORTS:
        return asking.port(ranges)
    return undecided(asked, option)


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
    """One option that asks something of the packet's connection."""

    def __init__(self, asked: Asked, option: Option, by_state: bool) -> None:
        self.asked = asked
        self.option = option
        self.by_state = by_state

    def state(self, wanted: frozenset[str]) -> AnyCondition:
        """Ask for the state, which packets without a connection have too."""

        def decide(state: State) -> bool | None:
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
        """Ask for something that only the first packet of a connection is sure to have."""

        def guarded(state: State) -> bool | None:
            if state.tracking != "tracked":
                return self.by_state
            answer = decide(state) if state.connection == "NEW" else None
            return None if answer is None else answer != self.option.negated

        found = frozenset(() if self.option.negated or self.by_state else values)
        yes, no = words(subject, self.option.values[0], self.option.negated)
        return Condition(yes, no, guarded, field if found else None, found)

    def address(self, value: int, mask: int) -> AnyCondition:
        """Ask for one of the connection's four addresses."""
        subject = _ADDRESSES[self.option.name]
        if self.option.name in ("--ctorigdst", "--ctreplsrc"):
            original = self.option.name == "--ctorigdst"

            def decide(state: State) -> bool | None:
                found = state.original_destination if original else state.destination
                return None if found is None else found & mask == value

            return self.condition(subject, decide)
        return self._source(subject, network_split(self.asked.family, value, mask))

    def _source(self, subject: str, split: Split) -> SourceCondition:
        """Ask for the source, which the connection keeps until SNAT, after every filter."""
        nothing = AddressSet.nothing(self.asked.family)
        before_nat = self.option.name == "--ctorigsrc"

        def guarded(state: State, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
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
        """Ask for one of the connection's four ports."""
        name = self.option.name

        def decide(state: State) -> bool | None:
            if name == "--ctorigdstport":
                return within(original_port(state), ranges)
            if state.looped and name == "--ctrepldstport":
                return None
            if not state.has_ports:
                # The identifier of an echo and the key of a tunnel nobody has said; others have none.
                told = state.protocol not in _ICMP and state.protocol != _GRE
                return within(_GENERIC_PORT, ranges) if told else None
            return within(state.destination_port if name == "--ctreplsrcport" else state.source_port, ranges)

        few = name == "--ctorigdstport" and sum(last - first + 1 for first, last in ranges) <= _FEW_PORTS
        values = [port for first, last in ranges for port in range(first, last + 1)] if few else []
        return self.condition(_PORTS[name], decide, "original port", values)

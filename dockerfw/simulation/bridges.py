"""What `-m physdev` asks: the bridge port that a packet came in by, and whether it only crosses the bridge.

Packets have a port only if br_netfilter sends bridged packets through the rules (xt_physdev.c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dockerfw.iptables.matches import Option
from dockerfw.simulation.conditions import AnyCondition, MatchQuestion, condition, undecided_condition
from dockerfw.simulation.general import same_device
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

NO_PORT = ""


def physdev(question: MatchQuestion) -> list[AnyCondition]:
    """Read --physdev-in, --physdev-out, and the three options that ask whether there is a port at all."""
    ports = _BridgePorts(question.surroundings, question.surroundings.bridges_filtered.get(question.family))
    return [
        _read_option(question, option, ports.decision(option.name, option.values))
        for option in question.options
    ]


def _read_option(
    question: MatchQuestion, option: Option, decide: Callable[[PacketState], bool | None] | None
) -> AnyCondition:
    if decide is None:
        return undecided_condition(question, option)
    words = " ".join(["one with", option.name, *option.values])
    return condition("the packet", words, option.negated, decide)


class _BridgePorts:
    """Answers about bridge ports; `filtered` is None if it is unknown whether rules see bridged packets."""

    def __init__(self, surroundings: Surroundings, filtered: bool | None) -> None:
        self._surroundings = surroundings
        self._filtered = filtered

    def decision(self, name: str, values: tuple[str, ...]) -> Callable[[PacketState], bool | None] | None:
        """Return the function that decides an option, or None for an unknown option."""
        if values:
            pattern = values[0] if len(values) == 1 else NO_PORT
            named: Mapping[str, Callable[[PacketState], bool | None]] = {
                "--physdev-in": lambda state: self._came_by_named(state, pattern),
                "--physdev-out": lambda state: self._leaves_by(state, pattern),
            }
            return named.get(name)
        return {
            "--physdev-is-in": self._came_by_port,
            "--physdev-is-out": self._crosses,
            "--physdev-is-bridged": self._crosses,
        }.get(name)

    def _port(self, state: PacketState) -> str | None:
        if state.in_interface is None:
            return None
        if state.bridge_port is None or self._filtered is False:
            return NO_PORT
        return (state.bridge_port or None) if self._filtered else None

    def _came_by_port(self, state: PacketState) -> bool | None:
        port = self._port(state)
        return None if port is None else port != NO_PORT

    def _came_by_named(self, state: PacketState, pattern: str) -> bool | None:
        port = self._port(state)
        return None if port is None else port != NO_PORT and same_device(pattern, port)

    def _crosses(self, state: PacketState) -> bool | None:
        came_by = self._came_by_port(state)
        if not came_by or state.out_interface is None:
            return False if came_by is False else None
        return state.out_interface == state.in_interface

    def _leaves_by(self, state: PacketState, pattern: str) -> bool | None:
        """Decide --physdev-out: the exact port is unknown, but it is another port of the bridge."""
        if self._port(state) == NO_PORT:
            return False
        if not self._crosses(state):
            return None
        others = [
            same_device(pattern, one.name)
            for one in self._surroundings.interfaces
            if one.master == state.in_interface and one.name != state.bridge_port
        ]
        return others[0] if len(set(others)) == 1 else None

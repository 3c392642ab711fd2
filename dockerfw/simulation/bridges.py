"""Owns what `-m physdev` asks: by which port of a bridge a packet came, and whether it only crosses it.

Packets have ports only where br_netfilter leads what crosses bridges through the rules (xt_physdev.c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dockerfw.iptables.matches import Option
from dockerfw.simulation.conditions import AnyCondition, Asked, condition, undecided
from dockerfw.simulation.general import same_device
from dockerfw.simulation.state import State
from dockerfw.simulation.surroundings import Surroundings

NO_PORT = ""


def physdev(asked: Asked) -> list[AnyCondition]:
    """Read --physdev-in, --physdev-out, and the three that ask whether there is such a port at all."""
    ports = _Ports(asked.surroundings, asked.surroundings.bridges_filtered.get(asked.family))
    return [_read(asked, option, ports.decision(option.name, option.values)) for option in asked.options]


def _read(asked: Asked, option: Option, decide: Callable[[State], bool | None] | None) -> AnyCondition:
    if decide is None:
        return undecided(asked, option)
    words = " ".join(["one with", option.name, *option.values])
    return condition("the packet", words, option.negated, decide)


class _Ports:
    """The answers where bridges are filtered, where they are not, and where nobody knows (None)."""

    def __init__(self, surroundings: Surroundings, filtered: bool | None) -> None:
        self._surroundings = surroundings
        self._filtered = filtered

    def decision(self, name: str, values: tuple[str, ...]) -> Callable[[State], bool | None] | None:
        """Return how an option is decided; None for one that is not known."""
        if values:
            pattern = values[0] if len(values) == 1 else NO_PORT
            named: Mapping[str, Callable[[State], bool | None]] = {
                "--physdev-in": lambda state: self._came_by(state, pattern),
                "--physdev-out": lambda state: self._leaves_by(state, pattern),
            }
            return named.get(name)
        return {
            "--physdev-is-in": self._came_by_any,
            "--physdev-is-out": self._crosses,
            "--physdev-is-bridged": self._crosses,
        }.get(name)

    def _port(self, state: State) -> str | None:
        if state.in_interface is None:
            return None
        if state.bridge_port is None or self._filtered is False:
            return NO_PORT
        return (state.bridge_port or None) if self._filtered else None

    def _came_by_any(self, state: State) -> bool | None:
        port = self._port(state)
        return None if port is None else port != NO_PORT

    def _came_by(self, state: State, pattern: str) -> bool | None:
        port = self._port(state)
        return None if port is None else port != NO_PORT and same_device(pattern, port)

    def _crosses(self, state: State) -> bool | None:
        came_by = self._came_by_any(state)
        if not came_by or state.out_interface is None:
            return False if came_by is False else None
        return state.out_interface == state.in_interface

    def _leaves_by(self, state: State, pattern: str) -> bool | None:
        """Behind which port of the bridge the destination is nobody has said, but it is one of the others."""
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

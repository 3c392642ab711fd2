"""What the matches tcp, udp, sctp, multiport and icmp ask: ports, flags of a SYN, types and codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from dockerfw.iptables.matches import Option
from dockerfw.iptables.protocols import protocol_name
from dockerfw.simulation.conditions import (
    AnyCondition,
    Condition,
    MatchQuestion,
    condition,
    number,
    undecided_condition,
    words,
)
from dockerfw.simulation.state import PORTS_PROTOCOLS, PacketState

Range = tuple[int, int]

_TCP, _PROTOCOLS = 6, {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "icmp": 1, "icmp6": 58}
_FEW_PORTS = 64
_EVERY_PORT: Range = (0, 65535)


def ports(question: MatchQuestion) -> list[AnyCondition]:
    """Read the options of `-m tcp`, `-m udp` and `-m sctp`; a TCP packet is a SYN."""
    protocol = _PROTOCOLS[question.module]
    found: list[AnyCondition] = []
    for option in question.options:
        ranges = read_ranges(option.values[0]) if len(option.values) == 1 else None
        # iptables-nft loads "no port at all" as no condition, iptables-legacy as one that nothing meets.
        unclear = option.negated and ranges == [_EVERY_PORT]
        if option.name in ("--sport", "--dport") and ranges is not None and not unclear:
            side: Literal["source", "destination"] = "source" if option.name == "--sport" else "destination"
            found.append(_port(side, option, ranges, frozenset({protocol})))
        elif option.name == "--tcp-flags" and protocol == _TCP and len(option.values) == 2:
            found.append(_flags(question, option))
        else:
            found.append(undecided_condition(question, option))
    return [_protocol_condition(protocol), *found] if question.protocol != protocol else found


def multiport(question: MatchQuestion) -> list[AnyCondition]:
    """Read --sports, --dports and --ports."""
    found: list[AnyCondition] = []
    for option in question.options:
        ranges = read_ranges(option.values[0]) if len(option.values) == 1 else None
        if ranges is None or option.name not in ("--sports", "--dports", "--ports"):
            found.append(undecided_condition(question, option))
        elif option.name == "--ports":
            found.append(_either_port(option, ranges))
        else:
            side: Literal["source", "destination"] = "source" if option.name == "--sports" else "destination"
            found.append(_port(side, option, ranges, PORTS_PROTOCOLS))
    return found


def icmp(question: MatchQuestion) -> list[AnyCondition]:
    """Read --icmp-type and --icmpv6-type."""
    protocol = _PROTOCOLS[question.module]
    found: list[AnyCondition] = [] if question.protocol == protocol else [_protocol_condition(protocol)]
    for option in question.options:
        kind, slash, code = option.values[0].partition("/") if len(option.values) == 1 else ("", "", "")
        kind_number, code_number = number(kind), number(code)
        if kind_number is None or (slash and code_number is None):
            found.append(undecided_condition(question, option))
        else:
            found.append(_icmp_type(question.module, option, kind_number, code_number))
    return found


def _icmp_type(module: str, option: Option, kind: int, code: int | None) -> AnyCondition:
    def decide(state: PacketState) -> bool | None:
        if module == "icmp" and kind == 255:
            return True
        if state.icmp_type is None:
            return None
        if state.icmp_type != kind or code is None:
            return state.icmp_type == kind
        return None if state.icmp_code is None else state.icmp_code == code

    return condition("ICMP type", option.values[0], option.negated, decide)


def _port(
    side: Literal["source", "destination"], option: Option, ranges: list[Range], protocols: frozenset[int]
) -> AnyCondition:
    few = side == "destination" and sum(last - first + 1 for first, last in ranges) <= _FEW_PORTS
    return _for_protocols(
        protocols,
        f"{side} port",
        option,
        lambda state: within(state.source_port if side == "source" else state.destination_port, ranges),
        [port for first, last in ranges for port in range(first, last + 1)] if few else [],
    )


def _either_port(option: Option, ranges: list[Range]) -> AnyCondition:
    def decide(state: PacketState) -> bool | None:
        source, destination = within(state.source_port, ranges), within(state.destination_port, ranges)
        if source or destination:
            return True
        return None if source is None or destination is None else False

    return _for_protocols(PORTS_PROTOCOLS, "source or destination port", option, decide)


def _flags(question: MatchQuestion, option: Option) -> AnyCondition:
    mask, wanted = (frozenset(text.split(",")) - {"NONE"} for text in option.values)
    holds = mask & {"SYN"} == wanted
    return _for_protocols(
        frozenset({_TCP}), "the flags", option, lambda state: holds if state.connection == "NEW" else None
    )


def _for_protocols(
    protocols: frozenset[int],
    subject: str,
    option: Option,
    decide: Callable[[PacketState], bool | None],
    ports: Iterable[int] = (),
) -> AnyCondition:
    """Make a condition that fails for a packet of another protocol, negated or not."""

    def guarded(state: PacketState) -> bool | None:
        if state.protocol not in protocols:
            return False
        answer = decide(state)
        return None if answer is None else answer != option.negated

    values = frozenset(() if option.negated else ports)
    yes, no = words(subject, " ".join(option.values), option.negated)
    return Condition(yes, no, guarded, "port" if values else None, values)


def _protocol_condition(protocol: int) -> AnyCondition:
    return condition("protocol", protocol_name(protocol), False, lambda state: state.protocol == protocol)


def within(port: int | None, ranges: list[Range]) -> bool | None:
    """Return True if a port is in one of the ranges, and None if the port is unknown and that matters."""
    if port is None:
        return True if ranges == [(0, 65535)] else None
    return any(first <= port <= last for first, last in ranges)


def read_ranges(text: str) -> list[Range] | None:
    """Read comma-separated ports and first:last as numbers; return None if it is something else."""
    found: list[Range] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        start, end = number(first), number(last if colon else first)
        if start is None or end is None:
            return None
        found.append((start, min(end, 65535)))
    return found

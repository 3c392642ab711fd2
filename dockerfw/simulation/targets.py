"""What the target of a rule does to a packet: decide, send it to another chain, change it, or nothing.

A target that is not in the tables below makes the verdict UNKNOWN, for example because a program may decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Literal

from dockerfw.iptables.matches import Option, Target
from dockerfw.iptables.model import Family
from dockerfw.iptables.target_extensions import TARGETS
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import LAST
from dockerfw.simulation.general import masked_number
from dockerfw.simulation.match_readers import normalise_options
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.surroundings import Surroundings

StateChange = Callable[[PacketState], PacketState | None]
ActionKind = Literal[
    "ACCEPT",
    "DROP",
    "REJECT",
    "RETURN",
    "JUMP",
    "GOTO",
    "CONTINUE",
    "CHANGE",
    "TRANSLATE",
    "UNKNOWN",
]

CONTINUING = frozenset(
    {
        *("LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "LED", "TEE", "SET", "CHECKSUM", "CLASSIFY", "IDLETIMER"),
        *("TCPMSS", "TCPOPTSTRIP", "TOS", "DSCP", "ECN", "TTL", "HL", "RATEEST", "SECMARK", "CONNSECMARK"),
    }
)
"""Targets after which a packet continues unchanged, as far as any condition here can see."""

_DEFAULT_REJECT: dict[Family, str] = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}
_ALL_BITS = 0xFFFFFFFF
_TO = re.compile(
    r"(?:\[(?P<in>[^]]*)\]|(?P<out>[^:\[\]]*)|(?P<v6>[0-9a-fA-F:.]*(?:-[0-9a-fA-F:.]*)?))"
    r"(?::(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9}))?(?P<base>/[0-9]+)?)?"
)


@dataclass(frozen=True, slots=True)
class Action:
    """What a target does; `text` describes it.

    CHANGE and TRANSLATE have a `change`, which returns None if the result is unknown. TRANSLATE also ends the
    path through the table.
    """

    kind: ActionKind
    text: str
    chain: str = ""
    reject_with: str = ""
    change: StateChange | None = None


@dataclass(frozen=True, slots=True)
class TargetContext:
    """What an action can depend on besides the target."""

    family: Family
    surroundings: Surroundings
    chains: Collection[str]


def read_action(target: Target | None, context: TargetContext) -> Action:
    """Return what a target does; a rule without a target only counts."""
    if target is None:
        return Action("CONTINUE", sentences.COUNTED)
    name = target.name
    if name in context.chains:
        return Action("GOTO" if target.goto else "JUMP", sentences.continues_in(name), chain=name)
    known = TARGETS.get(name)
    options = normalise_options(target.options, known, context.family) if known else target.options
    if name == "REJECT":
        answer = next(
            (option.values[0] for option in options if option.values), _DEFAULT_REJECT[context.family]
        )
        return _reject(answer)
    if name in _PLAIN:
        return _PLAIN[name]
    if name == "SET" and any(option.name.startswith("--map") for option in options):
        return _unknown(target)
    if name in CONTINUING:
        return Action("CONTINUE", sentences.continues_after(name))
    reader = _CHANGES.get(name)
    change = reader(options, context) if reader else None
    if change is None:
        return _unknown(target)
    translates = name in ("DNAT", "REDIRECT", "NETMAP")
    return Action("TRANSLATE" if translates else "CHANGE", _words(target), change=change)


_PLAIN: dict[str, Action] = {
    "ACCEPT": Action("ACCEPT", sentences.ACCEPTED),
    "DROP": Action("DROP", sentences.DROPPED),
    "RETURN": Action("RETURN", sentences.RETURNED),
}


@lru_cache(maxsize=256)
def _reject(answer: str) -> Action:
    """Return one shared action per answer, so that actions can be compared by identity."""
    return Action("REJECT", sentences.rejected_with(answer), reject_with=answer)


def _unknown(target: Target) -> Action:
    return Action("UNKNOWN", sentences.cannot_tell_effect(_words(target)))


def _words(target: Target) -> str:
    words = [word for option in target.options for word in (option.name, *option.values)]
    return " ".join(["-g" if target.goto else "-j", target.name, *words])


def _mark(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    """--set-xmark value/mask: clears the bits of the mask and XORs the value in"""
    wanted = masked_number(options[0].values) if len(options) == 1 else None
    if wanted is None or options[0].name != "--set-xmark":
        return None
    value, mask = wanted

    def change(state: PacketState) -> PacketState:
        if state.mark is None and mask != _ALL_BITS:
            return state
        mark = _merge_mark(state.mark or 0, mask, value)
        return replace(state, mark=mark, unsure_bits=state.unsure_bits & ~mask)

    return change


def _connmark(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    """--set-xmark value/mask | ( --save-mark | --restore-mark ) [ --nfmask mask ] [ --ctmask mask ]"""
    named = {option.name: option.values for option in options}
    if named.keys() == {"--set-xmark"}:
        wanted = masked_number(named["--set-xmark"])
        return None if wanted is None else _set_connmark(*wanted)
    verbs = named.keys() & {"--save-mark", "--restore-mark"}
    masks = [masked_number(named.get(name, (hex(_ALL_BITS),))) for name in ("--nfmask", "--ctmask")]
    if len(verbs) != 1 or named.keys() - verbs - {"--nfmask", "--ctmask"} or None in masks:
        return None
    of_packet, of_connection = (mask[0] for mask in masks if mask is not None)
    saves = verbs == {"--save-mark"}

    def change(state: PacketState) -> PacketState:
        if state.tracking != "tracked":
            return state
        if state.mark is None or state.unsure_bits or state.connmark is None:
            return replace(state, connmark=None) if saves else replace(state, mark=None, unsure_bits=0)
        if saves:
            return replace(state, connmark=_merge_mark(state.connmark, of_connection, state.mark & of_packet))
        return replace(state, mark=_merge_mark(state.mark, of_packet, state.connmark & of_connection))

    return change


def _set_connmark(value: int, mask: int) -> StateChange:
    def change(state: PacketState) -> PacketState:
        if state.tracking != "tracked" or (state.connmark is None and mask != _ALL_BITS):
            return state
        return replace(state, connmark=_merge_mark(state.connmark or 0, mask, value))

    return change


def _merge_mark(former: int, mask: int, value: int) -> int:
    return (former & ~mask & _ALL_BITS) ^ value


def _connection_tracking(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    """--notrack disables tracking unless conntrack has seen the packet; no other option matters here"""
    return _notrack if any(option.name == "--notrack" for option in options) else _unchanged


def _no_tracking(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    return _notrack


def _notrack(state: PacketState) -> PacketState:
    return replace(state, tracking="untracked") if state.tracking == "before" else state


def _unchanged(state: PacketState) -> PacketState:
    return state


def _destination_nat(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    """--to-destination [ address [ "-" address ] ] [ ":" port [ "-" port ] ]"""
    named = [option for option in options if option.name == "--to-destination"]
    found = _TO.fullmatch(named[0].values[0]) if len(named) == 1 and len(named[0].values) == 1 else None
    if found is None or found["base"]:
        return None
    text = found["in"] or found["out"] or found["v6"] or ""
    first, _, last = text.partition("-")
    try:
        addresses = [ip_address(one) for one in (first, last or first)] if text else []
    except ValueError:
        return None
    if any(address.version != context.family for address in addresses):
        return None
    ports = (int(found["first"]), int(found["last"] or found["first"])) if found["first"] else None
    random = any(option.name.startswith("--random") for option in options)

    def change(state: PacketState) -> PacketState | None:
        if addresses and addresses[0] != addresses[1]:
            return None
        destination = int(addresses[0]) if addresses else state.destination
        return _translate(state, destination, _translated_port(state, ports, random))

    return change


def _redirect(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    """[ --to-ports port [ "-" port ] ]: to the first address of the incoming interface, or to loopback"""
    named = [option.values[0] for option in options if option.name == "--to-ports" and option.values]
    found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", named[0]) if named else None
    if len(named) > 1 or (named and found is None):
        return None
    ports = (int(found[1]), int(found[2] or found[1])) if found else None
    random = any(option.name.startswith("--random") for option in options)

    def change(state: PacketState) -> PacketState | None:
        port = _translated_port(state, ports, random)
        if state.in_interface == "":
            loopback = 127 << 24 | 1 if context.family == 4 else 1
            return _translate(state, loopback, port)
        return _to_interface(state, port, context)

    return change


def _to_interface(state: PacketState, port: int | None, context: TargetContext) -> PacketState | None:
    if state.in_interface is None:
        return None
    addresses = [
        address.ip
        for _, address in context.surroundings.addresses(context.family, state.in_interface)
        if context.family == 4 or not address.is_link_local
    ]
    if not addresses:
        return None
    if context.family == 4 or len(addresses) == 1:
        return _translate(state, int(addresses[0]), port)
    return replace(state, destination=None, destination_port=port, translated=True, stays=True)


def _netmap(options: tuple[Option, ...], context: TargetContext) -> StateChange | None:
    """--to network: another network, the same host in it"""
    try:
        network = ip_network(options[0].values[0], strict=False) if len(options) == 1 else None
    except (ValueError, IndexError):
        return None
    if network is None or options[0].name != "--to" or network.version != context.family:
        return None
    mask = int(network.netmask)

    def change(state: PacketState) -> PacketState | None:
        if state.destination is None:
            return None
        rest = state.destination & ~mask & LAST[context.family]
        return _translate(state, int(network.network_address) | rest, state.destination_port)

    return change


def _translated_port(state: PacketState, ports: tuple[int, int] | None, random: bool) -> int | None:
    port = state.destination_port
    if ports is None or not state.has_ports:
        return port
    if ports[0] == ports[1]:
        return ports[0]
    return port if port is not None and ports[0] <= port <= ports[1] and not random else None


def _translate(state: PacketState, destination: int | None, port: int | None) -> PacketState:
    same = destination == state.destination and port == state.destination_port
    return replace(
        state, destination=destination, destination_port=port, translated=state.translated or not same
    )


_CHANGES: dict[str, Callable[[tuple[Option, ...], TargetContext], StateChange | None]] = {
    "MARK": _mark,
    "CONNMARK": _connmark,
    "CT": _connection_tracking,
    "NOTRACK": _no_tracking,
    "DNAT": _destination_nat,
    "REDIRECT": _redirect,
    "NETMAP": _netmap,
}

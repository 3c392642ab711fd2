"""What the options of every rule ask (-s -d -p -i -o -f), and the matches iprange, mark, mac and similar."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from dockerfw.iptables.matches import Option
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import protocol_name
from dockerfw.simulation import sentences
from dockerfw.simulation.addresses import BITS, LAST, AddressSet
from dockerfw.simulation.conditions import (
    AnyCondition,
    MatchQuestion,
    SplitSources,
    condition,
    never,
    number,
    source_in,
    source_split,
    undecided_condition,
)
from dockerfw.simulation.state import PacketState

_MAX_INTERVALS = 4096
_MAX_MARK_LENGTH = 64


def general(question: MatchQuestion) -> list[AnyCondition]:
    """Read -s, -d, -p, -i, -o and -f."""
    return [_GENERAL.get(option.name, undecided_condition)(question, option) for option in question.options]


def _source(question: MatchQuestion, option: Option) -> AnyCondition:
    network = read_network(option.values, question.family)
    if network is None:
        return undecided_condition(question, option)
    known = masked_addresses(question.family, *network)
    if known is not None:
        return source_in("source", option.values[0], option.negated, known)
    return source_split("source", option.values[0], option.negated, network_split(question.family, *network))


def network_split(family: Family, value: int, mask: int) -> SplitSources:
    """Return a split by `value` under a mask; a mask with many gaps is decided for one source at a time."""
    known = masked_addresses(family, value, mask)
    nothing = AddressSet.nothing(family)

    def split(state: PacketState, sources: AddressSet) -> tuple[AddressSet, AddressSet]:
        if known is not None:
            return sources.intersection(known), nothing
        if sources.count() != 1:
            return nothing, sources
        return (sources, nothing) if sources.intervals[0][0] & mask == value else (nothing, nothing)

    return split


def _destination(question: MatchQuestion, option: Option) -> AnyCondition:
    network = read_network(option.values, question.family)
    if network is None:
        return undecided_condition(question, option)
    value, mask = network
    exact = [value] if mask == LAST[question.family] else []
    return condition(
        "destination",
        option.values[0],
        option.negated,
        lambda state: None if state.destination is None else state.destination & mask == value,
        "destination" if exact else None,
        exact,
    )


def _protocol(question: MatchQuestion, option: Option) -> AnyCondition:
    text = option.values[0] if len(option.values) == 1 else ""
    wanted = number(text)
    if wanted is None:
        return undecided_condition(question, option)
    return condition(
        "protocol", protocol_name(wanted), option.negated, lambda state: wanted in (0, state.protocol)
    )


def _in_interface(question: MatchQuestion, option: Option) -> AnyCondition:
    return _device(question, option, "incoming interface", lambda state: state.in_interface)


def _out_interface(question: MatchQuestion, option: Option) -> AnyCondition:
    return _device(question, option, "outgoing interface", lambda state: state.out_interface)


def _device(
    question: MatchQuestion, option: Option, subject: str, name_of: Callable[[PacketState], str | None]
) -> AnyCondition:
    if len(option.values) != 1:
        return undecided_condition(question, option)
    name = option.values[0]

    def decide(state: PacketState) -> bool | None:
        found = name_of(state)
        return None if found is None else same_device(name, found)

    return condition(subject, name, option.negated, decide)


def same_device(pattern: str, name: str) -> bool:
    """Return True if an interface matches the pattern of a rule, where a + at the end matches any rest."""
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _fragment(question: MatchQuestion, option: Option) -> AnyCondition:
    return condition("the packet", "a further fragment", option.negated, lambda state: False)


_GENERAL = {
    "-s": _source,
    "-d": _destination,
    "-p": _protocol,
    "-i": _in_interface,
    "-o": _out_interface,
    "-f": _fragment,
}


def iprange(question: MatchQuestion) -> list[AnyCondition]:
    """Read --src-range and --dst-range."""
    found: list[AnyCondition] = []
    for option in question.options:
        interval = _interval(option.values, question.family)
        if interval is None:
            found.append(undecided_condition(question, option))
        elif option.name == "--src-range":
            ordered = [interval] if interval[0] <= interval[1] else []
            addresses = AddressSet.from_intervals(question.family, ordered)
            found.append(source_in("source", option.values[0], option.negated, addresses))
        elif option.name == "--dst-range":
            found.append(_destination_range(option, *interval))
        else:
            found.append(undecided_condition(question, option))
    return found


def _destination_range(option: Option, first: int, last: int) -> AnyCondition:
    return condition(
        "destination",
        option.values[0],
        option.negated,
        lambda state: None if state.destination is None else first <= state.destination <= last,
    )


def mark(question: MatchQuestion) -> list[AnyCondition]:
    """Read --mark of `-m mark`."""
    return [
        _mark_condition(question, option, "mark", lambda state: state.mark, lambda state: state.unsure_bits)
        for option in question.options
    ]


def connmark(question: MatchQuestion) -> list[AnyCondition]:
    """Read --mark of `-m connmark`; without a connection a packet matches neither it nor its negation."""
    followed = condition(
        "the packet", "one of a connection", False, lambda state: state.tracking == "tracked"
    )
    read = [
        _mark_condition(question, option, "connection mark", lambda state: state.connmark)
        for option in question.options
    ]
    return [followed, *read]


def _mark_condition(
    question: MatchQuestion,
    option: Option,
    subject: str,
    mark_of: Callable[[PacketState], int | None],
    unsure_of: Callable[[PacketState], int] = lambda state: 0,
) -> AnyCondition:
    wanted = masked_number(option.values)
    if option.name != "--mark" or wanted is None:
        return undecided_condition(question, option)
    value, mask = wanted

    def decide(state: PacketState) -> bool | None:
        found, unsure = mark_of(state), unsure_of(state)
        if found is None:
            return None
        if (found & mask) & ~unsure != value & ~unsure:
            return False
        return None if mask & unsure else found & mask == value

    return condition(subject, option.values[0], option.negated, decide)


def mac(question: MatchQuestion) -> list[AnyCondition]:
    """Read --mac-source; a packet that did not arrive over Ethernet matches neither it nor its negation."""
    found: list[AnyCondition] = []
    for option in question.options:
        if option.name != "--mac-source" or len(option.values) != 1:
            found.append(undecided_condition(question, option))
            continue
        found += [
            condition("the packet", "from another machine", False, lambda state: state.in_interface != "lo"),
            _ethernet_source(option, option.values[0].lower()),
        ]
    return found


def _ethernet_source(option: Option, address: str) -> AnyCondition:
    return condition(
        "Ethernet source",
        address,
        option.negated,
        lambda state: None if state.mac is None else state.mac.lower() == address,
    )


def extension_header(question: MatchQuestion) -> list[AnyCondition]:
    """Read `-m rt` and `-m frag`: a packet without the header matches neither them nor their negation."""
    return [never(sentences.NO_EXTENSION_HEADER)]


def masked_addresses(family: Family, value: int, mask: int) -> AddressSet | None:
    """Return the addresses that equal `value` under a mask, or None if they form too many intervals."""
    free = mask ^ LAST[family]
    if not free & (free + 1):
        return AddressSet(family, ((value & mask, value & mask | free),))
    low = BITS[family] if not mask else (mask & -mask).bit_length() - 1
    gaps = [bit for bit in range(low, BITS[family]) if free >> bit & 1]
    if 1 << len(gaps) > _MAX_INTERVALS:
        return None
    size = (1 << low) - 1
    starts = [value & mask]
    for bit in gaps:
        starts += [start | 1 << bit for start in starts]
    if value & free:
        return AddressSet.nothing(family)
    return AddressSet.from_intervals(family, [(start, start | size) for start in starts])


def masked_number(values: tuple[str, ...]) -> tuple[int, int] | None:
    """Read value/mask as iptables prints marks."""
    short = len(values) == 1 and len(values[0]) <= _MAX_MARK_LENGTH
    value, slash, mask = values[0].partition("/") if short else ("", "", "")
    try:
        return int(value, 0), int(mask, 0) if slash else 0xFFFFFFFF
    except ValueError:
        return None


def read_network(values: tuple[str, ...], family: Family) -> tuple[int, int] | None:
    """Read address/prefix or address/mask as a value and its mask; return None if it is something else."""
    address, _, mask = values[0].partition("/") if len(values) == 1 else ("", "", "")
    value = _address(address, family)
    if value is None:
        return None
    if not mask:
        return value, LAST[family]
    bits = number(mask)
    if bits is None:
        found = _address(mask, family)
    else:
        found = LAST[family] ^ ((1 << (BITS[family] - bits)) - 1) if bits <= BITS[family] else None
    return None if found is None else (value & found, found)


def _interval(values: tuple[str, ...], family: Family) -> tuple[int, int] | None:
    first, _, last = values[0].partition("-") if len(values) == 1 else ("", "", "")
    start, end = _address(first, family), _address(last or first, family)
    return None if start is None or end is None else (start, end)


def _address(text: str, family: Family) -> int | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return int(found) if found.version == family else None

"""The members of an ipset as `ipset save` prints them: their addresses, and the comments on them.

A member is the text after `add NAME`: `192.0.2.0/24 nomatch packets 3 bytes 180 comment "a1c2 k3f9"`. Sets
can have a million members, so each is read once and remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import BITS, LAST, AddressSet, Interval
from dockerfw.simulation.packet import Address
from dockerfw.simulation.remembered import Remembered
from dockerfw.simulation.surroundings import IpSet

Member = tuple[int, int, bool]
"""The first and the last address, and False for one that `nomatch` excludes."""

MEMBER_TYPES: Final = frozenset({"hash:ip", "hash:net", "bitmap:ip"})
"""The types whose members are single addresses or networks."""

_MOST_REMEMBERED: Final = 4_000_000
_OCTET: Final = r"(0|[1-9][0-9]{0,2})"
_V4: Final = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/([0-9]{{1,2}}))?")
_V6: Final = re.compile(r"([0-9a-fA-F:.]{2,45})(?:/([0-9]{1,3}))?")
_NETMASK: Final = re.compile(r"\bnetmask ([0-9]{1,3})\b")
_COMMENT: Final = ' comment "'
_NO_MATCH: Final = "nomatch"
_OWN_LABEL: Final = "dockerfw:"

_addresses: Remembered[AddressSet] = Remembered(_MOST_REMEMBERED)
_by_id: Remembered[Mapping[str, AddressSet]] = Remembered(_MOST_REMEMBERED)


def member_addresses(found: IpSet, family: Family) -> AddressSet | None:
    """Return all addresses in a set of one of MEMBER_TYPES, or None if a member cannot be read."""
    assert found.members is not None
    key = (found.members, found.options, family)
    known = _addresses.get(key)
    if known is not None:
        return known
    read = read_members(found.members, family)
    if read is None:
        return None
    return _addresses.put(key, widen(combine_members(family, read), found), len(found.members) or 1)


def read_members(members: Sequence[str], family: Family) -> list[Member] | None:
    """Return the members, or None if one is no address or network of this family."""
    found: list[Member] = []
    for text in members:
        read = read_member(text, family)
        if read is None:
            return None
        found.append(read)
    return found


def read_member(text: str, family: Family) -> Member | None:
    """member = address [ "/" prefix ] [ "-" address ] { option }"""
    network, _, options = text.partition(" ")
    interval = _read_network(network, family)
    if interval is None:
        return None
    # A comment can contain every word.
    excluded = _NO_MATCH in options and _NO_MATCH in f" {options}".partition(_COMMENT)[0].split()
    return (*interval, not excluded)


def _read_network(text: str, family: Family) -> Interval | None:
    found = (_V4 if family == 4 else _V6).fullmatch(text)
    if found is None:
        return _read_range(text, family)
    bits = int(found[found.re.groups] or BITS[family])
    value = _read_v4(found) if family == 4 else _read_v6(found[1])
    if value is None or bits > BITS[family]:
        return None
    free = (1 << (BITS[family] - bits)) - 1
    return value & ~free, value | free


def _read_v4(found: re.Match[str]) -> int | None:
    first, second, third, fourth = int(found[1]), int(found[2]), int(found[3]), int(found[4])
    if first > 255 or second > 255 or third > 255 or fourth > 255:
        return None
    return first << 24 | second << 16 | third << 8 | fourth


def _read_v6(text: str) -> int | None:
    try:
        return int(IPv6Address(text))
    except ValueError:
        return None


def _read_range(text: str, family: Family) -> Interval | None:
    first, dash, last = text.partition("-")
    try:
        start, end = ip_network(first, strict=False), ip_network(last if dash else first, strict=False)
    except ValueError:
        return None
    if start.version != family or end.version != family or "%" in text:
        return None
    return int(start.network_address), int(end.broadcast_address)


def combine_members(family: Family, members: Sequence[Member]) -> AddressSet:
    """Return the members: the smallest network with an address decides, and nomatch excludes the address."""
    if all(counts for _, _, counts in members):
        return AddressSet.from_intervals(family, [(first, last) for first, last, _ in members])
    return AddressSet.from_intervals(family, _cut_nested(members))


def _cut_nested(members: Sequence[Member]) -> Iterator[Interval]:
    """Yield the parts that a member which counts decides; networks lie apart or inside each other."""
    # The networks around `at`, the smallest one last.
    around: list[tuple[int, bool]] = []
    at = 0
    for first, last, counts in sorted(members, key=lambda member: (member[0], -member[1])):
        while around and around[-1][0] < first:
            end, inside = around.pop()
            if inside and at <= end:
                yield at, end
            at = max(at, end + 1)
        if around and around[-1][1] and at < first:
            yield at, first - 1
        at = first
        around.append((last, counts))
    while around:
        end, inside = around.pop()
        if inside and at <= end:
            yield at, end
        at = max(at, end + 1)


def widen(addresses: AddressSet, found: IpSet) -> AddressSet:
    """Return all addresses of the networks that a set with a netmask stores by their first address."""
    netmask = _NETMASK.search(found.options)
    if netmask is None or addresses.is_everything:
        return addresses
    size = (1 << max(0, BITS[addresses.family] - int(netmask[1]))) - 1
    last = LAST[addresses.family]
    return AddressSet.from_intervals(
        addresses.family, [(start & ~size & last, end | size) for start, end in addresses.intervals]
    )


def ids_of(found: IpSet, address: Address) -> tuple[str, ...]:
    """Return the ids of the rules that a static set of dockerfw's contains an address for.

    They are the words of the comment on the smallest network that contains it. Nothing is returned for an
    address that is not in the set, and for a set whose members are unknown.
    """
    wanted = {text: place for place, text in enumerate(covering_texts(address))}
    best: tuple[int, str] | None = None
    for member in found.members or ():
        network, _, options = member.partition(" ")
        place = wanted.get(network)
        if place is not None and (best is None or place < best[0]):
            best = place, options
    if best is None:
        return ()
    before, _, comment = f" {best[1]}".partition(_COMMENT)
    if _NO_MATCH in before.split():
        return ()
    return _ids_in(comment)


def _ids_in(comment: str) -> tuple[str, ...]:
    return tuple(comment.removesuffix('"').replace(_OWN_LABEL, "").split())


def addresses_by_id(found: IpSet, family: Family) -> Mapping[str, AddressSet]:
    """Return the addresses that a static set of dockerfw's contains for each rule, by the rule's id.

    Networks of several rules may overlap. A set whose members are unknown, or carry no ids, has none.
    """
    if not found.members:
        return {}
    key = (found.members, family)
    known = _by_id.get(key)
    if known is not None:
        return known
    intervals: dict[str, list[Interval]] = {}
    for member in found.members:
        head, mark, comment = member.partition(_COMMENT)
        read = read_member(head, family) if mark else None
        if read is not None and read[2]:
            for rule_id in _ids_in(comment):
                intervals.setdefault(rule_id, []).append((read[0], read[1]))
    by_id = {rule_id: AddressSet.from_intervals(family, each) for rule_id, each in intervals.items()}
    return _by_id.put(key, by_id, len(found.members))


def member_text(network: str, ids: Iterable[str] = ()) -> str:
    """Return the member for a network of these rules, as `ipset save` prints it, without counters."""
    comment = " ".join(ids)
    return f'{network}{_COMMENT}{comment}"' if comment else network


def covering_texts(address: Address) -> Iterator[str]:
    """Yield every network with an address as ipset prints it, the smallest, which has no length, first."""
    family: Family = 4 if address.version == 4 else 6
    kind = IPv4Address if family == 4 else IPv6Address
    value, bits = int(address), BITS[family]
    for length in range(bits, -1, -1):
        start = kind(value & ~((1 << (bits - length)) - 1))
        ending = "" if length == bits else f"/{length}"
        yield f"{start}{ending}"
        if isinstance(start, IPv6Address) and int(start) >> 32 in (0, 0xFFFF):
            # ipset ends these like IPv4.
            yield f"{_ending_like_ipv4(start)}{ending}"


def _ending_like_ipv4(address: IPv6Address) -> str:
    start = "::ffff:" if int(address) >> 32 else "::"
    return f"{start}{ip_address(int(address) & LAST[4])}"

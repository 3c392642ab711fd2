"""Lists of networks as files have them: read within bounds, kept as exact sets, printed, and compared.

The judge of a new version is in list_judgement.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from dockerfw.chains import list_sentences as sentences
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.simulation.addresses import BITS, AddressSet, Interval

MOST_BYTES: Final = 64 * 1024 * 1024
MOST_ENTRIES: Final = 1_000_000
MOST_SHOWN: Final = 60

_V4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:/(\d{1,2}))?", re.ASCII)
_V6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?", re.ASCII)
_RANGE = re.compile(r"([0-9A-Fa-f:.]{2,45})\s*-\s*([0-9A-Fa-f:.]{2,45})", re.ASCII)


class ListRefused(NetfilterError):  # noqa: N818 - it states a fact
    """Text that is not used as a list; the text of the error says why."""


@dataclass(frozen=True, slots=True)
class NetworkList:
    """The networks of one version of a list, as exact sets of addresses.

    `widest4` and `widest6` are the shortest prefixes that the list itself names, which neighbours that were
    joined may fall below; 33 and 129 without an entry.
    """

    v4: AddressSet
    v6: AddressSet
    widest4: int = 33
    widest6: int = 129

    def of(self, family: Family) -> AddressSet:
        """Return the addresses of a family."""
        return self.v4 if family == 4 else self.v6

    def widest(self, family: Family) -> int:
        """Return the shortest prefix of a family that the list names."""
        return self.widest4 if family == 4 else self.widest6

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def texts(self, family: Family) -> Iterator[str]:
        """Yield the fewest networks of a family in order, as ipset prints them: an address has no length."""
        return network_texts(self.of(family))

    def to_text(self) -> str:
        """Return the networks in canonical order, IPv4 first, one in each line."""
        return "".join(f"{text}\n" for family in FAMILIES for text in self.texts(family))


@dataclass(frozen=True, slots=True)
class ListChange:
    """The difference between two versions of a family: networks and addresses that came and went."""

    added: int
    removed: int
    addresses_before: int
    addresses_after: int


NO_NETWORKS: Final = NetworkList(AddressSet.nothing(4), AddressSet.nothing(6))


def parse_list(data: bytes) -> NetworkList:
    """Read a list: an address, network or range in each line, comments after `#` or `;`.

    Raises ListRefused for anything else, without a single network, and beyond the bounds.
    """
    if len(data) > MOST_BYTES:
        raise ListRefused(sentences.TOO_LARGE.format(most=MOST_BYTES))
    if b"\0" in data:
        raise ListRefused(sentences.BINARY)
    # Comments may be in any encoding.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    if text.lstrip()[:1] == "<":
        raise ListRefused(sentences.NOT_A_LIST)
    found = list_of(_entries(text))
    if not found:
        raise ListRefused(sentences.EMPTY)
    return found


def list_of(entries: Iterable[tuple[Family, int, int]]) -> NetworkList:
    """Return the list of these intervals: IP version, first and last address. Raises ListRefused."""
    intervals: dict[Family, list[Interval]] = {4: [], 6: []}
    spans: dict[Family, int] = {4: 0, 6: 0}
    for count, (family, first, last) in enumerate(entries, 1):
        if count > MOST_ENTRIES:
            raise ListRefused(sentences.TOO_MANY.format(most=MOST_ENTRIES))
        intervals[family].append((first, last))
        if last - first >= spans[family]:
            spans[family] = last - first + 1
    widest = {
        family: BITS[family] - (spans[family] - 1).bit_length() if spans[family] else BITS[family] + 1
        for family in FAMILIES
    }
    return NetworkList(
        AddressSet.from_intervals(4, intervals[4]),
        AddressSet.from_intervals(6, intervals[6]),
        widest[4],
        widest[6],
    )


def list_of_networks(texts: Iterable[str]) -> NetworkList:
    """Return the list of these addresses and networks. Raises ListRefused."""
    return list_of(_entry(number, text) for number, text in enumerate(texts, 1))


def network_texts(addresses: AddressSet) -> Iterator[str]:
    """Yield the fewest networks that make up a set, in order, an address without its length."""
    bits = BITS[addresses.family]
    for first, last in addresses.intervals:
        start = first
        while start <= last:
            size = _size_at(start, last, bits)
            shown = _address_text(start, addresses.family)
            yield shown if size == 0 else f"{shown}/{bits - size}"
            start += 1 << size


def range_networks(first: str, last: str) -> tuple[str, ...]:
    """Return the networks from one address to another as texts, () if it is no range."""
    try:
        family, start, end = _range(first, last)
    except ValueError:
        return ()
    return tuple(network_texts(AddressSet.from_intervals(family, [(start, end)])))


def widest_network(addresses: AddressSet) -> int:
    """Return the shortest prefix of what `network_texts` yields, one more than the longest without any."""
    bits, widest = BITS[addresses.family], BITS[addresses.family] + 1
    for first, last in addresses.intervals:
        start = first
        # What is left is too short for a wider one, most often at once.
        while last - start + 1 >= 1 << (bits - widest + 1):
            size = _size_at(start, last, bits)
            widest = min(widest, bits - size)
            start += 1 << size
    return widest


def count_networks(addresses: AddressSet) -> int:
    """Return the number of networks that `network_texts` yields."""
    bits, count = BITS[addresses.family], 0
    for first, last in addresses.intervals:
        start = first
        while start <= last:
            count += 1
            start += 1 << _size_at(start, last, bits)
    return count


def _size_at(start: int, last: int, bits: int) -> int:
    """Return the bits of the largest network that begins at an address, aligned, and not beyond the last."""
    return min((start & -start).bit_length() - 1 if start else bits, (last - start + 1).bit_length() - 1)


def digest_of_list(text: str) -> str:
    """Return the SHA-256 digest of what `NetworkList.to_text` returns."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def compare_lists(former: NetworkList, new: NetworkList, family: Family) -> ListChange:
    """Return what changed of a family from one version to another."""
    before, after = former.of(family), new.of(family)
    if before == after:
        return ListChange(0, 0, before.count(), after.count())
    old, now = set(network_texts(before)), set(network_texts(after))
    return ListChange(len(now - old), len(old - now), before.count(), after.count())


def _entries(text: str) -> Iterator[tuple[Family, int, int]]:
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].partition(";")[0].strip()
        if entry:
            yield _entry(number, entry)


def _entry(number: int, text: str) -> tuple[Family, int, int]:
    """Read `ADDRESS[/PREFIX]` or `ADDRESS - ADDRESS`."""
    if found := _V4.fullmatch(text):
        a, b, c, d, prefix = found.groups()
        numbers = (int(a), int(b), int(c), int(d))
        length = 32 if prefix is None else int(prefix)
        # "010" is eight for some programs and ten for others.
        plain = all(part == "0" or part[0] != "0" for part in (a, b, c, d))
        if max(numbers) <= 255 and length <= 32 and plain:
            size = 32 - length
            first = (numbers[0] << 24 | numbers[1] << 16 | numbers[2] << 8 | numbers[3]) >> size << size
            return 4, first, first + (1 << size) - 1
    else:
        try:
            if _V6.fullmatch(text) and ":" in text:
                network = IPv6Network(text, strict=False)
                first = int(network.network_address)
                return 6, first, first + network.num_addresses - 1
            if between := _RANGE.fullmatch(text):
                return _range(between[1], between[2])
        except ValueError:
            pass
    raise ListRefused(sentences.NO_ENTRY.format(line=number, text=text[:MOST_SHOWN]))


def _range(first: str, last: str) -> tuple[Family, int, int]:
    """Read the two ends of a range. Raises ValueError."""
    if ":" in first:
        start, end, family = int(IPv6Address(first)), int(IPv6Address(last)), 6
    else:
        start, end, family = int(IPv4Address(first)), int(IPv4Address(last)), 4
    if end < start:
        raise ValueError("the range ends before it starts")
    return (6 if family == 6 else 4), start, end


def _address_text(value: int, family: Family) -> str:
    if family == 4:
        return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
    return str(IPv6Address(value))

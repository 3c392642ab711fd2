"""The size of a group: its networks, merged where they overlap or touch, and how many addresses they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dockerfw.chains.list_entries import count_networks
from dockerfw.document.rule_fields import source_order
from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import BITS, AddressSet


@dataclass(frozen=True, slots=True)
class GroupSize:
    """The fewest networks of each IP version that have all addresses of a group, and the number of these."""

    networks4: int = 0
    networks6: int = 0
    addresses4: int = 0
    addresses6: int = 0

    @property
    def networks(self) -> int:
        """Return the number of networks of both IP versions."""
        return self.networks4 + self.networks6


def size_of_entries(entries: Iterable[str]) -> GroupSize:
    """Return the size of a static group, whose entries may overlap."""
    intervals: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for entry in entries:
        version, first, length, _ = source_order(entry)
        intervals[version].append((first, first + (1 << BITS[4 if version == 4 else 6] - length) - 1))
    v4, v6 = AddressSet.from_intervals(4, intervals[4]), AddressSet.from_intervals(6, intervals[6])
    return GroupSize(count_networks(v4), count_networks(v6), v4.count(), v6.count())


def size_of_networks(texts: Iterable[str]) -> GroupSize:
    """Return the size of networks that are merged already, as versions of lists have them."""
    # The lengths are enough, and a list has up to a million networks.
    lengths = Counter((":" in text, text.partition("/")[2]) for text in texts)
    networks, addresses = {4: 0, 6: 0}, {4: 0, 6: 0}
    for (is_v6, length), count in lengths.items():
        family: Family = 6 if is_v6 else 4
        networks[family] += count
        addresses[family] += count << BITS[family] - int(length or BITS[family])
    return GroupSize(networks[4], networks[6], addresses[4], addresses[6])

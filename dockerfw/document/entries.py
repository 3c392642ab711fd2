"""Find addresses and networks in sorted lists of them, such as the entries of a static group.

A list has the order of `source_order`, in which it is searched by halves: 100,000 entries are not read.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from dockerfw.document.rule_fields import source_order

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_network(text: str) -> Network | None:
    """Return the address or network that a text is, None for any other text; host bits are dropped."""
    address, slash, length = text.strip().partition("/")
    if slash and not (length.isascii() and length.isdigit()):
        return None
    try:
        return ipaddress.ip_network(f"{address}{slash}{length}", strict=False)
    except ValueError:
        return None


def count_families(entries: Sequence[str]) -> tuple[int, int]:
    """Return how many of the entries are IPv4 and how many IPv6."""
    ipv4 = _place(entries, (6, 0, 0, ""))
    return ipv4, len(entries) - ipv4


def find_covering(entries: Sequence[str], network: Network) -> Iterator[str]:
    """Yield the entries in which a network lies, the widest first; the network itself is one."""
    for length in range(network.prefixlen + 1):
        wide = str(network.supernet(new_prefix=length))
        place = _place(entries, source_order(wide))
        if place < len(entries) and entries[place] == wide:
            yield wide


def find_inside(entries: Sequence[str], network: Network) -> Iterator[str]:
    """Yield the entries that lie in a network and are smaller."""
    first, last = int(network.network_address), int(network.broadcast_address)
    low = _place(entries, (network.version, first, 0, ""))
    high = _place(entries, (network.version, last + 1, 0, ""))
    for place in range(low, high):
        if source_order(entries[place])[2] > network.prefixlen:
            yield entries[place]


def overlaps(entries: Sequence[str], network: Network) -> bool:
    """Return True if an entry covers a network or lies in it."""
    covering = next(find_covering(entries, network), None)
    return covering is not None or next(find_inside(entries, network), None) is not None


def _place(entries: Sequence[str], key: tuple[int, int, int, str]) -> int:
    return bisect_left(entries, key, key=source_order)

"""The source addresses that stand for the internet: all of IPv4, and the global addresses of IPv6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dockerfw.iptables.model import Family
from dockerfw.simulation.addresses import AddressSet

WORLD: Final[Mapping[Family, AddressSet]] = {
    4: AddressSet.everything(4),
    6: AddressSet.of(6, ["2000::/3"]),
}


def covers_the_internet(family: Family, addresses: AddressSet) -> bool:
    """Return True if a set holds more than half of the internet: a few banned addresses are exceptions."""
    return 2 * addresses.intersection(WORLD[family]).count() > WORLD[family].count()

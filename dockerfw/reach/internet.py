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

UNROUTED: Final[Mapping[Family, AddressSet]] = {
    4: AddressSet.of(4, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")),
    6: AddressSet.of(6, ("::/127", "fe80::/10", "ff00::/8")),
}
"""The source addresses that no router forwards."""


def covers_the_internet(family: Family, addresses: AddressSet) -> bool:
    """Return True if a set holds more than half of the internet: a few banned addresses are exceptions."""
    return 2 * addresses.intersection(WORLD[family]).count() > WORLD[family].count()

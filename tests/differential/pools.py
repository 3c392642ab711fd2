"""The values for random rules and packets: few, so that rules and packets often match.

All randomness comes from the dice that the caller passes in, so a seed repeats everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

from tests.differential.world import BRIDGE, CONTAINER_ADDRESSES, HOST_ADDRESSES
from tests.rig.namespace import Family

T = TypeVar("T")

PORTS: Final = (22, 53, 80, 81, 443, 5353, 5432, 8080, 8081, 8082, 8083, 8084, 8443, 9100, 9101, 9102, 40000)
PUBLISHED: Final = (5353, 8080, 8081, 8082, 8084, 8443, 9100, 9101)
"""Ports that containers publish to other hosts, on all addresses or one."""
SOURCE_PORTS: Final = (53, 123, 547, 1023, 1024, 32768, 40000, 50505, 65535)
PORT_RANGES: Final = ("1:1023", "8000:8090", "9100:9101", "0:65535", "1024:65535", "5000:", ":80", "443:443")

STRANGERS: Final[dict[Family, tuple[str, ...]]] = {
    4: (
        "198.51.100.77",
        "198.51.100.130",
        "203.0.113.50",
        "10.1.2.3",
        "192.0.2.55",
        "8.8.8.8",
        "172.17.0.99",
    ),
    6: (
        *("2001:db8:1::77", "2001:db8:1::8000", "2001:db8:2::50", "fd00:1::3", "2600::55"),
        *("2001:db8:ffff::8", "2001:db8:d0c::99"),
    ),
}
"""Addresses that no host in the world has, near and far."""

NETWORKS: Final[dict[Family, tuple[str, ...]]] = {
    4: (
        *("198.51.100.0/24", "198.51.100.64/26", "203.0.113.0/24", "10.0.0.0/8", "8.8.8.8/32", "0.0.0.0/1"),
        *("172.17.0.0/16", "172.30.0.0/16", "172.16.0.0/12", "128.0.0.0/1", "192.0.2.55/32"),
    ),
    6: (
        *("2001:db8:1::/64", "2001:db8:1::/65", "2001:db8:2::/64", "fd00::/8", "2600::55/128", "2000::/3"),
        *("2001:db8:d0c::/64", "2001:db8:d0d::/64", "2001:db8::/32", "fe80::/10", "::/1"),
    ),
}
MASKED: Final[dict[Family, tuple[str, ...]]] = {
    4: ("10.0.2.0/255.0.255.0", "0.0.0.1/0.0.0.1", "198.51.0.77/255.255.0.255"),
    6: ("2001:db8::77/ffff:ffff::ffff", "::1/::1"),
}
"""Networks whose masks have gaps."""

INTERFACES: Final = ("ens33", "ens34", "docker0", BRIDGE, "ens+", "br-+", "docker+", "lo", "e+", "eth0", "+")
PORTS_OF_BRIDGES: Final = (
    "vethweb",
    "vethother",
    "vethplain",
    "vethshop",
    "vethvault",
    "veth+",
    "vethp+",
    "ens33",
)
MACS: Final = (
    "02:00:00:00:01:02",
    "02:00:00:00:02:02",
    "02:42:ac:11:00:02",
    "02:42:ac:1e:00:02",
    "02:00:00:00:09:09",
)
MARKS: Final = ("0x0", "0x1", "0x10", "0x11", "0x1/0x1", "0x10/0xf0", "0x0/0xff")


def addresses(family: Family) -> tuple[str, ...]:
    """Return addresses of all kinds."""
    return HOST_ADDRESSES[family] + CONTAINER_ADDRESSES[family] + STRANGERS[family]


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Dice:
    """A random source with the few choices that are needed here."""

    random: Random

    def one(self, values: Sequence[T]) -> T:
        """Return one of the values."""
        return self.random.choice(values)

    def some(self, values: Sequence[T], most: int) -> list[T]:
        """Return from one to `most` different values."""
        return self.random.sample(list(values), self.random.randint(1, min(most, len(values))))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability

    def maybe_not(self, probability: float = 0.2) -> list[str]:
        """Return `!` with this probability, or nothing."""
        return ["!"] if self.chance(probability) else []

    def number(self, first: int, last: int) -> int:
        """Return a number from `first` to `last`."""
        return self.random.randint(first, last)


def network_near(dice: Dice, bases: Sequence[Address]) -> Network:
    """Return a network, of one address or many, around one of these addresses or a little beside it."""
    base = dice.one(bases)
    bits = base.max_prefixlen
    length = dice.number(8, bits) if dice.chance(0.3) else dice.number(bits * 3 // 4, bits)
    moved = int(base) ^ (dice.number(0, 255) if dice.chance(0.6) else dice.number(0, (1 << bits) - 1))
    made = type(base)(moved)
    return ipaddress.ip_network(f"{made}/{length}", strict=False)

"""The internet of the sandbox: `python -m scripts.stack.visitors` runs at the other end of its ens33.

Customers open the shop and scanners try ports, a few real packets each second, from addresses that are
reserved for documentation. Until rules are applied, all of them are let in.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from scripts.stack.programs import has_ipv6
from scripts.stack.shop import HOST, HOST6

# The sandbox routes these to the world (see `sandbox`).
CUSTOMERS: Final = "198.51.100.0/24"
SCANNERS: Final = "203.0.113.0/24"
SCANNERS6: Final = "2001:db8:77::/120"
WANTED: Final = (443, 443, 443, 80, 8080)
TRIED: Final = (22, 22, 22, 23, 445, 2375, 3306, 3389, 5432, 5900, 6379, 8080, 9100, 9200, 9200)
# The pauses between two visits, and the seconds that a visitor waits for an answer.
MEAN_PAUSE: Final = 1.0
PATIENCE: Final = 0.5
# Of a hundred visits.
FROM_CUSTOMERS: Final = 45
BY_IPV6: Final = 15


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection that somebody opens."""

    source: str
    target: str
    port: int
    protocol: socket.SocketKind = socket.SOCK_STREAM


def visits(chance: random.Random, *, ipv6: bool) -> Iterator[Visit]:
    """Yield what arrives at the host, without end."""
    # Most of a log comes from few scanners.
    scanners = [_address(chance, SCANNERS) for _ in range(6)]
    while True:
        kind = chance.randrange(100)
        if kind < FROM_CUSTOMERS:
            yield Visit(_address(chance, CUSTOMERS), HOST, chance.choice(WANTED))
        elif ipv6 and kind < FROM_CUSTOMERS + BY_IPV6:
            yield Visit(_address(chance, SCANNERS6), HOST6, chance.choice(TRIED))
        elif kind == 99:
            yield Visit(chance.choice(scanners), HOST, 5060, socket.SOCK_DGRAM)
        else:
            yield Visit(chance.choice(scanners), HOST, chance.choice(TRIED))


def visit(one: Visit) -> None:
    """Open the connection and close it, whatever the answer is."""
    family = socket.AF_INET6 if ":" in one.target else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, one.protocol) as opened:
        opened.settimeout(PATIENCE)
        opened.bind((one.source, 0))
        opened.connect((one.target, one.port))
        if one.protocol == socket.SOCK_DGRAM:
            opened.send(b"OPTIONS sip:100@example.net SIP/2.0\r\n\r\n")


def main() -> int:
    """Visit the host until the process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    chance = random.Random()  # noqa: S311
    for one in visits(chance, ipv6=has_ipv6()):
        visit(one)
        time.sleep(chance.expovariate(1 / MEAN_PAUSE))
    return 0


def _address(chance: random.Random, network: str) -> str:
    addresses = ip_network(network)
    return str(addresses[chance.randrange(1, addresses.num_addresses - 1)])


if __name__ == "__main__":
    sys.exit(main())

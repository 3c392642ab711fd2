"""The ports of containers' own addresses that Docker's rules accept, read from its filter table.

In gateway mode `routed` such a rule is all that publishes a port: no port of the host leads there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from dockerfw.chains.names import DOCKER
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.reach.listening import OpenPort

# As all releases of Docker write it, and as iptables-save prints it.
_OPENED: Final = re.compile(
    rf"-A {DOCKER} -d (\S+)/(?:32|128) ! -i \S+ -o \S+ -p ([a-z]+) -m [a-z]+ "
    r"--dport ([0-9]{1,5}) -j ACCEPT",
    re.ASCII,
)


def find_opened(ruleset: Ruleset, family: Family) -> tuple[OpenPort, ...]:
    """Return the ports that rules of Docker's chain accept at the address of one container."""
    return tuple(_opened(ruleset, family))


def _opened(ruleset: Ruleset, family: Family) -> Iterator[OpenPort]:
    chain = ruleset.chain("filter", DOCKER)
    for rule in chain.rules if chain else ():
        found = _OPENED.fullmatch(rule.text)
        if found is None:
            continue
        try:
            address = ip_address(found[1])
        except ValueError:
            continue
        if address.version == family and 1 <= int(found[3]) <= 65535:
            yield OpenPort(family, found[2], address, int(found[3]))

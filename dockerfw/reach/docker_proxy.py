"""The sockets that docker-proxy holds, as members of a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dockerfw.iptables.model import Family
from dockerfw.reach.listening import DOCKER_PROXY, Listener

# A set of networks takes no /0, so any address is two halves.
_ANY_ADDRESS: Final[Mapping[Family, tuple[str, str]]] = {
    4: ("0.0.0.0/1", "128.0.0.0/1"),
    6: ("::/1", "8000::/1"),
}


def proxy_members(listeners: Sequence[Listener], family: Family) -> Iterator[str]:
    """Yield the members for docker-proxy's sockets, except those that only the host itself reaches."""
    for each in listeners:
        if each.process != DOCKER_PROXY or each.interface or family not in each.families:
            continue
        address = each.address
        if address is None:
            yield from (f"{half},{each.protocol}:{each.port}" for half in _ANY_ADDRESS[family])
        elif not address.is_loopback:
            yield f"{address},{each.protocol}:{each.port}"

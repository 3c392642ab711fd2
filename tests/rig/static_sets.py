"""Static sets for tests, and documents whose sources are compiled into such."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains.static_sets import StaticSet, is_static_name
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST
from tests.rig.namespace import FAMILIES, Family, Namespace, wait_until


def numbered(count: int, *ids: str, family: Family = 4, first: int = 0) -> StaticSet:
    """Return a set of so many networks, each for the rules with these ids."""
    return StaticSet(family, dict.fromkeys(networks(count, family=family, first=first), ids or ("k3f9",)))


def networks(count: int, *, family: Family = 4, first: int = 0) -> Iterable[str]:
    """Yield different networks."""
    for number in range(first, first + count):
        if family == 6:
            yield f"2001:db8:{1 + (number >> 16):x}:{1 + (number & 0xFFFF):x}::/64"
        else:
            yield f"{20 + (number >> 18)}.{(number >> 10) & 255}.{(number >> 2) & 255}.{(number & 3) * 64}/26"


def wait_for_static_sets(namespace: Namespace, state: StateDirectory, wanted: list[str]) -> None:
    """Wait until a namespace has these static sets, and look as the root worker does meanwhile.

    The kernel frees removed rules a moment after a load, later on a busy machine. What a rule still names the
    next look destroys.
    """
    look = DriftMonitor(state, host=HOST, tell=lambda _: None).look
    wait_until(f"the sets {wanted}", lambda: static_sets_in(namespace) == wanted or (look() and False))


def static_sets_in(namespace: Namespace) -> list[str]:
    """Return the names of the static sets in a namespace, and of any half filled."""
    names = namespace.output("ipset", "list", "-n").split()
    return sorted(name for name in names if is_static_name(name) or "-t" in name)


def long_list(count: int, *ports: str, first: int = 0) -> dict[str, Any]:
    """Return a document with a rule for each of so many networks and both families, and for these ports.

    All rules of one port and family match the same but for the source.
    """
    rules = [
        {
            "scope": "host",
            "source": network,
            "protocol": "tcp",
            "ports": [port],
            "id": f"p{port}n{family}{number}",
        }
        for port in ports or ("22",)
        for family in FAMILIES
        for number, network in enumerate(networks(count, family=family, first=first), first)
    ]
    return {"format": "dockerfw/1", "settings": {"external_interfaces": ["ens33"]}, "rules": rules}

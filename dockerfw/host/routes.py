"""The unicast routes of all tables, from what `ip -json route` prints.

The table `main` has no name in it, and neither has it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

from dockerfw.messages.surroundings import MAX_ROUTES, InterfaceRoute

LIST_ROUTES: Final = ("route", "show", "table", "all", "type", "unicast")
"""The words that follow `ip -json -4` or `ip -json -6`."""

_MOST_IN_ALL: Final = 8192
_ANY: Final = ("0.0.0.0/0", "::/0")

_Item = dict[str, Any]


def main_routes(routes: Iterable[_Item]) -> list[_Item]:
    """Return the routes of the table `main`."""
    return [route for route in routes if "table" not in route]


def default_devices(routes: Iterable[_Item]) -> tuple[str, ...]:
    """Return the interfaces of the default routes."""
    defaults = (route for route in routes if route.get("dst") == "default")
    return tuple(dict.fromkeys(str(hop["dev"]) for route in defaults for hop in _hops(route)))


def find_routes(*families: Sequence[_Item]) -> Mapping[str, tuple[InterfaceRoute, ...]]:
    """Return the routes by each interface, the widest if there are very many.

    Those that the kernel makes for addresses, and the default routes of `main`, are left out.
    """
    found: dict[str, dict[InterfaceRoute, int]] = {}
    for any_network, routes in zip(_ANY, families, strict=True):
        for route in routes:
            to, table = str(route.get("dst", "")), str(route.get("table", ""))[:64]
            if route.get("protocol") == "kernel" or (to == "default" and not table):
                continue
            try:
                network = ip_network(any_network if to == "default" else to)
            except ValueError:
                continue
            for hop in _hops(route):
                one = InterfaceRoute(str(network), "gateway" in hop or "via" in hop, table)
                found.setdefault(str(hop["dev"]), {})[one] = network.prefixlen
    most = max(1, min(MAX_ROUTES, _MOST_IN_ALL // max(1, len(found))))
    return {name: tuple(sorted(routes, key=routes.__getitem__)[:most]) for name, routes in found.items()}


def _hops(route: _Item) -> Iterator[_Item]:
    return (hop for hop in (route, *route.get("nexthops", ())) if "dev" in hop)

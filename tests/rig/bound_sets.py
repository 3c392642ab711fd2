"""Documents that need bound sets, and what the sets hold."""

from __future__ import annotations

from typing import Any

from dockerfw.host.bound_sets import read_bound_sets
from tests.rig.namespace import Namespace

BRIDGES, BRIDGES_6 = "dockerfw4-bridges", "dockerfw6-bridges"
PROXY, PROXY_6 = "dockerfw4-proxy", "dockerfw6-proxy"
PROXIES = {PROXY, PROXY_6}
ALL = {BRIDGES, BRIDGES_6, *PROXIES}


def published(*ports: str, reach: str = "by-rules") -> dict[str, Any]:
    """Return a document with a rule for published ports, which needs the proxies' sets.

    With `reach` "allow" it needs all four.
    """
    settings: dict[str, object] = {"external_interfaces": ["ens33"]}
    if reach != "by-rules":
        settings |= {"containers_reach_host": reach}
    rules = [{"scope": "container", "protocol": "tcp", "ports": [port]} for port in ports]
    form = "dockerfw/1" if reach == "by-rules" else "dockerfw/2"
    return {"format": form, "settings": settings, "rules": rules}


def any_address(*ports: int, family: int = 4) -> tuple[str, ...]:
    """Return the members for ports that docker-proxy holds on any address."""
    halves = ("0.0.0.0/1", "128.0.0.0/1") if family == 4 else ("::/1", "8000::/1")
    return tuple(sorted(f"{half},tcp:{port}" for port in ports for half in halves))


def sets_in(namespace: Namespace) -> set[str]:
    """Return the names of the sets in a namespace."""
    return set(namespace.output("ipset", "list", "-n").split())


def members_in(namespace: Namespace, name: str) -> tuple[str, ...]:
    """Return the members of a set in a namespace."""
    with namespace.entered():
        return read_bound_sets([name])[name]


def add_bridge(namespace: Namespace, name: str = "docker0", network: str = "172.17.0.1/16") -> None:
    """Add a bridge as Docker makes one."""
    namespace.run("ip", "link", "add", name, "type", "bridge")
    namespace.add_addresses(name, network)
    namespace.run("ip", "link", "set", name, "up")

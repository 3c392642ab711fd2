"""The IP versions in which containers have addresses of their own, told by Docker's bridges.

A packet to such an address is forwarded, whether or not Docker publishes or filters anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_interface
from typing import Final

from dockerfw.chains.names import DOCKER
from dockerfw.document.fields import interfaces_overlap
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.reach.listening import RunningContainer
from dockerfw.simulation.surroundings import HostInterface

_BRIDGE_NAME: Final = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
# Docker's end of a container's network on the host; LXD uses eight digits.
_CONTAINER_END: Final = re.compile(r"veth[0-9a-f]{7}")
_TO_DOCKER: Final = re.compile(rf" -o (\S+) -j {DOCKER}$")


def container_families(
    interfaces: Iterable[HostInterface],
    live: Mapping[Family, Ruleset],
    containers: Sequence[RunningContainer] | None,
    external: Sequence[str],
    told: Iterable[str] = (),
) -> frozenset[Family]:
    """Return the families in which a container network has addresses that other hosts can route to.

    A network is a bridge that has one of Docker's names, that Docker's rules name, that a container's veth
    belongs to, or in whose subnet a running container is; `containers` is None where they are unknown.
    `told` are the names of others that Docker told of. `external` interfaces are none.
    """
    versions = {
        address.version
        for each in container_bridges(interfaces, live, containers, external, told)
        for address in each.addresses
        if not (address.is_link_local or address.is_loopback)
    }
    return frozenset(family for family in FAMILIES if family in versions)


def container_bridges(
    interfaces: Iterable[HostInterface],
    live: Mapping[Family, Ruleset],
    containers: Sequence[RunningContainer] | None,
    external: Sequence[str],
    told: Iterable[str] = (),
) -> tuple[HostInterface, ...]:
    """Return the bridges of container networks; the parameters are those of `container_families`."""
    interfaces = tuple(interfaces)
    named = {*told, *(name for ruleset in live.values() for name in _bridges_in_rules(ruleset))}
    named |= {each.master for each in interfaces if each.master and _CONTAINER_END.fullmatch(each.name)}
    inside = {address for each in containers or () for address in each.addresses}
    return tuple(
        each
        for each in interfaces
        if each.kind in ("", "bridge")
        and not any(interfaces_overlap(each.name, name) for name in external)
        and (
            _BRIDGE_NAME.fullmatch(each.name)
            or each.name in named
            or any(one in address.network for address in each.addresses for one in inside)
        )
    )


def masqueraded_bridges(live: Ruleset) -> Iterator[HostInterface]:
    """Yield the bridges of `-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE` in a save."""
    chain = live.chain("nat", "POSTROUTING")
    for rule in chain.rules if chain else ():
        if rule.target is None or rule.target.name != "MASQUERADE":
            continue
        options = {option.name: option for match in rule.matches for option in match.options}
        source, out = options.get("-s"), options.get("-o")
        if len(options) == 2 and source and out and out.negated and not source.negated:
            # The rule does not name the bridge's address, so the network's own address stands for it.
            address = ip_interface(source.values[0])
            yield HostInterface(out.values[0], (address,), up=True, kind="bridge")


def _bridges_in_rules(live: Ruleset) -> Iterator[str]:
    """Yield the interfaces of `-o docker0 -j DOCKER`, which stands in FORWARD or, since 28, DOCKER-BRIDGE."""
    for name in ("FORWARD", "DOCKER-BRIDGE"):
        chain = live.chain("filter", name)
        for rule in chain.rules if chain else ():
            if found := _TO_DOCKER.search(rule.text):
                yield found[1]

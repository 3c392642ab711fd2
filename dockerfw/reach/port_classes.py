"""Classes of traffic that no list of ports names: every other TCP or UDP port, other protocols, and ping.

Each is asked by one probe: a port that no rule and no listener names, at the host and at a container that
would publish it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final, Literal

from dockerfw.chains.names import DOCKER
from dockerfw.document.fields import port_range
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP
from dockerfw.reach.as_if_published import publish
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface
from dockerfw.simulation.trace import Verdict

ClassName = Literal["tcp", "udp", "other", "ping"]
Place = Literal["host", "containers"]
Rules = Mapping[Family, Prepared]

PROTOCOLS: Final[Mapping[ClassName, tuple[int, int]]] = {
    "tcp": (6, 6),
    "udp": (17, 17),
    # For experiments (RFC 3692): no rule names it.
    "other": (253, 253),
    "ping": (ICMP, IPV6_ICMP),
}
WITH_PORTS: Final[tuple[ClassName, ...]] = ("tcp", "udp")
_FIRST, _LAST = 20_011, 65_535


@dataclass(frozen=True, slots=True)
class ClassReach:
    """The sources that reach a class of one family over an interface from outside."""

    family: Family
    interfaces: tuple[str, ...]
    passes: AddressSet
    unknown: AddressSet
    parts: tuple[tuple[AddressSet, Verdict], ...]


@dataclass(frozen=True, slots=True)
class PortClass:
    """A class at one place, before and after a load; families whose rules are unknown are left out."""

    name: ClassName
    place: Place
    before: tuple[ClassReach, ...]
    after: tuple[ClassReach, ...]


def probe_classes(
    documents: Sequence[Document | None],
    taken: Collection[tuple[str, int]],
    before: Rules,
    after: Rules,
    outside: Sequence[HostInterface],
) -> Iterator[PortClass]:
    """Yield each class at the host, and at containers where Docker filters. `taken` are ports with a name."""
    probes: list[tuple[ClassName, int | None]] = [
        (name, port) for name in WITH_PORTS if (port := _free_port(name, documents, taken))
    ]
    for name, port in [*probes, ("other", None), ("ping", None)]:
        yield PortClass(name, "host", _reach(name, port, before, outside), _reach(name, port, after, outside))
    if not any(each.ruleset.chain("filter", DOCKER) for each in before.values()):
        return
    ports = [(name, port) for name, port in probes if port is not None]
    old, new = ({family: publish(each, ports) for family, each in rules.items()} for rules in (before, after))
    for name, port in probes:
        was, now = _reach(name, port, old, outside), _reach(name, port, new, outside)
        yield PortClass(name, "containers", was, now)


def _free_port(
    protocol: str, documents: Sequence[Document | None], taken: Collection[tuple[str, int]]
) -> int | None:
    """Return a port that no rule and no listener names, None if rules name all of them."""
    rules = [rule for document in documents if document for rule in document.rules]
    named = [port for rule in rules if rule.protocol in (protocol, "any") for port in rule.ports]
    return free_port(map(port_range, named), {port for name, port in taken if name == protocol})


def free_port(named: Iterable[tuple[int, int]], taken: Collection[int]) -> int | None:
    """Return a port outside of all ranges and not among `taken`, None if there is none.

    It is a high one, which no service usually has, unless the high ones are named.
    """
    ranges = sorted(named)
    for wanted in (_FIRST, 1):
        for first, last in ranges:
            while wanted in taken:
                wanted += 1
            if first <= wanted <= last:
                wanted = last + 1
        while wanted in taken:
            wanted += 1
        if wanted <= _LAST:
            return wanted
    return None


def _reach(
    name: ClassName, port: int | None, rules: Rules, outside: Sequence[HostInterface]
) -> tuple[ClassReach, ...]:
    found = []
    for family, prepared in rules.items():
        protocol = PROTOCOLS[name][family == 6]
        for interface in outside:
            for address in _main_address(interface, family):
                service = Service(family, protocol, address.ip, port, interface.name)
                found.append(_answer(interface.name, simulate_service(prepared, service), family))
    return tuple(found)


def _main_address(interface: HostInterface, family: Family) -> list[IPv4Interface | IPv6Interface]:
    own = [each for each in interface.addresses if each.version == family and not each.ip.is_link_local]
    return own[:1]


def _answer(interface: str, reach: Reach, family: Family) -> ClassReach:
    return ClassReach(family, (interface,), reach.passes, reach.unknown.difference(reach.passes), reach.parts)

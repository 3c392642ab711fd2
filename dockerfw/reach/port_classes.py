"""Classes of traffic that no list of ports names: every other TCP or UDP port, other protocols, and ping.

Each is asked by one probe: a port that no rule and no listener names, at the host and at a container that
would publish it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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

_PROTOCOLS: Final[Mapping[ClassName, tuple[int, int]]] = {
    "tcp": (6, 6),
    "udp": (17, 17),
    # For experiments (RFC 3692): no rule names it.
    "other": (253, 253),
    "ping": (ICMP, IPV6_ICMP),
}
_WITH_PORTS: Final[tuple[ClassName, ...]] = ("tcp", "udp")
_FIRST, _LAST = 20_011, 65_535


@dataclass(frozen=True, slots=True)
class ClassReach:
    """The sources that reach a class of one family, over any interface from outside."""

    family: Family
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
        (name, port) for name in _WITH_PORTS if (port := _free_port(name, documents, taken))
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
    wanted = _FIRST
    for first, last in sorted(map(port_range, named)):
        while (protocol, wanted) in taken:
            wanted += 1
        if first <= wanted <= last:
            wanted = last + 1
    while (protocol, wanted) in taken:
        wanted += 1
    return wanted if wanted <= _LAST else None


def _reach(
    name: ClassName, port: int | None, rules: Rules, outside: Sequence[HostInterface]
) -> tuple[ClassReach, ...]:
    found = []
    for family, prepared in rules.items():
        protocol = _PROTOCOLS[name][family == 6]
        answers = [
            simulate_service(prepared, Service(family, protocol, address.ip, port, interface.name))
            for interface in outside
            for address in _main_address(interface, family)
        ]
        if answers:
            found.append(_joined(family, answers))
    return tuple(found)


def _main_address(interface: HostInterface, family: Family) -> list[IPv4Interface | IPv6Interface]:
    own = [each for each in interface.addresses if each.version == family and not each.ip.is_link_local]
    return own[:1]


def _joined(family: Family, answers: Sequence[Reach]) -> ClassReach:
    passes, unknown = answers[0].passes, answers[0].unknown
    for each in answers[1:]:
        passes, unknown = passes.union(each.passes), unknown.union(each.unknown)
    parts = tuple(part for each in answers for part in each.parts)
    return ClassReach(family, passes, unknown.difference(passes), parts)

"""Warnings about packets for the multicast groups that the host is in, and about IGMP.

The kernel hands them to the host itself, so only rules for the host apply. Docker translates none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from dockerfw.chains import sentences
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.networks import family_of
from dockerfw.iptables.protocols import protocol_name, protocol_number
from dockerfw.simulation.surroundings import HostInterface, Surroundings

_IGMP: Final = 2
_UDP: Final = 17
# Switches forward these everywhere, whatever members say (RFC 4541, 2.1.2).
_ALWAYS_FORWARDED: Final = ip_network("224.0.0.0/24")


@dataclass(frozen=True, slots=True)
class GroupService:
    """What is sent to well-known groups: a protocol, and for UDP a port."""

    name: str
    protocol: int
    port: int | None
    groups: tuple[IPv4Address | IPv6Address, ...]

    @property
    def words(self) -> str:
        """The packets as a rule names them: `mDNS (5353/udp)`, `VRRP (vrrp)`."""
        protocol = protocol_name(self.protocol)
        return f"{self.name} ({protocol if self.port is None else f'{self.port}/{protocol}'})"


def _service(name: str, protocol: int, port: int | None, *groups: str) -> GroupService:
    return GroupService(name, protocol, port, tuple(map(ip_address, groups)))


# IANA's registries of IPv4 and IPv6 multicast addresses.
SERVICES: Final = (
    _service("OSPF", 89, None, "224.0.0.5", "224.0.0.6", "ff02::5", "ff02::6"),
    _service("RIP", _UDP, 520, "224.0.0.9"),
    _service("RIPng", _UDP, 521, "ff02::9"),
    _service("EIGRP", 88, None, "224.0.0.10", "ff02::a"),
    _service("PIM", 103, None, "224.0.0.13", "ff02::d"),
    _service("VRRP", 112, None, "224.0.0.18", "ff02::12"),
    _service("mDNS", _UDP, 5353, "224.0.0.251", "ff02::fb"),
    _service("LLMNR", _UDP, 5355, "224.0.0.252", "ff02::1:3"),
    _service("NTP", _UDP, 123, "224.0.1.1", "ff02::101", "ff05::101"),
    _service("PTP", _UDP, 319, "224.0.1.129", "ff0e::181"),
    _service("SSDP", _UDP, 1900, "239.255.255.250", "ff02::c", "ff05::c"),
)


def multicast_warnings(document: Document, surroundings: Surroundings) -> Iterator[PlanWarning]:
    """Warn about groups that the host is in, and whose packets or IGMP queries no rule allows."""
    joined = list(_joined(document.settings, surroundings))
    refused = [
        (service, group, name)
        for service in SERVICES
        for name, group in joined
        if group in service.groups and not _allows(document, service.protocol, service.port, group)
    ]
    if refused:
        message = sentences.multicast_refused(
            tuple(dict.fromkeys(service.words for service, _, _ in refused)),
            tuple(dict.fromkeys(f"{group} on {name}" for _, group, name in refused)),
        )
        yield PlanWarning("multicast-refused", message)
    asked_for = [
        f"{group} on {name}"
        for name, group in joined
        if group.version == 4 and group not in _ALWAYS_FORWARDED and not _allows(document, _IGMP, None, group)
    ]
    if asked_for:
        yield PlanWarning("igmp-refused", sentences.igmp_refused(tuple(dict.fromkeys(asked_for))), 4)


def _joined(
    settings: Settings, surroundings: Surroundings
) -> Iterator[tuple[str, IPv4Address | IPv6Address]]:
    """Yield the groups of interfaces whose packets meet the rules for the host."""
    for interface in surroundings.interfaces:
        if interface.up and not _is_trusted(interface, settings):
            yield from ((interface.name, group) for group in interface.groups)


def _is_trusted(interface: HostInterface, settings: Settings) -> bool:
    return any(interfaces_overlap(interface.name, name) for name in ("lo", *settings.trusted_interfaces))


def _allows(document: Document, protocol: int, port: int | None, group: IPv4Address | IPv6Address) -> bool:
    """Return True if a rule allows some sources to send such packets to the host."""
    family = family_of(group)
    return any(
        rule.enabled
        and rule.is_for_host
        and family in rule.families
        and (rule.protocol == "any" or protocol_number(rule.protocol) == protocol)
        and (port is None or includes_port(rule, port))
        for rule in document.rules
    )

"""Sentences about what a load changes: who reaches what, containers and their host, packets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dockerfw.document.fields import port_text
from dockerfw.document.words import describe_count, join_words
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import protocol_name
from dockerfw.reach.internet import UNROUTED, WORLD, covers_the_internet
from dockerfw.reach.sentences import UNDECIDED, describe_networks
from dockerfw.simulation.addresses import AddressSet

MOST_BRIDGES_NAMED: Final = 4
MOST_SERVICES_NAMED: Final = 8


# Changes by a load


def opened(what: str, place: str, sources: str, *, many: bool) -> str:
    """Say that ports become reachable: `22/tcp (sshd) of the host becomes reachable from anywhere`."""
    return f"{what} {place} {'become' if many else 'becomes'} reachable {sources}"


def closed(what: str, place: str, sources: str, remaining: str, *, many: bool) -> str:
    """Say that ports are no longer reachable; `remaining` are the sources that still reach them."""
    verb = "are" if many else "is"
    if remaining:
        return f"{what} {place} {verb} reachable {remaining} only, no longer {sources}"
    return f"{what} {place} {verb} no longer reachable {sources}"


def change_unknown(what: str, place: str, sources: str, reason: str, *, many: bool) -> str:
    """Say that the change is unknown for some sources."""
    text = f"cannot tell whether {what} {place} {'are' if many else 'is'} reachable {sources}"
    return f"{text}: {reason}" if reason else text


def through(interfaces: Sequence[str]) -> str:
    """Name the interfaces to which a change is limited."""
    return f" through {join_words(interfaces)}"


def refused_after(reason: str) -> str:
    """Say that the answer of today is unknown and that of the new rules is not."""
    return f"{reason or UNDECIDED}, and the new rules refuse it"


def containers_unread(family: Family) -> str:
    """Say that nothing is known about one family's containers and their host."""
    return (
        f"Cannot tell what containers reach on this host over {FAMILY_NAMES[family]}: its rules are unknown"
    )


def container_change(
    kind: str, services: Sequence[str], places: Sequence[tuple[str, Family]], *, partly: bool, reason: str
) -> str:
    """Return `Containers on docker0 no longer reach 5432/tcp (postgres) of this host`.

    `places` are bridges and families, none for all containers; `partly` means some of their addresses only.
    """
    bridges = list(dict.fromkeys(bridge for bridge, _ in places))
    families = {family for _, family in places}
    on = f" on {join_words(bridges, most=MOST_BRIDGES_NAMED)}" if bridges else ""
    over = f" over {FAMILY_NAMES[min(families)]}" if len(families) == 1 else ""
    who = f"{'Some containers' if partly else 'Containers'}{on}"
    what = f"{join_words(services, most=MOST_SERVICES_NAMED)} of this host{over}"
    if kind == "opened":
        return f"{who} can reach {what}"
    if kind == "closed":
        return f"{who} can no longer reach {what}"
    text = f"Cannot tell whether {who[0].lower()}{who[1:]} reach {what}"
    return f"{text}: {reason}" if reason else text


def containers_keep(lost: Sequence[str]) -> str:
    """Return `Containers reach 2 services of this host today: 5432/tcp (postgres), 53/udp (dnsmasq).`"""
    services = describe_count(len(lost), "service")
    return f"Containers reach {services} of this host today: {join_words(lost, most=MOST_SERVICES_NAMED)}."


def class_words(names: Sequence[str], places: Sequence[str], *, closed: bool) -> tuple[str, str]:
    """Return `every TCP and UDP port` and `of the host and of all containers`; others if some stay open."""
    of = {"host": "of the host", "containers": "of all containers"}
    place = " and ".join(of[each] for each in places)
    every = "every other" if closed else "every"
    ports = " and ".join(each.upper() for each in names if each != "other")
    parts = [f"{every} {ports} port"] if ports else []
    if "other" in names:
        parts.append("every other protocol")
    return " and ".join(parts), place


EVERYTHING: Final = "everything"
EVERYTHING_ELSE: Final = "everything else"
UNNAMED_PORTS: Final = "everything that no rule names"
DESTINATION_CLASSES: Final[Mapping[str, str]] = {
    "tcp": "every other TCP port",
    "udp": "every other UDP port",
    "other": "every other protocol",
    "ping": "ping",
}


def describe_destination(network: str, interface: str) -> str:
    """Return a destination behind the host: `192.168.122.0/24 (behind virbr0)`."""
    return f"{network} (behind {interface})" if interface else network


def destination_change(
    kind: str, what: str, network: str, interface: str, sources: str, more: str, *, many: bool
) -> str:
    """Say that forwarded traffic becomes allowed, or no longer is; `more` as in `closed`, or the reason."""
    place = f"forwarded to {describe_destination(network, interface)}"
    if kind == "opened":
        text = opened(what, place, sources, many=many)
    elif kind == "closed":
        text = closed(what, place, sources, more, many=many)
    else:
        return change_unknown(what, place, sources, more, many=many)
    return f"{text[0].upper()}{text[1:]}"


def more_destinations(count: int) -> str:
    """Say that forwarded traffic to some destinations was not compared."""
    destinations = describe_count(count, "more destination")
    return f"cannot tell about {destinations} of forwarded traffic: too many to compare"


def ping_changes(kind: str, sources: str, more: str) -> str:
    """Say that ping to the host starts or stops working; `more` as in `closed`, or the reason."""
    where = "" if sources == "from anywhere" else f" {sources}"
    if kind == "opened":
        return f"Ping to the host starts working{where}"
    if kind == "closed":
        return f"Ping to the host stops working{where}{f', except {more}' if more else ''}"
    return f"cannot tell whether ping to the host works{where}{f': {more}' if more else ''}"


# What a load changes for packets

NOT_COMPARED: Final = "The rules cannot be compared completely: check them line by line."
_SHOWN_PORTS: Final = 5
_VERBS: Final = {
    "closes": "pass today and would be refused",
    "opens": "are refused today and would pass",
}
_SIDES: Final = {"": "", "published": "published port ", "inside": "port inside "}


def describe_difference(
    kind: str,
    *,
    sources: AddressSet,
    what: Sequence[str],
    place: str,
    interfaces: Sequence[str],
    others: bool,
    reason: str,
) -> str:
    """Return `Packets from 10.0.0.5 to 3306/tcp of the host pass today and would be refused.`

    `interfaces` are those on which the packets arrive, `others` those that no rule names; neither means all.
    """
    names = [*interfaces, *(["any interface that no rule names"] if others else [])]
    arriving = f", arriving on {' or '.join(names)}," if names else ""
    where = "the host" if place == "host" else "containers"
    ports = what[0] if len(what) == 1 else f"{', '.join(what[:-1])} and {what[-1]}"
    packets = f"ackets from {_describe_all_but(sources)} to {ports} of {where}{arriving}"
    if kind == "unknown":
        return f"Cannot tell whether p{packets} pass before and after: {reason}."
    return f"P{packets} {_VERBS[kind]}."


def _describe_all_but(sources: AddressSet) -> str:
    if not covers_the_internet(sources.family, sources):
        return describe_networks(sources)
    left = WORLD[sources.family].difference(sources).difference(UNROUTED[sources.family])
    return f"anywhere but {describe_networks(left)}" if left else "anywhere"


def describe_ports(protocol: int, icmp_type: int | None, ranges: Sequence[tuple[int, int]], side: str) -> str:
    """Return `22/tcp (SSH)`, `every other tcp port`, `ping`, `every other protocol`."""
    name = protocol_name(protocol)
    if icmp_type is not None:
        return "ping" if icmp_type in (8, 128) else "other ICMP types"
    if not ranges:
        return "every other protocol" if name.isdigit() or protocol in _UNNAMED else name
    with_ssh = protocol == 6 and any(first <= 22 <= last for first, last in ranges)
    if ranges[0] == (0, 65_535):
        return f"every {name} port{' (SSH too)' if with_ssh else ''}"
    if sum(last - first + 1 for first, last in ranges) > _MANY_PORTS:
        return f"every other {name} port{' (SSH too)' if with_ssh else ''}"
    shown = [port_text(first, last) for first, last in ranges[:_SHOWN_PORTS]]
    more = f" and {len(ranges) - _SHOWN_PORTS} more" if len(ranges) > _SHOWN_PORTS else ""
    ssh = " (SSH)" if with_ssh else ""
    return f"{_SIDES[side]}{', '.join(shown)}{more}/{name}{ssh}"


_MANY_PORTS: Final = 32_768
# GRE stands for every protocol that no rule names.
_UNNAMED: Final = (47,)


def of_families(families: Sequence[Family], sentence: str, *, all_families: bool) -> str:
    """Put the IP version before a sentence that does not hold for all that were compared."""
    return sentence if all_families else f"{FAMILY_NAMES[families[0]]}: {sentence}"

"""Sentences about a question: what it leaves open, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.simulation.packet import Address

# What a question leaves open


def several_containers(text: str, chosen: str, others: Sequence[str]) -> str:
    """Say which of several containers is meant."""
    return f"{text} stands for {chosen}. It also matches {', '.join(others)}."


def sent_by_host(source: Address) -> str:
    """Say that the host sends the packet."""
    kind = "a loopback address" if source.is_loopback else "the host's own address"
    return f"{source} is {kind}, so the host itself sends the packet."


def arrives_from_network(interface: str, source: Address) -> str:
    """Say that the source is in the network of an interface."""
    return f"Incoming interface: {interface}, because {source} is in its network."


def arrives_by_route(interface: str, network: str) -> str:
    """Say that a route leads to the source."""
    return f"Incoming interface: {interface}, because the route to {network} leads there."


def arrives_from_default_route(interface: str, family: Family, others: Sequence[str]) -> str:
    """Say that the packet arrives from the default route."""
    more = f" (also {', '.join(others)})" if others else ""
    return (
        f"Incoming interface: {interface}, the interface of the {FAMILY_NAMES[family]} default route{more}."
    )


def destination_is_host(address: Address, reason: str = "") -> str:
    """Say that the destination is the host's own address."""
    return f"Destination: the host's own address {address}{f', because {reason}' if reason else ''}."


def publishes(container: str, port: int | None) -> str:
    """Return the reason that a container publishes a port."""
    return f"{container} publishes {port}"


def uses_host_network(container: str) -> str:
    """Return the reason that a container has no network of its own."""
    return f"{container} uses the host's network"


def destination_is_published(address: Address, container: str, port: int | None) -> str:
    """Say that the destination is the address where a container publishes a port."""
    return f"Destination: {address}, where {container} publishes {port}."


def destination_is_container(address: Address, container: str, port: int) -> str:
    """Say that the destination is a container's own address."""
    reason = f"no port of the host leads to its port {port}"
    return f"Destination: {container}'s own address {address}, because {reason}."


# Errors in a question

ENTER_END: Final = "enter an address or the name of a container"
ENTER_PORT: Final = "enter the destination port"
ONE_PROTOCOL: Final = "a packet has one protocol, such as tcp"


def host_address_unknown(family: Family) -> str:
    """Say that the host has no known address of a family."""
    return f"the host has no known {FAMILY_NAMES[family]} address"


def no_way_in(source: Address, family: Family) -> str:
    """Say that no interface follows from the source."""
    return (
        f"{source} is in no network of the host and there is no {FAMILY_NAMES[family]} default route: "
        "choose the incoming interface"
    )


def no_such_interface(name: str, hint: str) -> str:
    """Say that the host has no such interface."""
    return f"the host has no interface {name}{hint}"


def zone_not_allowed(text: str, zone: str) -> str:
    """Say that an address must not have a zone."""
    return f"{text} has a zone: leave out %{zone}"


def not_one_address(text: str) -> str:
    """Say that a network is not an address."""
    return f"{text} is not a single address: a packet has one address, not a network"


def names_unknown(text: str) -> str:
    """Say that container names cannot be used."""
    return (
        f"{text} is not an address. Container names are unknown here: "
        "the root worker has no access to Docker's socket"
    )


def not_an_end(text: str, hint: str) -> str:
    """Say that a text is neither an address nor a container."""
    return f"{text} is neither an address nor a running container{hint}"


def other_family(own: Family, packet: Family) -> str:
    """Say that an end is of another family than the packet."""
    return f"this address is {FAMILY_NAMES[own]} and the packet is {FAMILY_NAMES[packet]}"


def one_port(text: str) -> str:
    """Say that a range is not a port."""
    return f"{text} is a range: a packet has one port"


def not_an_icmp_type(text: str, family: Family, hint: str) -> str:
    """Say that a text is no ICMP type."""
    return f"{text} is not an ICMP type of {FAMILY_NAMES[family]} (a name or 0 to 255){hint}"
